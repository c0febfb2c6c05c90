"""The documents' tables say what the metrics.json files say, and nothing that cannot be compared shares a column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa_compare.__main__ import main
from qa_compare.data import examples
from qa_compare.errors import UserError
from qa_compare.files import read_json, write_json
from qa_compare.models.backbones import ADAPTERS
from qa_compare.runs import readme as results
from qa_compare.runs.readme import DOCUMENTS, ROOT, differences, experiments, rows, tables, update
from qa_compare.runs.records import BertScore, Dataset, Estimate
from qa_compare.runs.store import write_metrics, write_predictions
from tests import measured, shown
from tests.runs.test_runs import RUN

SQUAD = Dataset("dev-v1.1.json", examples.SQUAD_VALIDATION, 10_570)
MINILM, ROBERTA = BertScore(70.04, 69.0, 71.0, "L6", "MiniLM"), BertScore(90.0, 89.0, 91.0, "L17", "RoBERTa")


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    return tmp_path / "adapters"


def add(adapters: Path, backbone: str, name: str, **changes: Any) -> Path:
    folder = adapters / backbone / name
    folder.mkdir(parents=True)
    described = {"label": name.upper(), "method": name, "backbone": backbone, "weights": "shipped", "temperature": 1.0}
    write_json(folder / "variant.json", {**described, "sha256": {}})
    write_metrics(folder / "metrics.json", measured.metrics(**{"dataset": SQUAD, **changes}))
    return folder


def lines(adapters: Path) -> list[str]:
    return tables(rows(adapters)).splitlines()


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A folder with a README that asks for the scores, and a page that asks for the differences."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("<!-- results -->\n<!-- /results -->\n")
    (tmp_path / "docs" / "results.md").write_text("<!-- differences -->\n<!-- /differences -->\n")
    return tmp_path


@pytest.mark.slow  # every two variants on all of SQuAD
def test_the_documents_of_this_checkout_are_up_to_date() -> None:
    assert update(ROOT, ADAPTERS, check=True) == dict.fromkeys(DOCUMENTS, True), "make results"


def test_every_table_stands_once_in_the_documents_of_this_checkout() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in DOCUMENTS]
    found = [match["of"] for text in texts for match in results._MARKED.finditer(text)]
    assert sorted(found) == ["differences", "experiments", "results"]
    assert sum(text.count("<!-- /") for text in texts) == len(found), "a marker has no other end"


def test_a_row_has_backbone_label_scores_with_intervals_and_trained_parameters(adapters: Path) -> None:
    write_json(add(adapters, "minilm-l6-qa", "lora", bertscore=MINILM) / "run.json", RUN)
    add(adapters, "minilm-l6-qa", "full")
    assert lines(adapters)[:6] == [
        "| backbone | variant | exact match | F1 | BERTScore | trained parameters |",
        "|---|---|--:|--:|--:|--:|",
        "| `minilm-l6-qa` | LORA | 50.0 [40.0, 60.0] | 66.6 [55.5, 77.7] | 70.0 [69.0, 71.0] | 664,322 |",
        "| `minilm-l6-qa` | FULL | 50.0 [40.0, 60.0] | 66.6 [55.5, 77.7] | – | – |",
        "",
        "In percent, with 95 % intervals over questions, each taken by itself.",
    ]
    assert "BERTScore: MiniLM (`L6`)." in lines(adapters)


def test_backbones_and_variants_come_in_the_order_of_the_page(adapters: Path) -> None:
    for backbone, name in (
        ("bert-tiny", "lora"), ("another", "lora"), ("minilm-l6", "base"), ("minilm-l6-qa", "head"),
        ("minilm-l6-qa", "prompt-tuning"), ("minilm-l6-qa", "base"),
    ):  # fmt: skip
        add(adapters, backbone, name)
    assert [(row.backbone, row.label) for row in rows(adapters)] == [
        ("minilm-l6-qa", "BASE"),
        ("minilm-l6-qa", "PROMPT-TUNING"),
        ("minilm-l6-qa", "HEAD"),
        ("minilm-l6", "BASE"),
        ("bert-tiny", "LORA"),
        ("another", "LORA"),
    ]


def test_scores_by_two_encoders_never_share_a_column(adapters: Path) -> None:
    for name, scored in (("base", MINILM), ("lora", ROBERTA), ("head", None)):
        add(adapters, "minilm-l6-qa", name, bertscore=scored)
    found = lines(adapters)
    assert found[0] == "| backbone | variant | exact match | F1 | BERTScore 1 | BERTScore 2 | trained parameters |"
    cells = [line.strip("| ").split(" | ")[4:6] for line in found[2:5]]
    assert cells == [["70.0 [69.0, 71.0]", "–"], ["–", "90.0 [89.0, 91.0]"], ["–", "–"]]
    assert "BERTScore 1: MiniLM (`L6`)." in found
    assert "BERTScore 2: RoBERTa (`L17`)." in found


def test_scores_on_other_questions_are_no_part_of_the_table(adapters: Path) -> None:
    add(adapters, "minilm-l6-qa", "lora", dataset=Dataset("dev-v1.1.json", "e" * 64, 10_570))
    assert rows(adapters) == []
    assert "LORA" not in tables(rows(adapters))
    assert len(rows(adapters, "e" * 64)) == 1


def test_scores_of_other_weights_are_marked_below_the_table(adapters: Path) -> None:
    folder = add(adapters, "minilm-l6-qa", "lora", weights={"lora/adapter_model.safetensors": "0" * 64})
    mark = "`minilm-l6-qa`, LORA: measured on other weights than it has now."
    assert mark in lines(adapters)
    hashes = {"sha256": {"adapter_model.safetensors": "0" * 64}}
    write_json(folder / "variant.json", {**read_json(folder / "variant.json"), **hashes})
    assert mark not in lines(adapters)


def test_the_reports_and_the_published_figures_stand_below(adapters: Path) -> None:
    add(adapters, "minilm-l6-qa", "lora", bertscore=MINILM)
    found = lines(adapters)
    below = found.index("| | exact match | F1 | BERTScore by `roberta-large` |")
    assert below > found.index("|---|---|--:|--:|--:|--:|")
    assert found[below + 2 :] == [
        "| the report: base | 0.0 | 0.89 | 10.12 |",
        "| the report: LoRA | 24.0 | 32.6 | 72.2 |",
        "| the report: prompt tuning | 0.0 | 1.91 | 58.6 |",
        "| logistic regression baseline | 40.14 | 50.98 | – |",
        "| Match-LSTM, ensemble | 67.63 | 76.76 | – |",
        "| BERT, ensemble | 86.21 | 92.20 | – |",
    ]
    assert "200 questions, by its procedure" in " ".join(found)


def test_a_variant_is_set_against_its_base_and_the_head_alone_on_the_same_questions(adapters: Path) -> None:
    scores = {"base": (1, 1, 0), "head": (1, 0, 0), "lora": (1, 1, 1), "ia3": (0, 0, 0)}
    for name, found in scores.items():
        folder = add(adapters, "minilm-l6-qa", name)
        f1 = np.array(found, dtype=float)
        kept = "e" * 64 if name == "ia3" else examples.SQUAD_VALIDATION
        write_predictions(folder / "predictions.parquet", measured.table(fingerprint=kept, f1=f1, exact_match=f1))
    add(adapters, "minilm-l6-qa", "prompt-tuning")  # measured, its answers not kept
    found = differences(adapters).splitlines()
    assert found[4:] == ["", "95 % intervals over questions, each taken by itself."]
    assert found[0] == "| backbone | variant | F1 − base | exact match − base | F1 − head only |"
    third, two = "+33.33 [+0.00, +100.00]", "+66.67 [+0.00, +100.00]"
    assert found[2:4] == [
        f"| `minilm-l6-qa` | LORA | {third} | {third} | {two} |",
        "| `minilm-l6-qa` | HEAD | −33.33 [−100.00, +0.00] | −33.33 [−100.00, +0.00] | – |",
    ]


def test_repairs_stand_in_their_order_and_amounts_of_data_in_words_a_column_a_method(adapters: Path) -> None:
    assert experiments(adapters) == "None has been made yet.\n"
    shown.write_all(adapters, "minilm-l6-qa")
    first, over, second, _ = experiments(adapters).rstrip().split("\n\n")
    assert over == "95 % intervals over questions, each taken by itself."
    repairs, amounts = first.splitlines(), second.splitlines()
    assert repairs[0] == "| `minilm-l6-qa`, 1,000 questions: procedure | Base | LoRA | Prompt tuning |"
    steps = ["as written", "segments", "labels", "positions", "joint spans", "all windows"]
    assert [line.split(" | ")[0] for line in repairs[2:]] == [f"| {step}" for step in steps]
    assert repairs[4] == "| labels | – | – | 61.0 [58.0, 64.0] |"
    assert amounts[2:5:2] == [
        "| nothing further | 61.0 [58.0, 64.0] | – | – |",
        "| 1,000 questions, 300 steps | – | 57.0 [52.0, 66.0] | 57.0 [52.0, 66.0] |",
    ]
    assert amounts[-1].startswith("| 4,000 questions, 1,200 steps | –")


def test_only_what_stands_between_the_markers_is_rewritten(adapters: Path, documents: Path) -> None:
    readme, page = documents / "README.md", documents / "docs" / "results.md"
    before, after = "# Title\n\n<!-- results: of which -->\n", "<!-- /results -->\n\nMore \\1 text.\n"
    readme.write_text(before + "\nold\n" + after)
    folder = add(adapters, "minilm-l6-qa", "lora")
    assert update(documents, adapters) == {"README.md": False, "docs/results.md": False}
    text = readme.read_text()
    assert text == f"{before}\n{tables(rows(adapters))}\n{after}"
    assert page.read_text() == f"<!-- differences -->\n\n{differences(adapters)}\n<!-- /differences -->\n"
    assert update(documents, adapters) == {"README.md": True, "docs/results.md": True}
    write_metrics(folder / "metrics.json", measured.metrics(dataset=SQUAD, f1=Estimate(66.7, 55.5, 77.7)))
    assert update(documents, adapters, check=True) == {"README.md": False, "docs/results.md": True}
    assert readme.read_text() == text


def test_no_document_is_written_where_one_has_no_markers(adapters: Path, documents: Path) -> None:
    written = (documents / "README.md").read_text()
    (documents / "docs" / "results.md").write_text("# No markers\n")
    with pytest.raises(UserError, match=r"results.md has no lines <!-- results"):
        update(documents, adapters)
    assert (documents / "README.md").read_text() == written


def test_the_command_writes_and_its_check_ends_with_status_1_where_stale(
    adapters: Path, documents: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "ROOT", documents)
    folder = add(adapters, "minilm-l6-qa", "lora")
    command = ["results", "--adapters", str(adapters)]
    assert main([*command, "--check"]) == 1
    assert capsys.readouterr().err.count("make results") == 2
    assert main(command) == 0
    assert capsys.readouterr().out == "README.md is rewritten\ndocs/results.md is rewritten\n"
    assert main([*command, "--check"]) == 0
    assert main(command) == 0
    assert capsys.readouterr().out == "README.md was up to date\ndocs/results.md was up to date\n"
    (folder / "metrics.json").write_text(json.dumps({"f1": 5}))
    written = (documents / "README.md").read_text()
    assert main(command) == 2
    assert "lora/metrics.json" in capsys.readouterr().err
    assert (documents / "README.md").read_text() == written
