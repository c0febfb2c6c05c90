"""A table of texts, as the page shows it and a CSV file holds it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOTHING = "–"


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
    """CSV with `\\n` line ends; None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
