"""The benchmark masks each word as a whole, the question's too, and compares it with the word's importance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import importance as benchmark
from benchmarks.importance import correlations, masked
from qa_compare.data.examples import Example
from qa_compare.inference.engine import Engine
from qa_compare.inference.explanation import explain
from tests import tiny

pytestmark = pytest.mark.slow

EXAMPLE = Example("q", "", "The riverbed rises in the north and flows to sea.", "Where rises the river?")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("benchmark")
    return Engine(str(tiny.checkpoint(folder / "river")), adapters=folder, precision="fp32")


def test_a_word_that_reads_like_the_mask_can_be_masked_without_effect_and_no_other(engine: Engine) -> None:
    told = explain(engine, EXAMPLE.passage, EXAMPLE.question, ["base"], importance=True)["base"].importance
    assert told
    words = [EXAMPLE.question[one.start : one.end] for one in told.question]
    words += [EXAMPLE.passage[one.start : one.end] for one in told.passage]
    weight = engine.model("base").get_input_embeddings().weight
    before = weight[tiny.vocabulary()["rises"]].clone()
    with torch.no_grad():
        weight[tiny.vocabulary()["rises"]] = weight[engine.tokenizer.mask_token_id]
    try:
        drops = masked(engine, EXAMPLE, "base", told)
    finally:
        with torch.no_grad():
            weight[tiny.vocabulary()["rises"]] = before
    assert len(drops) == len(words) == 16
    assert words.count("rises") == 2
    for word, drop in zip(words, drops, strict=True):
        assert (abs(drop) < 1e-3) == (word == "rises"), word  # the least of the others is 0.02


def test_the_correlations_are_spearmans_of_the_sizes_and_of_the_signed_values(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = explain(engine, EXAMPLE.passage, EXAMPLE.question, ["base"], importance=True)["base"].importance
    assert told
    values = np.array([one.value for one in (*told.question, *told.passage)])
    for drops, expected in (
        (np.exp(values), (None, 1.0)),  # in the same order
        (-(values**3), (1.0, -1.0)),  # turned round, of the same order by size
    ):
        monkeypatch.setattr(benchmark, "masked", lambda *_given, drops=drops: drops)
        found = correlations(engine, EXAMPLE, "base")
        for one, right in zip(found, expected, strict=True):
            assert right is None or one == pytest.approx(right)
