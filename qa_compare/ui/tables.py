"""Tables, lists and files to download -> HTML. Every text is escaped here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from qa_compare.tables import Row, Table
from qa_compare.ui import cards, theme

_INTERVAL = re.compile(r"(\S+) (\[.*\])")


def table(made: Table, label: str, *, tall: bool = False) -> str:
    """The table in a box of its own that scrolls sideways, and up and down where it is `tall`."""
    head = "".join(f'<th scope="col">{cards.text(title)}</th>' for title in made.columns)
    body = "".join(_row(row) for row in made.rows)
    return (
        f'<div class="scroll{" tall" if tall else ""}" tabindex="0" role="region" aria-label="{cards.text(label)}">'
        f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(row: Row) -> str:
    first, *rest = row.cells
    style = f' class="variant" style="{theme.style(row.variant)}"' if row.variant else ""
    cells = "".join(f"<td>{_cell(cell)}</td>" for cell in rest)
    note = f"<small>{cards.text(row.note)}</small>" if row.note else ""
    return f'<tr{style}><th scope="row">{cards.text(first)}{note}</th>{cells}</tr>'


def _cell(value: str) -> str:
    found = _INTERVAL.fullmatch(value)
    if not found:
        return cards.text(value)
    return f'{cards.text(found[1])} <span class="interval">{cards.text(found[2])}</span>'


def notes(sentences: Iterable[str], *, failed: bool = False) -> str:
    """A small line for each sentence."""
    return "".join(cards.notice(sentence, failed=failed) for sentence in sentences)


def download(file: str, label: str, content: str) -> str:
    """A link that saves `content` as `file`; it holds the content itself, so that no file lies on the server."""
    data = base64.b64encode(content.encode("utf-8")).decode("ascii")
    return (
        f'<a class="download" download="{cards.text(file)}" href="data:text/csv;base64,{data}">{cards.text(label)}</a>'
    )


def heading(title: str, note: str = "") -> str:
    """A section's title, and what to know when reading it."""
    return f"<h2>{cards.text(title)}</h2>" + (f"<p>{cards.text(note)}</p>" if note else "")
