"""BERTScore against a naive computation and the package's own scorer, and what the package alone fails on."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel, RobertaTokenizer

from qa_compare.errors import UserError
from qa_compare.measure import bertscore
from qa_compare.measure.bertscore import BertScorer, open_scorer
from qa_compare.models import backbones
from tests import tiny

pytestmark = pytest.mark.slow

PREDICTIONS = ["the river", "north", "sea 7", "", "where the river rises in north and flows"]
GOLDS = [["river", "a sea"], ["north"], ["river", "sea", "sea 8"], ["sea"], ["to sea"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.checkpoint(tmp_path_factory.mktemp("bertscore") / "river-bert")


@pytest.fixture(scope="module")
def minilm() -> Path:
    return backbones.locate(backbones.BACKBONES["minilm-l6"]).folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def naive_f1(folder: Path, layer: int, prediction: str, gold: str, **tokenizer_options: bool) -> float:
    """Greedy matching by cosine, written out; the special tokens can be matched, but weigh nothing."""
    tokenizer = AutoTokenizer.from_pretrained(folder, **tokenizer_options)
    model = AutoModel.from_pretrained(folder).eval()

    def vectors(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            hidden = model(ids, output_hidden_states=True).hidden_states[layer][0]
        return torch.nn.functional.normalize(hidden, dim=-1)

    similar = vectors(prediction) @ vectors(gold).T
    precision = similar.max(dim=1).values[1:-1].mean()
    recall = similar.max(dim=0).values[1:-1].mean()
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("layers", [1, 2])
def test_a_score_is_the_best_over_the_gold_answers_as_computed_by_hand(folder: Path, layers: int) -> None:
    found = BertScorer(folder, layers).score(PREDICTIONS, GOLDS)
    expected = [
        max(naive_f1(folder, layers, prediction, gold) for gold in golds) if prediction else 0.0
        for prediction, golds in zip(PREDICTIONS, GOLDS, strict=True)
    ]
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-5)


@pytest.mark.usefixtures("no_network")
def test_the_default_is_minilms_last_layer_with_the_packages_own_result(minilm: Path) -> None:
    from bert_score import BERTScorer

    own = BERTScorer(model_type=str(minilm), num_layers=6)
    own._tokenizer.model_max_length = 512
    predictions, golds = (
        ["the Eiffel Tower", "in 1889", "Paris, France"],
        [["Eiffel Tower", "tower"], ["1889"], ["Rome"]],
    )
    scorer = open_scorer()
    np.testing.assert_allclose(scorer.score(predictions, golds), own.score(predictions, golds)[2], atol=1e-5)
    assert scorer.hash == "sha256:53aa51172d14_L6_no-idf_bert-score=0.3.13"


def test_like_answers_score_above_unlike_ones_and_equal_ones_score_1(minilm: Path) -> None:
    equal, like, unlike = BertScorer(minilm).score(
        ["the United States", "United States of America", "seventeen sheep"], [["the United States"]] * 3
    )
    assert equal == pytest.approx(1, abs=1e-5)
    assert equal <= 1
    assert like > unlike + 0.2


def test_scores_stay_between_0_and_1(folder: Path) -> None:
    texts = [" ".join(tiny.WORDS[first : first + 6]) for first in range(len(tiny.WORDS))]
    equal = BertScorer(folder).score(texts, [[text] for text in texts])
    assert equal.max() <= 1
    assert equal.min() > 0.999
    unlike = BertScorer(folder).score(tiny.WORDS, [[word] for word in reversed(tiny.WORDS)])
    assert unlike.min() >= 0


@pytest.mark.parametrize("empty", ["", "  \n", "\u200b", "\u200b \u200d"])
def test_an_answer_without_a_token_scores_0_and_is_never_sent(
    folder: Path, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = BertScorer(folder).score([empty, "sea", empty, "sea"], [["sea"], [empty], [empty], [empty, "sea"]])
    np.testing.assert_allclose(found, [0, 0, 0, 1], atol=1e-5)
    assert "Warning" not in capsys.readouterr().err


def test_nothing_to_score_gives_0_or_nothing(folder: Path) -> None:
    scorer = BertScorer(folder)
    assert scorer.score([], []).shape == (0,)
    np.testing.assert_array_equal(scorer.score(["sea", ""], [[], []]), [0, 0])


def test_a_long_answer_is_cut_where_the_encoder_ends(folder: Path) -> None:
    assert AutoTokenizer.from_pretrained(folder).model_max_length > 1e20  # what the package alone cannot take
    found = BertScorer(folder).score(["sea " * 1_000], [["sea " * 1_200]])
    np.testing.assert_allclose(found, [1], atol=1e-5)


def test_each_pair_is_scored_once_in_parts_that_progress_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bertscore, "_PAIRS_AT_ONCE", 2)
    scorer, seen, sent = BertScorer(folder), [], []
    plain = scorer._f1
    monkeypatch.setattr(scorer, "_f1", lambda pairs: sent.extend(pairs) or plain(pairs))
    golds = [["sea", "sea", "river"], ["sea", "river"], ["north"]]
    found = scorer.score(["sea 7", "sea 7", "north"], golds, lambda done, total: seen.append((done, total)))
    assert sent == [("sea 7", "sea"), ("sea 7", "river"), ("north", "north")]
    assert seen == [(2, 3), (3, 3)]
    monkeypatch.undo()
    np.testing.assert_allclose(found, scorer.score(["sea 7", "sea 7", "north"], golds), atol=1e-5)
    assert found[0] == found[1]


def test_other_weights_and_other_layers_have_another_hash(folder: Path, tmp_path: Path) -> None:
    other = tiny.checkpoint(tmp_path / "other", seed=1)
    hashes = [BertScorer(folder).hash, BertScorer(folder, 1).hash, BertScorer(other).hash]
    assert len(set(hashes)) == 3
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert BertScorer(moved).hash == hashes[0] == BertScorer(folder, 2).hash


def test_a_folders_name_does_not_choose_the_architecture(folder: Path, tmp_path: Path) -> None:
    named = shutil.copytree(folder, tmp_path / "t5-and-scibert")
    found = open_scorer(str(named)).score(["sea"], [["north"]])
    np.testing.assert_array_equal(found, BertScorer(folder).score(["sea"], [["north"]]))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with a random RoBERTa of 12 layers under the name roberta-base, and no network."""
    snapshot = tmp_path / "hub" / "models--roberta-base" / "snapshots" / ("0" * 40)
    roberta(snapshot)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return snapshot


def roberta(folder: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    torch.manual_seed(0)
    RobertaModel(
        RobertaConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=12,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=34,
            initializer_range=0.5,
        )
    ).save_pretrained(folder)
    # every byte is a token, and there are no merges
    RobertaTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[]).save_pretrained(folder)


def test_a_hub_model_uses_the_recommended_layer_and_the_packages_hash(hub: Path) -> None:
    scorer = open_scorer("roberta-base")
    assert scorer.layers == 10
    assert scorer.hash.startswith("roberta-base_L10_no-idf_version=0.3.1")
    assert scorer.hash.endswith("_prefix-space")
    [found] = scorer.score(["sea"], [["see"]])
    assert found == pytest.approx(naive_f1(hub, 10, "sea", "see", add_prefix_space=True), abs=1e-5)
    assert found != pytest.approx(naive_f1(hub, 10, "sea", "see"), abs=1e-5)


def test_a_long_answer_fits_robertas_position_table(hub: Path) -> None:
    np.testing.assert_allclose(open_scorer("roberta-base").score(["s" * 90], [["s" * 95]]), [1], atol=1e-5)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("roberta-large", "roberta-large is not in the hub's cache. Connect to the Hugging Face hub once"),
        ("../nowhere", "neither a folder nor a hub id"),
        ("", "neither a folder nor a hub id"),
    ],
)
def test_an_encoder_that_is_not_there_is_named_in_one_sentence(model: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        open_scorer(model)
    assert says in str(caught.value)
    assert "--weights" not in str(caught.value)


def test_a_pickle_is_not_read(folder: Path, tmp_path: Path) -> None:
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    torch.save(torch.nn.Linear(1, 1).state_dict(), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        open_scorer(str(pickled))
    with pytest.raises(UserError, match="cannot be loaded"):
        BertScorer(pickled).score(["sea"], [["sea"]])


def test_a_damaged_encoder_or_too_many_layers_get_a_sentence(folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot be loaded"):
        BertScorer(damaged).score(["sea"], [["sea"]])
    with pytest.raises(UserError, match="has 2 layers, not 3"):
        BertScorer(folder, 3).score(["sea"], [["sea"]])


def test_what_is_not_an_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(UserError, match="type 't5': not an encoder"):
        BertScorer(tmp_path).score(["sea"], [["sea"]])


def test_as_many_predictions_as_gold_answers_are_needed(folder: Path) -> None:
    with pytest.raises(ValueError, match="2 predictions do not go with 1"):
        BertScorer(folder).score(["a", "b"], [["a"]])
