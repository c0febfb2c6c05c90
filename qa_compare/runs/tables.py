"""A table of texts, as the page shows it; and CSV, as every file of rows is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

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


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """CSV, a line a row, the first with the titles; None is an empty cell.

    A text that a spreadsheet would take for a formula has a ' before it.
    """
    file = io.StringIO(newline="")
    csv.writer(file).writerows(map(_safe, row) for row in rows)
    return file.getvalue()


def _safe(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
