"""The last answers are kept, and no more than that."""

from __future__ import annotations

import pytest

from qa_compare.inference.engine import AnswerCache, digest


def test_the_value_that_was_longest_unused_is_forgotten_first() -> None:
    cache: AnswerCache[str] = AnswerCache(2)
    cache.put((1,), "one")
    cache.put((2,), "two")
    assert cache.get((1,)) == "one"
    cache.put((3,), "three")
    assert (cache.get((1,)), cache.get((2,)), cache.get((3,)), len(cache)) == ("one", None, "three", 2)


@pytest.mark.parametrize("other", [("ab", "c"), ("a", "b"), ("bc", "a"), ("a", "bc ")])
def test_other_texts_have_another_digest(other: tuple[str, str]) -> None:
    assert digest("a", "bc") == digest("a", "bc") != digest(*other)


def test_half_a_surrogate_pair_has_a_digest() -> None:
    assert digest("\ud83d") != digest("?")
