"""A visitor's question with the real engine: what is recorded, probes, and links there and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qa_compare.data.examples import to_squad
from qa_compare.data.sources import sample
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.engine import Engine
from qa_compare.workbench.probes import PROBES, Variation
from qa_compare.workbench.service import SAMPLE, SQUAD, UPLOAD, Service
from qa_compare.workbench.session import Asked, Link, Session, again, ask, from_link, probe_all, to_link, up_to_date
from tests import measured, tiny

FIRST = sample()[0]
OWN = Asked("river-bert", (), SAMPLE, "", "", "The river rises in the north.", "Where rises the river?")
OF_SAMPLE = replace(OWN, id=FIRST.id, passage=FIRST.passage, question=FIRST.question)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Four variants, of which three are shown by default; SQuAD is a file of three questions."""
    folder = tmp_path_factory.mktemp("asking")
    for seed, name in enumerate(("base", "ia3", "lora", "prompt-tuning")):
        measured.variant(folder / "adapters", name, seed=seed)
    write_json(folder / "squad.json", to_squad(tiny.examples(3)))
    weights = str(tiny.checkpoint(folder / "river-bert"))
    engine = Engine(weights, adapters=folder / "adapters", precision="fp32")
    assert engine.located
    return Service({"river-bert": engine}, "river-bert", folder / "squad.json")


def test_a_question_of_a_source_is_recorded_with_its_gold_answers(service: Service) -> None:
    made = ask(service, OF_SAMPLE, Session())
    [run] = made.runs
    assert (run.number, run.id, run.gold, run.edited, run.upload) == (1, FIRST.id, FIRST.answers, False, "")
    assert run.asked_at.endswith("+00:00")
    assert run.variants == ("base", "lora", "prompt-tuning")


def test_an_edit_of_it_is_told_and_has_no_gold(service: Service) -> None:
    made = ask(service, replace(OF_SAMPLE, question="Who came?"), ask(service, OF_SAMPLE, Session()))
    assert made.shown
    assert (made.shown.edited, made.shown.gold) == (True, ())
    assert [one.label for one in made.changed] == ["Base", "LoRA", "Prompt tuning"]


def test_variants_keep_the_pages_order_whatever_order_they_were_chosen_in(service: Service) -> None:
    made = ask(service, replace(OWN, variants=("ia3", "lora", "base")), Session())
    assert made.runs[0].variants == ("base", "lora", "ia3")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"question": " "}, "The question is empty"),
        ({"variants": ("lora",)}, "Two to six variants are compared, not 1"),
        (
            {"variants": ("lora", "gone")},
            "unknown variant 'gone' of river-bert: there are base, lora, prompt-tuning, ia3",
        ),
        ({"backbone": "lake"}, "unknown backbone 'lake': there are river-bert"),
    ],
)
def test_what_cannot_be_asked_is_refused(service: Service, change: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ask(service, replace(OWN, **change), Session())


def test_a_probe_keeps_the_gold_answers_where_they_stand_now(service: Service) -> None:
    made = ask(service, OF_SAMPLE, Session())
    assert set(made.variations) == {probe.key for probe in PROBES}
    for key, variation in made.variations.items():
        assert isinstance(variation, Variation), key
        now = ask(service, replace(OF_SAMPLE, passage=variation.passage, question=variation.question), made).shown
        assert now
        assert [variation.passage[one.start :].startswith(one.text) for one in now.gold] == [True] * len(FIRST.answers)
        assert now.edited


def test_all_probes_are_run_one_after_the_other_and_none_twice(service: Service) -> None:
    made = ask(service, OF_SAMPLE, Session())
    steps = list(probe_all(service, made))
    assert [len(one.probed) for one in steps] == [1, 2, 3, 4, 5]
    assert list(steps[-1].probed) == [probe.key for probe in PROBES]
    assert list(probe_all(service, steps[-1])) == []
    assert steps[-1].runs == made.runs  # the history holds what the cards have shown
    assert list(probe_all(service, Session())) == []


def test_what_stands_in_the_boxes_is_answered_once(service: Service) -> None:
    made = up_to_date(service, OWN, Session())
    assert up_to_date(service, OWN, made) is made
    assert len(up_to_date(service, replace(OWN, question="What rises?"), made).runs) == 2
    assert up_to_date(service, replace(OWN, variants=("base", "ia3")), made) is not made


def test_a_run_can_be_asked_again(service: Service) -> None:
    made = ask(service, OF_SAMPLE, Session())
    assert again(made.runs[0]) == replace(OF_SAMPLE, variants=("base", "lora", "prompt-tuning"))


@pytest.mark.parametrize(
    ("change", "link"),
    [
        ({}, {"source": SAMPLE, "id": FIRST.id}),
        ({"question": "Who came?"}, {"source": SAMPLE, "id": FIRST.id, "question": "Who came?"}),
        ({"passage": "Nobody came."}, {"passage": "Nobody came.", "question": FIRST.question}),
        ({"id": ""}, {"passage": FIRST.passage, "question": FIRST.question}),
    ],
    ids=["of a source", "another question", "another passage", "one's own"],
)
def test_a_link_names_as_little_as_another_browser_needs(
    service: Service, change: dict[str, str], link: dict[str, str]
) -> None:
    asked = replace(OF_SAMPLE, variants=("base", "ia3"), **change)
    made = ask(service, asked, Session())
    found = to_link(service, made.runs[0])
    assert found == Link(backbone="river-bert", variants=("base", "ia3"), **link)
    opened = from_link(service, found)
    assert (opened.passage, opened.question, opened.variants) == (asked.passage, asked.question, asked.variants)
    assert opened.id == link.get("id", "")


def test_an_upload_is_linked_to_by_its_text(service: Service, tmp_path: Path) -> None:
    write_json(tmp_path / "mine.json", to_squad(tiny.examples(1)))
    example = tiny.examples(1)[0]
    asked = replace(OWN, source=UPLOAD, upload=str(tmp_path / "mine.json"), id="q0")
    made = ask(service, replace(asked, passage=example.passage, question=example.question), Session())
    assert made.runs[0].gold == example.answers
    found = to_link(service, made.runs[0])
    assert (found.source, found.id, found.passage) == ("", "", example.passage)


def test_a_question_of_squad_opens_by_its_id(service: Service) -> None:
    opened = from_link(service, Link(SQUAD, "q2"))
    assert (opened.source, opened.id, opened.passage) == (SQUAD, "q2", tiny.examples(3)[2].passage)
    assert opened.variants == ("base", "lora", "prompt-tuning")


def test_a_link_to_variants_alone_opens_the_usual_question(service: Service) -> None:
    opened = from_link(service, Link(variants=("base", "ia3")))
    assert (opened.id, opened.question, opened.variants) == (FIRST.id, FIRST.question, ("base", "ia3"))


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        (Link("attic", "q2"), "unknown source 'attic': there are sample and squad"),
        (Link(UPLOAD, "q2"), "unknown source 'upload'"),
        (Link(SQUAD, "q99"), "there is no question 'q99' in “squad.json”"),
        (Link(SAMPLE, FIRST.id, backbone="lake"), "unknown backbone 'lake'"),
        (Link(SAMPLE, FIRST.id, variants=("base", "gone")), "unknown variant 'gone'"),
        (Link(SAMPLE, FIRST.id, variants=("base",)), "Two to six variants are compared, not 1"),
    ],
)
def test_a_link_to_what_is_not_here_is_refused(service: Service, link: Link, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        from_link(service, link)
