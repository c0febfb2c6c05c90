"""A table of texts, as the page shows it and a CSV file holds it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = "–"
# what makes a spreadsheet take a cell for a formula, the full-width forms of East Asian keyboards too
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


@dataclass(frozen=True, slots=True)
class Row:
    """A text for each column; `variant` is the name of the one that it is about, for its colour. `note` is what to
    know of the row as a whole."""

    cells: tuple[str, ...]
    variant: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Titles and rows, all of the same length; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV; None is an empty cell, no text a formula. Lines end in `\\r\\n`: either is quoted within a text then."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    for row in (columns, *rows):
        writer.writerow(map(safe, row))
    return out.getvalue()


def safe(cell: Any) -> Any:
    """The cell, with a ' before a text that a spreadsheet would take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
