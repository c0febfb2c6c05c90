"""Gradient x input: what each token of a window counts for the answer that was found in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from qa_compare.decoding import MAX_ANSWER_TOKENS, Layout
from qa_compare.features import Window, pad
from qa_compare.modeling import share


def gradient_times_input(
    model: nn.Module, window: Window, table: Layout, answer: tuple[int, int], temperature: float = 1.0
) -> NDArray[np.float64]:
    """A value for each of the window's L tokens: its word embedding times the gradient of `log_confidence` by it.

    To first order, it is how far the logarithm of the answer's confidence would sink if the token's word embedding
    were nought. The input is the word embedding alone: of its sum with position and segment, which BERT normalises
    next and thereby frees of its length, the product would be nought at every token. `table` has the spans of
    the window alone, and `answer` the first character of one of them and the character behind its last. In fp32
    whatever the precision of the answer.

    Gradients of the class's score by the input: Simonyan, Vedaldi and Zisserman (2014), "Deep inside convolutional
    networks", arXiv:1312.6034. Times the input: Shrikumar, Greenside, Shcherbina and Kundaje (2016), "Not just a black
    box", arXiv:1605.01713; for words, summed over the embedding: Denil, Demiraj and de Freitas (2014), "Extraction of
    salient sentences from labelled documents", arXiv:1412.6815.
    """
    # a module tree of its own, over the same tensors: the hook below is for no other thread that uses the variant
    model = share(model)  # type: ignore[arg-type]
    device = next(model.parameters()).device
    embedded: list[Tensor] = []

    def watch(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    embeddings: nn.Module = model.get_input_embeddings()
    embeddings.register_forward_hook(watch)
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        output = model(**{name: tensor.to(device) for name, tensor in pad([window], 0).items()})
        inside = slice(window.passage_start, window.passage_start + window.passage_tokens)
        value = log_confidence(output.start_logits[0, inside], output.end_logits[0, inside], table, answer, temperature)
        [words] = embedded
        # `grad`, not `backward`: it writes to no tensor that variants share
        [gradient] = torch.autograd.grad(value, words)
    return (gradient * words.detach())[0].double().sum(dim=-1).cpu().numpy()


def log_confidence(
    starts: Tensor, ends: Tensor, table: Layout, answer: tuple[int, int], temperature: float = 1.0
) -> Tensor:
    """The logarithm of the share that the span `answer` has in a softmax over all spans of one window, whose `table` is
    given with the logits of its P passage tokens. Of a passage of one window it is the logarithm of the confidence that
    decoding gives.
    """
    padded = F.pad(ends, (0, MAX_ANSWER_TOKENS - 1), value=float("-inf"))
    pairs = (starts[:, None] + padded.unfold(0, MAX_ANSWER_TOKENS, 1)).flatten()
    cells = torch.from_numpy(table.cells).to(pairs.device).flatten()
    size = len(table.starts) * table.width
    best = torch.full((size,), float("-inf"), dtype=pairs.dtype, device=pairs.device)
    best = best.scatter_reduce(0, cells, pairs.detach(), "amax")
    is_span = best.isfinite()
    is_span[torch.from_numpy(table.empty).to(pairs.device)] = False
    # behind the passage's end, pairs of minus infinity: their gradient would not be a number
    real = pairs.isfinite()
    sums = torch.zeros_like(best).index_add(0, cells[real], (pairs[real] - best[cells[real]]).exp())
    scores = (best[is_span] + sums[is_span].log()) / temperature
    [place] = (is_span.nonzero().flatten() == table.cell(*answer)).nonzero().flatten()
    return scores[place] - scores.logsumexp(dim=0)
