"""The Compare tab's seldom used parts: what they show and do, as plain functions over a tiny backbone."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qa_compare.data.examples import Answer, to_squad
from qa_compare.data.sources import sample
from qa_compare.files import write_json
from qa_compare.inference.comparison import Comparison
from qa_compare.inference.engine import Engine
from qa_compare.page.compare import cards, compare_tab, opening, toolbox, what_if
from qa_compare.workbench import service as services
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.chance import Purpose
from qa_compare.workbench.service import SAMPLE, SQUAD, UPLOAD, Service
from qa_compare.workbench.session import Asked, Link, Session, ask, probe_all, write
from tests import measured, tiny
from tests.inference.test_changes import comparison
from tests.workbench.test_history import probed, run, session

FIRST = sample()[0]
PASSAGE, QUESTION = "The river rises in the north.", "Where rises the river?"
LABELS = [("base", "Base"), ("lora", "LoRA")]
THREE = ["base", "lora", "prompt-tuning"]
OPENED = opening.Opened("river-bert", SAMPLE, "", FIRST.id)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Two backbones: one with five variants, of which three are shown by default; one with a single variant."""
    folder = tmp_path_factory.mktemp("tab")
    for seed, name in enumerate(("base", "full", "ia3", "lora", "prompt-tuning")):
        measured.variant(folder / "adapters", name, seed=seed)
    write_json(folder / "squad.json", to_squad(tiny.examples(3)))
    engines = {}
    for name in ("river-bert", "lake-bert"):
        engines[name] = Engine(str(tiny.checkpoint(folder / name)), adapters=folder / "adapters", precision="fp32")
        assert engines[name].located
    return Service(engines, "river-bert", folder / "squad.json")


def answered(service: Service, before: Session | None = None, **change: Any) -> list[Any]:
    values = {"variants": (), "number": None, "passage": PASSAGE, "question": QUESTION, **change}
    return compare_tab.answer(
        service, "river-bert", values["variants"], SAMPLE, "", values["number"], values["passage"], values["question"],
        before or Session(),
    )  # fmt: skip


def skipped(update: Any) -> bool:
    return isinstance(update, dict) and set(update) == {"__type__"}


def picked(service: Service, key: str, before: Session, **change: Any) -> list[list[Any]]:
    """All that a click in the table of probes yields."""
    values = {"passage": PASSAGE, "question": QUESTION, **change}
    asked = Asked("river-bert", (), SAMPLE, "", "", values["passage"], values["question"])
    return list(what_if.pick(service, key, asked, before, LABELS))


def test_an_answer_brings_history_probes_and_link_up_to_date(service: Service) -> None:
    _, _, made, probes, history, panel, link = answered(service)
    assert [one.number for one in made.runs] == [1]
    assert panel["label"] == "History (1)"
    assert QUESTION in history
    assert QUESTION in probes
    assert "passage=The+river+rises+in+the+north." in link


def test_each_card_says_what_changed_since_the_run_before(service: Service) -> None:
    verdict, shown, made, *_ = answered(service)
    assert "run before" not in verdict
    assert shown.count('<p class="change"></p>') == 3
    verdict, shown, *_ = answered(service, made, question="Where does the river rise?")
    assert "Against the run before: " in verdict
    assert shown.count("<b>Same answer</b>") + shown.count("<b>Flipped</b> from “") == 3
    assert shown.count(" → ") == 3


def test_the_chosen_variants_are_shown_in_the_pages_order(service: Service) -> None:
    _, shown, *_ = answered(service, variants=["ia3", "full", "lora", "base"])
    assert re.findall(r'data-variant="([^"]+)"', shown) == ["base", "lora", "full", "ia3"]
    assert "--columns:2" in shown  # two rows of two


def test_a_failure_keeps_the_cards_of_the_chosen_variants_and_the_session(service: Service) -> None:
    _, shown, *others = answered(service, variants=["base", "ia3"], question="")
    assert re.findall(r'data-variant="([^"]+)"', shown) == ["base", "ia3"]
    assert all(skipped(one) for one in others)


def test_a_probe_puts_its_text_into_the_boxes(service: Service) -> None:
    made = answered(service)[2]
    [[passage, question, now, table]] = picked(service, "case", made)
    assert (passage, question) == (PASSAGE, QUESTION.upper())
    assert now is made
    assert skipped(table)


def test_a_probe_starts_from_what_stands_in_the_boxes(service: Service) -> None:
    made = answered(service)[2]
    [[_, question, now, _]] = picked(service, "mark", made, question="What rises here?")
    assert question == "What rises here"
    assert now.origin.comparison.question == "What rises here?"


def test_all_probes_fill_the_table_one_after_the_other(service: Service) -> None:
    made = answered(service, passage=FIRST.passage, question=FIRST.question)[2]
    *steps, last = picked(service, what_if.ALL, made, passage=FIRST.passage, question=FIRST.question)
    assert [table.count('class="badge') for *_, table in steps] == [2, 4, 6, 8, 10]
    assert skipped(last[0])
    assert skipped(last[1])
    assert len(last[2].probed) == 5


def test_back_brings_the_text_as_asked(service: Service) -> None:
    made = answered(service)[2]
    probe = answered(service, made, question=QUESTION.upper())[2]
    assert probe.probe_of(probe.shown) == "case"
    [[passage, question, *_]] = picked(service, what_if.BACK, probe, question=QUESTION.upper())
    assert (passage, question) == (PASSAGE, QUESTION)


def test_a_text_that_cannot_be_asked_is_left_to_the_answers_to_refuse(service: Service) -> None:
    [[passage, question, now, table]] = picked(service, "case", Session(), question=" ")
    assert (now, skipped(passage), skipped(question), skipped(table)) == (Session(), True, True, True)


def test_the_table_of_probes_says_which_variants_flip() -> None:
    made = probed(session(run()), "case", "Rouen")
    table = what_if.table(made, LABELS)
    assert table.count('class="badge flip"') == table.count('class="badge same"') == 1
    assert "Flips</span> <span" in table
    assert '<span class="given" dir="auto" title="Rouen">Rouen</span>' in table
    assert "1 of 1 probe flips a variant." in table
    assert re.findall(r'data-pick="(\w+)" aria-pressed="true"', table) == ["case"]
    assert what_if.note(made) == "Change case: Base flips; LoRA keeps its answer."
    assert what_if.lines(made)["base"] == ('<p class="change flip"><b>Flipped</b> from “Paris” · 50% → 50%</p>')


def test_a_probe_that_does_not_fit_cannot_be_clicked_and_says_why() -> None:
    table = what_if.table(session(run(question="Name the town")), LABELS)
    assert re.findall(r'data-pick="(\w+)" aria-pressed="false" disabled', table) == ["mark", "distraction"]
    assert "does not end with a question mark" in table


def test_a_moved_answer_is_told_apart_from_one_that_stayed() -> None:
    made = probed(session(run()), "names", "Seine")
    lines = what_if.lines(made)
    assert "<b>Moved along</b> from “Paris”" in lines["base"]
    assert "<b>Flipped</b> from “Paris”, where “Seine” was due" in lines["lora"]


@pytest.mark.parametrize("table", [lambda made: what_if.table(made, LABELS), toolbox.table])
def test_markup_of_a_visitor_is_shown_as_text(table: Any) -> None:
    evil = "<img src=x onerror=alert(1)>"
    made = session(run(f"{evil} lies in Paris.", f"Where is {evil}?", evil))
    assert "<img" not in table(made)
    assert "&lt;img" in table(made)


def test_the_history_lists_the_newest_first_with_marks_where_gold_is_known() -> None:
    made = session(run(gold=(Answer("Paris", 12),)), run(question="Which?", answer="Rouen", edited=True))
    table = toolbox.table(made)
    assert re.findall(r'data-pick="(\d)" data-event="select"', table) == ["2", "1"]
    assert re.findall(r'aria-label="Remove run (\d)"', table) == ["2", "1"]
    assert table.count("right: ") == 2
    assert table.count("Edited: ") == 1
    assert table.index('aria-current="true"') < table.index('data-pick="2"') < table.index('data-pick="1"')


def test_the_history_marks_what_it_cuts_and_nothing_else() -> None:
    assert "…" not in toolbox.table(session(run("Seine and Paris", "Where?", "Paris")))
    table = toolbox.table(session(run("Paris " * 40, "Where? " * 40, "Paris " * 30)))
    assert table.count("…") == 3  # question, passage and the base's answer


def test_a_run_without_a_variant_leaves_its_cell_empty() -> None:
    asked: Comparison = comparison("A b.", "C?", lora=None)
    table = toolbox.table(session(run(), run(asked=asked, id="other")))
    assert "no answer" in table
    assert "<span>–</span>" in table


def test_removing_runs_updates_table_and_count() -> None:
    made = session(run(), run(question="Which?"))
    now, table, panel = toolbox.removed("1", made)
    assert [one.number for one in now.runs] == [2]
    assert panel["label"] == "History (1)"
    now, table, panel = toolbox.removed(toolbox.EVERY, now)
    assert (now.runs, panel["label"]) == ((), "History (0)")
    assert "Nothing is kept here" in table


def test_the_history_is_exported_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    made = session(run(question="=1+1?"), run(question="Wo liegt Köln \ud83d?"))
    table, objects = (Path(toolbox.exported(kind, made)) for kind in ("csv", "json"))
    assert (table.name, objects.name) == ("qa-compare-history.csv", "qa-compare-history.json")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["question"] for row in rows] == ["'=1+1?", "Wo liegt Köln ??"]
    assert [one["number"] for one in json.loads(objects.read_text(encoding="utf-8"))] == [1, 2]
    with pytest.raises(gr.Error, match="nothing in the history"):
        toolbox.exported("csv", Session())


def test_a_run_is_reopened_with_its_backbone_variants_and_text(service: Service) -> None:
    made = answered(service, variants=["base", "ia3"], number=FIRST.id, passage=FIRST.passage, question="Who?")[2]
    reopened = toolbox.reopened(service, "1", made, opening.Opened("lake-bert"))
    backbone, variants, source, _, article, number, passage, question, status, opened = reopened
    assert opened == opening.Opened("river-bert", SAMPLE, "", FIRST.id, turn=1)
    assert (backbone, variants["value"], source["value"]) == ("river-bert", ["base", "ia3"], SAMPLE)
    assert (article["value"], number["value"]) == (FIRST.title, FIRST.id)
    assert (passage, question) == (FIRST.passage, "Who?")
    assert "220 questions" in status
    assert all(skipped(one) for one in toolbox.reopened(service, "9", made, OPENED))


def test_a_run_from_a_file_that_is_gone_is_reopened_by_its_text(service: Service, tmp_path: Path) -> None:
    asked = Asked("river-bert", (), UPLOAD, str(tmp_path / "gone.json"), "q0", PASSAGE, QUESTION)
    _, _, source, _, article, number, passage, question, _, opened = opening.open_asked(service, OPENED, asked)
    assert (source["value"], article["value"], number["value"]) == (SAMPLE, None, None)
    assert (opened.source, opened.id, opened.turn) == (SAMPLE, "", 1)
    assert (passage, question) == (PASSAGE, QUESTION)


def test_an_address_opens_what_it_names(service: Service) -> None:
    link = {"source": SQUAD, "id": "q2", "variants": "base,ia3", "backbone": "river-bert", "__theme": "dark"}
    backbone, variants, source, _, _, number, passage, _, status, opened = opening.open_address(
        service, opening.Opened("lake-bert"), link
    )
    assert opened == opening.Opened("river-bert", SQUAD, "", "q2", turn=1)
    assert (backbone, variants["value"], source["value"], number["value"]) == (
        "river-bert",
        ["base", "ia3"],
        SQUAD,
        "q2",
    )
    assert passage == tiny.examples(3)[2].passage
    assert "alert" not in status


def test_an_address_without_a_link_leaves_the_opening(service: Service) -> None:
    *controls, opened = opening.open_address(service, OPENED, {"__theme": "dark"})
    assert all(skipped(one) for one in controls)
    assert opened.turn == 1  # and asks what stands there


@pytest.mark.parametrize(
    "link",
    [{"source": SAMPLE, "id": "<b>"}, {"id": "a"}, {"passage": "a"}, {"variants": "base"}, {"backbone": "gone"}],
)
def test_a_broken_link_leaves_the_opening_and_says_so(service: Service, link: dict[str, str]) -> None:
    *others, status, opened = opening.open_address(service, OPENED, link)
    assert all(skipped(one) for one in others)
    assert len(others) == opening.CONTROLS - 2
    assert opened.turn == 1
    assert 'role="alert"' in status
    assert "This link cannot be opened: " in status
    assert "<b>" not in status


def test_the_link_button_holds_the_query_or_the_reason(service: Service) -> None:
    asked = Asked("river-bert", (), SAMPLE, "", FIRST.id, FIRST.passage, FIRST.question)
    made = ask(service, asked, Session())
    query = write(Link(SAMPLE, FIRST.id, backbone="river-bert", variants=tuple(THREE)))
    assert f'data-query="{cards.text(query)}"' in toolbox.button(service, made)
    assert 'data-problem="There is no answer to link to yet."' in toolbox.button(service, Session())
    long = answered(service, passage="The river " * 700)[-1]
    assert 'data-problem="The text is too long for a link' in long


def test_a_choice_of_too_few_or_too_many_is_taken_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    made = answered(service, variants=["base", "ia3"])[2]
    choice, note = toolbox.few_or_many(service, "river-bert", ["base"], made)
    assert choice["value"] == ["base", "ia3"]
    assert "At least 2 variants" in note
    assert toolbox.few_or_many(service, "river-bert", [], Session())[0]["value"] == THREE
    choice, note = toolbox.few_or_many(service, "river-bert", ["base", "lora"], made)
    assert skipped(choice)
    assert "alert" not in note
    monkeypatch.setattr(services, "MAX_VARIANTS", 4)
    assert toolbox.few_or_many(service, "river-bert", [*THREE, "ia3", "full"], made)[0]["value"] == [
        "base",
        "ia3",
    ]


def test_every_folder_can_be_chosen_and_the_usual_ones_are(service: Service) -> None:
    offered = opening.variants(service, "river-bert")
    assert [name for _, name in offered["choices"]] == [*THREE, "full", "ia3"]
    assert offered["value"] == THREE


def test_another_backbone_keeps_the_variants_that_it_has_too(service: Service) -> None:
    def kept(backbone: str, names: list[str]) -> Any:
        choice, opened = toolbox.kept_variants(service, opening.Opened("another"), backbone, names)
        assert opened == opening.Opened(backbone, turn=1)
        return choice["value"]

    assert kept("river-bert", ["lora", "ia3", "gone"]) == ["lora", "ia3"]
    assert kept("river-bert", ["ia3", "gone"]) == THREE
    assert kept("lake-bert", ["lora", "ia3"]) == ["base"]


def test_a_backbone_whose_variants_are_listed_already_keeps_the_choice_among_them(service: Service) -> None:
    assert all(map(skipped, toolbox.kept_variants(service, OPENED, "river-bert", ["ia3", "base"])))


def test_variants_of_the_backbone_that_was_just_left_are_no_reason_to_complain(service: Service) -> None:
    verdict, columns, *_ = answered(service, variants=["lora", "ia3", "another's"])
    assert "unknown variant" not in verdict
    assert re.findall(r'data-variant="([^"]+)"', columns) == ["lora", "ia3"]
    assert all(map(skipped, toolbox.few_or_many(service, "river-bert", ["lora", "another's"], Session())))


def test_chance_without_a_fitting_question_leaves_the_page_and_says_so(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = Purpose("Never", lambda table: table.outcome > 99, "of that kind")
    monkeypatch.setitem(opening.chance.PURPOSES, "nobody", never)
    inspector = Inspector(service)
    asked = (OPENED, "nobody", "river-bert", THREE, SQUAD, "", None)
    *others, status, opened = opening.open_any(inspector, *asked)
    assert all(skipped(one) for one in [*others, opened])
    assert "There is no question of that kind among all 3 of this source." in status


def test_the_probes_of_a_session_are_its_own(service: Service) -> None:
    asked = Asked("river-bert", (), SAMPLE, "", "", PASSAGE, QUESTION)
    made = ask(service, asked, Session())
    assert list(probe_all(service, made))[-1].probed
    assert made.probed == {}
    assert Session().probed == {}
