"""A state as query parameters and back, whatever its text; and the sentence that a broken link gets."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.errors import UserError
from qa_compare.workbench.session import MAX_QUERY, Link, read, write
from tests.cases import cases

texts = st.text(min_size=1, max_size=60)
names = st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"]), min_size=1, max_size=20)
variants = st.lists(names, max_size=6, unique=True).map(tuple)
shown = {"backbone": st.text(max_size=20), "variants": variants}
sources = st.sampled_from(["sample", "squad"])
of_a_source = st.builds(Link, source=sources, id=texts, question=st.text(max_size=60), **shown)
of_a_text = st.builds(Link, passage=texts, question=texts, **shown)


def parameters(query: str) -> dict[str, str]:
    """As a browser and a server take them apart."""
    assert query.isascii()
    parts = urlsplit(f"http://127.0.0.1:7860/?{query}")
    assert (parts.path, parts.fragment) == ("/", "")
    return dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))


@given(of_a_source | of_a_text)
@cases(60)
def test_a_link_brings_back_what_was_linked_to_in_any_script(link: Link) -> None:
    try:
        query = write(link)
    except UserError as error:
        assert "too long" in str(error)  # noqa: PT017
        return
    assert len(query) <= MAX_QUERY
    assert read(parameters(query)) == link


@pytest.mark.parametrize(
    "text", ["a=b&c#d?e/f+g %41", "line\nline\r\n\ttab", "שלום 你好 🌊", "\x00\x7f", "</script>'\""]
)
def test_what_has_a_meaning_in_an_address_is_text_again(text: str) -> None:
    link = Link(passage=text, question=text, backbone="minilm-l6-qa", variants=("base", "lora"))
    assert read(parameters(write(link))) == link


def test_a_question_of_a_source_is_named_and_nothing_more() -> None:
    assert write(Link("sample", "rome-1", variants=("base", "lora"))) == "source=sample&id=rome-1&variants=base,lora"


def test_half_a_surrogate_pair_is_replaced() -> None:
    found = read(parameters(write(Link(passage="a\ud83d", question="b"))))
    assert found
    assert found.passage == "a\ufffd"


def test_a_text_that_is_not_short_has_no_link() -> None:
    with pytest.raises(UserError, match=r"The text is too long for a link: it takes 6,\d+ characters"):
        write(Link(passage="x" * MAX_QUERY, question="why?"))
    assert write(Link(passage="x" * (MAX_QUERY - 30), question="why?"))


@pytest.mark.parametrize(
    "link", [Link(), Link(id="a"), Link("sample"), Link(passage="a"), Link(question="b"), Link(backbone="c")]
)
def test_without_a_question_there_is_no_link(link: Link) -> None:
    with pytest.raises(UserError, match="no question to link to"):
        write(link)


def test_a_variant_with_a_comma_has_no_link() -> None:
    with pytest.raises(UserError, match="comma"):
        write(Link("sample", "a", variants=("lora,base",)))


@pytest.mark.parametrize("found", [{}, {"__theme": "dark"}, {"utm_source": "a", "view": "api"}])
def test_an_address_that_asks_nothing_is_no_link(found: dict[str, str]) -> None:
    assert read(found) is None


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"id": "a"}, "does not say which source"),
        ({"source": "sample"}, "does not say which question"),
        ({"source": "sample", "question": "b"}, "does not say which question"),
        ({"source": "sample", "id": ""}, "its id is empty"),
        ({"source": "sample", "id": "a", "passage": "b"}, "brings a passage of its own"),
        ({"passage": "b"}, "its question is missing"),
        ({"question": "b"}, "its passage is missing"),
        ({"backbone": ""}, "its backbone is empty"),
        ({"passage": "a" * MAX_QUERY, "question": "b"}, "too long"),
    ],
)
def test_a_broken_link_is_refused_in_a_sentence(found: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read(found)


def test_a_link_may_name_a_backbone_or_variants_alone() -> None:
    assert read({"variants": "lora,base", "__theme": "dark"}) == Link(variants=("lora", "base"))
