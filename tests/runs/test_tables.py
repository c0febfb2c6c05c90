"""CSV keeps every cell as it is, but for texts that a spreadsheet would take for a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.runs.tables import csv_text

FORMULAE = tuple("=+-@\t\r\n＝＋－＠")
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=4))
def test_every_text_is_read_back_as_it_was_or_with_a_mark_before_it(rows: list[list[str]]) -> None:
    found = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert found == [[f"'{cell}" if cell.startswith(FORMULAE) else cell for cell in row] for row in rows]


@pytest.mark.parametrize("start", FORMULAE)
def test_a_text_that_begins_like_a_formula_has_a_mark_before_it(start: str) -> None:
    [[cell]] = csv.reader(io.StringIO(csv_text([[f"{start}1+1"]]), newline=""))
    assert cell == f"'{start}1+1"


def test_numbers_stay_numbers_and_what_is_not_known_is_empty() -> None:
    assert csv_text([("a", "b", "c"), (-1.5, None, 2)]) == "a,b,c\r\n-1.5,,2\r\n"
