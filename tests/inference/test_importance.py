"""Gradient x input equals a finite difference through every kind of variant, and leaves no trace on what they share."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from qa_compare.inference.decoding import decode, layout
from qa_compare.inference.explanation import gradient_times_input, log_confidence
from qa_compare.models.features import pad
from qa_compare.models.modeling import QAPeftModel, merge, own_head
from tests import tiny
from tests.inference.test_decoding import encoded_of
from tests.models.test_modeling import ia3, lora, prefix, prompt

pytestmark = pytest.mark.slow

PASSAGE = "the river 1637 rises in the north and flows to sea 42"  # the numbers are several tokens each
ENCODED = encoded_of(PASSAGE)
TABLE = layout(ENCODED)
[WINDOW] = ENCODED.windows
ANSWER = (PASSAGE.index("1637"), PASSAGE.index(" in "))
TEMPERATURE = 1.7


def plain() -> torch.nn.Module:
    return tiny.model().requires_grad_(False)


def adapted(config) -> torch.nn.Module:
    model = QAPeftModel(own_head(tiny.model()), config())
    return model.eval().requires_grad_(False)


def merged(config) -> torch.nn.Module:
    return merge(QAPeftModel(own_head(tiny.model()), config())).eval().requires_grad_(False)


MODELS = {
    "base": plain,
    "lora": lambda: merged(lora),
    "ia3": lambda: merged(ia3),
    "prompt tuning": lambda: adapted(prompt),
    "prefix tuning": lambda: adapted(prefix),
}


@pytest.fixture(params=MODELS)
def model(request) -> torch.nn.Module:
    return MODELS[request.param]()


def logits(model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    inside = slice(WINDOW.passage_start, WINDOW.passage_start + WINDOW.passage_tokens)
    with torch.no_grad():
        output = model(**pad([WINDOW], 0))
    return output.start_logits[0, inside], output.end_logits[0, inside]


def scaled(model: torch.nn.Module, token: int, factor: float) -> float:
    """The answer's log confidence when one token's word embedding is multiplied by a factor."""

    def scale(_module, _inputs, output):
        factors = torch.ones(output.shape[1], 1, dtype=output.dtype)
        factors[token] = factor
        return output * factors

    handle = model.get_input_embeddings().register_forward_hook(scale)
    try:
        return float(log_confidence(*logits(model), TABLE, ANSWER, TEMPERATURE))
    finally:
        handle.remove()


def test_it_equals_a_finite_difference(model):
    model = model.double()
    found = gradient_times_input(model, WINDOW, TABLE, ANSWER, TEMPERATURE)
    step = 1e-5
    expected = [
        (scaled(model, token, 1 + step) - scaled(model, token, 1 - step)) / (2 * step)
        for token in range(len(WINDOW.input_ids))
    ]
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_differentiated_is_the_logarithm_of_the_confidence():
    output = tiny.model()(**pad([WINDOW], 0))
    rows = output.start_logits.detach().numpy(), output.end_logits.detach().numpy()
    for candidate in decode(ENCODED, *rows, temperature=TEMPERATURE, top=20).candidates:
        found = log_confidence(*logits(tiny.model()), TABLE, (candidate.start, candidate.end), TEMPERATURE)
        assert float(found) == pytest.approx(np.log(candidate.confidence), abs=1e-4)


def test_a_word_without_an_embedding_counts_for_nothing():
    model = plain()
    river = tiny.vocabulary()["river"]
    model.get_input_embeddings().weight[river] = 0
    found = gradient_times_input(model, WINDOW, TABLE, ANSWER)
    at = WINDOW.input_ids == river
    assert at.any()
    assert (found[at] == 0).all()
    assert (found[~at] != 0).all()


def test_the_sum_with_position_and_segment_would_count_for_nothing_since_it_is_normalised():
    model = plain().double()
    summed: list[torch.Tensor] = []

    def watch(_module, inputs):
        summed.append(inputs[0].detach().requires_grad_())
        return (summed[-1],)

    handle = model.bert.embeddings.LayerNorm.register_forward_pre_hook(watch)
    with torch.enable_grad():
        output = model(**pad([WINDOW], 0))
        handle.remove()
        inside = slice(WINDOW.passage_start, WINDOW.passage_start + WINDOW.passage_tokens)
        value = log_confidence(output.start_logits[0, inside], output.end_logits[0, inside], TABLE, ANSWER)
        [gradient] = torch.autograd.grad(value, summed[0])
    assert float((gradient * summed[0].detach()).sum(dim=-1).abs().max()) < 1e-6
    assert np.abs(gradient_times_input(model, WINDOW, TABLE, ANSWER)).max() > 0.01


@pytest.mark.parametrize("trainable", [False, True])
def test_shared_weights_stay_without_gradients_and_the_model_as_it_was(model, trainable):
    model.requires_grad_(trainable)
    before = logits(model)
    gradient_times_input(model, WINDOW, TABLE, ANSWER)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad is trainable for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(one, other) for one, other in zip(before, logits(model), strict=True))


def test_it_can_be_asked_for_where_gradients_are_switched_off(model):
    expected = gradient_times_input(model, WINDOW, TABLE, ANSWER)
    with torch.no_grad():
        np.testing.assert_array_equal(gradient_times_input(model, WINDOW, TABLE, ANSWER), expected)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(gradient_times_input(model, WINDOW, TABLE, ANSWER), expected)


def test_other_threads_may_use_the_model_meanwhile():
    model = adapted(prompt)
    expected, answer = gradient_times_input(model, WINDOW, TABLE, ANSWER), logits(model)
    wrong: list[str] = []

    def ask() -> None:
        with torch.inference_mode():
            for _ in range(40):
                output = model(**pad([WINDOW], 0))
                found = output.start_logits[0, WINDOW.passage_start :][: WINDOW.passage_tokens]
                if output.start_logits.requires_grad or not torch.allclose(found, answer[0], atol=1e-4):
                    wrong.append("an answer differs")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    found = [gradient_times_input(model, WINDOW, TABLE, ANSWER) for _ in range(8)]
    for thread in threads:
        thread.join()
    assert wrong == []
    for one in found:
        np.testing.assert_allclose(one, expected, atol=1e-6)
