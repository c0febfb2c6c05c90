"""What the commands print: a comparison as a table, an evaluation as lines."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qa_compare.runs.records import intervals

if TYPE_CHECKING:
    from qa_compare.inference.comparison import Comparison, VariantAnswer
    from qa_compare.measure.scoring import Squad2
    from qa_compare.runs.evaluate import Evaluation
    from qa_compare.runs.records import Estimate


def table(comparison: Comparison) -> str:
    """The variants' answers, a row each, and who agrees with whom; as wide as the terminal."""
    rows = Table("Variant", "Answer", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    rows.add_column("Confidence", justify="right")
    rows.add_column("Time", justify="right")
    for answer in comparison.answers:
        # Text: a passage's [brackets] are not rich's markup
        rows.add_row(*(Text(cell) for cell in _row(answer)))
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(rows)
        for sentence in (comparison.agreement, *comparison.warnings):
            console.print(Text(_printable(sentence)))
    return capture.get().rstrip("\n")


def _row(answer: VariantAnswer) -> tuple[str, str, str, str]:
    if answer.problem:
        return answer.label, _printable(answer.problem), "–", "–"
    if not answer.prediction or not answer.prediction.candidates:
        return answer.label, "no answer", "–", f"{answer.latency_ms:.0f} ms"
    confidence = f"{100 * answer.prediction.confidence:.1f} %"
    return answer.label, _printable(answer.answer), confidence, f"{answer.latency_ms:.0f} ms"


def _printable(text: str) -> str:
    """One line without control characters: a passage must not move a terminal's cursor or colour it."""
    return "".join("�" if unicodedata.category(one) == "Cc" else one for one in " ".join(text.split()))


def summary(evaluation: Evaluation) -> str:
    """The scores, a line each, and what they were measured on."""
    metrics = evaluation.metrics
    calibration = metrics.calibration
    lines = [
        f"questions          {metrics.dataset.questions:>6,}  {metrics.questions_per_second:,.1f} a second",
        f"exact match        {_estimate(metrics.exact_match)}",
        f"F1                 {_estimate(metrics.f1)}",
    ]
    if metrics.bertscore:
        lines.append(f"BERTScore          {_estimate(metrics.bertscore)}  {metrics.bertscore.encoder}")
    lines.append(
        f"calibration error  {calibration.after.overall:>6.2f}  at temperature {calibration.temperature:.2f}"
        f" ({calibration.before.overall:.2f} at 1)"
    )
    if metrics.squad2:
        lines += _squad2(metrics.squad2)
    lines += ["", *metrics.dataset.sentences, *intervals([("", metrics.f1)])]
    return "\n".join(lines)


def _squad2(found: Squad2) -> list[str]:
    def line(name: str, exact: float | None, f1: float | None, more: str) -> str:
        return f"{name:<19}" + ("  –" if exact is None or f1 is None else f"{exact:>6.2f}  {f1:>6.2f}  {more}")

    lines = [
        "",
        f"{'SQuAD 2':<19} exact      F1",
        line("with an answer", found.has_ans_exact, found.has_ans_f1, f"{found.has_ans_total:,} questions (HasAns)"),
        line("unanswerable", found.no_ans_exact, found.no_ans_f1, f"{found.no_ans_total:,} questions (NoAns)"),
        line("all of them", found.exact, found.f1, f"{found.total:,} questions, each answered"),
    ]
    if found.best_exact is not None and found.best_f1 is not None:
        where = ", ".join(
            "all declined" if threshold is None else f"declined above {threshold:z.2f}"
            for threshold in (found.best_exact_threshold, found.best_f1_threshold)
        )
        lines.append(line("at best", found.best_exact, found.best_f1, f"{where}: null score − best span's, in logits"))
    return lines


def _estimate(found: Estimate) -> str:
    return f"{found.value:>6.2f}  [{found.low:.2f}, {found.high:.2f}]"
