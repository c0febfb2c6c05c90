"""The batch as HTML: what a file may look like, what is wrong with one, scores and answers. Texts are escaped here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qa_compare.data.readers import MAX_QUESTIONS, MAX_UPLOAD, Problem
from qa_compare.inference.decoding import Overlong
from qa_compare.page import components, error_list
from qa_compare.page.compare import cards
from qa_compare.page.components import nothing
from qa_compare.runs import overview
from qa_compare.runs.overview import estimate
from qa_compare.runs.tables import Row, Table
from qa_compare.workbench.batch import Checked, Result
from qa_compare.workbench.exports import problems_csv, template

LISTED = 500  # problems in the page; the file that it offers has all of them

FORMATS = f"""
<dl class="formats">
<dt>CSV</dt><dd>The columns <code>passage</code> and <code>question</code>, named in the first line. <code>id</code>,
<code>title</code>, <code>answers</code> and <code>answer_start</code> may be there too; <code>&nbsp;|&nbsp;</code>
separates several gold answers in one cell.</dd>
<dt>JSONL</dt><dd>An object a line with the same names; <code>answers</code> is a list of texts.</dd>
<dt>SQuAD JSON</dt><dd>As published, version 1.1 or 2.0.</dd>
</dl>
<p class="notice">UTF-8, up to {MAX_UPLOAD // 2**20} MB and {MAX_QUESTIONS:,} questions. Without gold answers the
questions are answered, but not scored.</p>
"""
NO_FILE = nothing("No file yet", "Choose one, or begin with the template.")
CHECKING = nothing("Checking the file…")
NO_ANSWERS = nothing("No answers yet", "Scores, downloads and the answers stand here after the run.")
TEMPLATE = components.download("qa-compare-template.csv", "Template (CSV)", template())


def refused(message: str) -> str:
    """The place of the problems, where the file as a whole cannot be used."""
    return f'<div class="checked">{cards.notice(message, failed=True)}</div>'


def checked(found: Checked) -> str:
    """What the file holds, and every row that cannot be used."""
    name, good, bad = cards.text(found.name), len(found.examples), len(found.problems)
    gold = "all" if found.gold == good else f"{found.gold:,}" if found.gold else "none"
    holds = f"<b>{name}</b>: {counted(good, 'question')}, {gold} with gold answers."
    holds = f"<p>{'✓ ' * (not bad)}{holds if good else f'<b>{name}</b>: no usable question.'}</p>"
    verb = "row of it cannot be used" if bad == 1 else "rows of it cannot be used"
    parts = [holds, f'<p class="notice">{cards.text(cards.short(found.told, 1_500))}</p>']
    if bad:
        link = components.download("problems.csv", "Problems as CSV", problems_csv(found.problems))
        said = f'<p class="notice failed" role="alert">{bad:,} {verb}.</p>'
        parts += [f'<div class="title">{said}{link}</div>', _listed(found.problems, "Rows that cannot be used")]
    if found.notes:
        link = components.download("gold-answers.csv", "Notes as CSV", problems_csv(found.notes))
        has = "1 row has a gold answer" if len(found.notes) == 1 else f"{len(found.notes):,} rows have gold answers"
        said = f'<p class="notice">{has} that could not be taken as written; no question is lost by that.</p>'
        parts += [f'<div class="title">{said}{link}</div>', _listed(found.notes, "Notes on gold answers")]
    return f'<div class="checked">{"".join(parts)}</div>'


def _listed(problems: Sequence[Problem], label: str) -> str:
    rows = "".join(
        f'<tr><th scope="row">{cards.text(one.row)}</th><td>{cards.text(cards.short(one.message, 300))}</td></tr>'
        for one in problems[:LISTED]
    )
    more = f'<p class="notice">The first {LISTED:,} are listed.</p>' if len(problems) > LISTED else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="problems"><thead><tr>'
        f'<th scope="col">Row</th><th scope="col">Problem</th></tr></thead><tbody>{rows}</tbody></table></div>{more}'
    )


def scores(result: Result) -> str:
    """The scores of each variant, what to know of them, and what can be saved."""
    shown = [
        Row((one.label, estimate(one.exact_match), estimate(one.f1), f"{one.confidence:.1f}"), one.variant)
        for one in result.scores
    ]
    table = Table(("Variant", "Exact match", "F1", "Mean confidence"), tuple(shown))
    part = f"Partial: the first {result.done:,} of {counted(result.asked, 'question')}." if result.partial else ""
    return (
        f'<div class="title"><div class="section">{components.heading("Scores", part)}</div>{_saves(result)}</div>'
        f"{components.table(table, 'Scores of the variants')}{components.notes(_notes(result))}{_squad2(result)}"
        f"{components.notes(result.problems, failed=True)}"
    )


def _squad2(result: Result) -> str:
    found = [(one.label, one.variant, one.squad2) for one in result.scores if one.squad2]
    if not found:
        return ""
    return components.table(overview.squad2(found), "SQuAD 2's metric") + components.notes([overview.SQUAD2_NOTE])


def _notes(result: Result) -> list[str]:
    notes = ["No gold answer is known, so nothing is scored", *result.counts.sentences]
    if result.counts.scored:
        estimates = [one.f1 for one in result.scores if one.f1]
        held = f"{counted(result.counts.scored, 'question')} with gold answers"
        notes = [f"In percent, {held}, 95 % intervals over {estimates[0].over}.", *result.counts.sentences]
    if len(result.table.columns) > 1:
        notes.append(f"All variants give the same answer to {result.agreeing:,} of {counted(result.done, 'question')}")
    return [*notes, *result.notes, *result.warnings]


def _saves(result: Result) -> str:
    kinds = [("csv", "CSV"), ("parquet", "Parquet")]
    kinds += [(f"json:{one.name}", f"{one.label} as SQuAD JSON") for one in result.table.columns]
    made = "".join(
        f'<button type="button" class="download" data-pick="save:{cards.text(kind)}">{cards.text(label)}</button>'
        for kind, label in kinds
    )
    return f'<div class="saves" role="group" aria-label="Download the answers">{made}</div>'


def answers(result: Result, page: int, chosen: str) -> str:
    """One page of the questions with their answers; `chosen` is the id of the one that is shown in full."""
    page = min(max(page, 0), (result.done - 1) // error_list.PAGE)
    heading = f'<div class="section">{components.heading("Answers")}</div>'
    return heading + error_list.rows(result.table, np.arange(result.done), page, chosen)


def question(result: Result, chosen: str) -> str:
    """One question in full, or nothing where none is chosen."""
    row = error_list.row_of(result.table, chosen) if chosen else None
    if row is None:
        return ""
    cut = Overlong(result.overlong.cut & {row})
    return components.notes(cut.sentences) + error_list.detail(result.table, row)


def counted(number: int, what: str) -> str:
    """1, "question" -> "1 question"; 20_000 -> "20,000 questions"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
