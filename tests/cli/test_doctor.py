"""`python -m qa_compare doctor`: what a bug report needs, whatever state the adapters are in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from qa_compare.__main__ import main
from qa_compare.cli import doctor
from qa_compare.inference.engine import Engine
from qa_compare.models.backbones import ADAPTERS, BACKBONES
from tests import tiny

pytestmark = pytest.mark.slow

BASE = ADAPTERS / "minilm-l6-qa" / "base"
needs_base = pytest.mark.skipif(not (BASE / "variant.json").is_file(), reason="no base in this checkout")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ROUNDS", 1)


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    """The shipped base, and beside it a folder that is broken."""
    shutil.copytree(BASE, tmp_path / "minilm-l6-qa" / "base")
    (tmp_path / "minilm-l6-qa" / "lora").mkdir()
    (tmp_path / "minilm-l6-qa" / "lora" / "variant.json").write_text("{")
    return tmp_path


@needs_base
def test_it_names_versions_weights_and_the_state_of_each_variant_and_times_an_answer(adapters, capsys):
    assert main(["doctor", "--adapters", str(adapters), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["torch"]
    assert found["processor"]["threads"] >= 1
    [qa] = [one for one in found["backbones"] if one["name"] == "minilm-l6-qa"]
    assert qa["sha256"] == BACKBONES["minilm-l6-qa"].sha256
    base, lora = qa["variants"]
    assert (base["name"], base["state"]) == ("base", "ok")
    assert base["milliseconds"] > 0
    assert (lora["name"], "milliseconds" in lora) == ("lora", False)
    assert "lora/variant.json" in lora["state"]


@needs_base
def test_its_lines_say_what_its_object_says(adapters, capsys):
    assert main(["doctor", "--adapters", str(adapters)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("qa_compare ")
    assert any(line.startswith("minilm-l6-qa: ready, ") for line in lines)
    assert any(line.startswith("    base: ok, ") and line.endswith(" ms") for line in lines)
    assert any(line.startswith("    lora: ") and "variant.json" in line for line in lines)


def test_the_hub_is_asked_only_when_told_to_and_not_where_it_is_switched_off(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")

    def asked(*_: object, **__: object) -> None:
        raise ConnectionError("asked")

    monkeypatch.setattr("huggingface_hub.get_session", asked)
    assert doctor._hub(ask=False) == "not asked (--hub asks)"
    assert doctor._hub(ask=True) == "not reachable (ConnectionError)"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor._hub(ask=True) == "switched off by HF_HUB_OFFLINE"


def test_an_encoder_without_a_trained_head_or_without_its_tokenizer_is_a_state_and_ends_nothing(tmp_path):
    bare = tiny.checkpoint(tmp_path / "bare", head=False)
    dumb = tiny.checkpoint(tmp_path / "dumb")
    (dumb / "tokenizer.json").unlink()
    states = {}
    for folder in (bare, dumb):
        [base] = doctor._backbone(Engine(str(folder), adapters=tmp_path))["variants"]
        states[folder.name] = base["state"]
    assert "comes without a question-answering head" in states["bare"]
    assert "holds no tokenizer" in states["dumb"]
