"""Examples x variants -> predictions: one tokenisation for all variants, precision, cancelling.

The answers to the last questions are kept, so that the same question again costs a look-up.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch

from qa_compare.data.examples import Example, check_question
from qa_compare.errors import UserError
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Floats, Overlong, Prediction, decode, overlong
from qa_compare.inference.scheduler import Pair, Turns, by_length, in_halves, left
from qa_compare.models import backbones
from qa_compare.models.features import MAX_LENGTH, Encoded, Window, encode, pad, question_limit
from qa_compare.models.registry import DEFAULT, IN_BF16, Loaded, Models, fastest_precision
from qa_compare.models.variants import Variant

Value = TypeVar("Value")
Key = tuple[Hashable, ...]


class AnswerCache(Generic[Value]):
    """At most `size` values, the one longest unused forgotten first. Threads may share it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._making: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value that was put under the key, which is now the one used last; None where there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep a value, and forget the one longest unused where it is one too many."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self.size:
                self._values.popitem(last=False)

    def made(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value under the key, which `make` gives where there is none.

        Of threads that ask for one value at the same time one makes it, and the others wait; nobody waits for another
        value. Raises what `make` raises, and then the next who asks makes it.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            try:
                value = self.get(key)
                if value is None:
                    value = make()
                    self.put(key, value)
                return value
            finally:
                with self._lock:
                    self._making.pop(key, None)

    def drop(self, key: Key) -> None:
        """Forget the value under the key, where there is one."""
        with self._lock:
            self._values.pop(key, None)


def digest(*texts: str) -> bytes:
    """A hash of texts in their order: a passage of 200,000 characters is not kept for being part of a key."""
    whole = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8))
        whole.update(data)
    return whole.digest()


_CHUNK = 256
_REMEMBERED = 1_024  # columns of answers, each some kilobytes
_TOKENS = 1_024  # of a batch, where a processor is fastest; a card takes as many rows as it is told
Logits = tuple[list[Floats], list[Floats]]


class Cancelled(Exception):
    """The caller's `cancelled()` said so; what was answered until then has been yielded."""


class Engine(Models):
    """The variants of one backbone, answering. Cheap to make: weights are loaded at the first question, once.

    `precision` is "fp32", as saved answers are, "bf16" (autocast), or "auto": bf16 where this processor multiplies it
    faster, else fp32.
    Threads may share an engine.
    """

    def __init__(
        self,
        backbone: str = "minilm-l6-qa",
        *,
        adapters: Path = backbones.ADAPTERS,
        weights: Path | None = None,
        revision: str | None = None,
        precision: str = DEFAULT,
        batch_size: int = 32,
        device: str = "auto",
    ) -> None:
        if precision not in {"auto", "fp32", "bf16"}:
            raise UserError(f"unknown precision {precision!r}: choose auto, fp32 or bf16")
        super().__init__(backbone, adapters, weights, revision, device)
        self.batch_size = batch_size
        self.precision = fastest_precision(self.device.type) if precision == "auto" else precision
        self._remembered: AnswerCache[VariantAnswer] = AnswerCache(_REMEMBERED)
        self._limits = {"rows": batch_size, "tokens": _TOKENS if self.device.type == "cpu" else batch_size * MAX_LENGTH}
        self._turns = Turns(self._forward, **self._limits)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be said wherever answers of this engine stand."""
        return (IN_BF16,) if self.precision == "bf16" else ()

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The examples' windows, which every variant of the backbone reads."""
        with self._lock:
            return encode(examples, self.tokenizer, max_length=self.max_length)

    def overlong(self, examples: Sequence[Example]) -> Overlong:
        """What of the examples goes over the limits of tokens."""
        with self._lock:
            return overlong(examples, self.tokenizer, self.max_length)

    def logits(
        self, encoded: Sequence[Encoded], variant: str | Loaded, cancelled: Callable[[], bool] | None = None
    ) -> list[Logits]:
        """Start and end logits of each example's windows, in fp32; windows of like length share a batch.

        Raises:
            Cancelled: between two batches, when `cancelled()` is true, or whoever asked has left.
        """
        loaded = self.load(variant)
        windows = [window for one in encoded for window in one.windows]
        found: dict[int, Pair] = {}
        for places in by_length(windows, **self._limits):
            if left() or (cancelled and cancelled()):
                raise Cancelled
            found.update(zip(places, self._turns(loaded, [windows[place] for place in places]), strict=True))
        pairs = iter([found[place] for place in range(len(windows))])
        rows = [[next(pairs) for _ in one.windows] for one in encoded]
        return [([start for start, _ in row], [end for _, end in row]) for row in rows]

    def _forward(self, variant: Loaded, windows: Sequence[Window]) -> list[Pair]:
        """Start and end logits of a batch, in two or more parts where memory does not suffice. `Turns` calls it."""
        return in_halves(partial(self._pass, variant), windows)

    def _pass(self, variant: Loaded, windows: Sequence[Window]) -> list[Pair]:
        """One forward pass: each row is as long as its longest window."""
        batch = pad(windows, self.tokenizer.pad_token_id)
        with torch.inference_mode(), self._autocast():
            output = variant.model(**{name: tensor.to(self.device) for name, tensor in batch.items()})
        start, end = output.start_logits.float().cpu().numpy(), output.end_logits.float().cpu().numpy()
        return list(zip(start, end, strict=True))

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def stream(
        self,
        examples: Sequence[Example],
        variant: str | Loaded,
        *,
        top: int = 5,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[list[Prediction]]:
        """Predictions in the examples' order, some hundred at a time; memory stays bounded by that.

        Raises:
            Cancelled: between two batches, when `cancelled()` is true.
        """
        loaded = self.load(variant)
        for first in range(0, len(examples), _CHUNK):
            encoded = self.encode(examples[first : first + _CHUNK])
            logits = self.logits(encoded, loaded, cancelled)
            yield [
                decode(one, starts, ends, temperature=loaded.variant.temperature, top=top)
                for one, (starts, ends) in zip(encoded, logits, strict=True)
            ]

    def predict(
        self,
        examples: Sequence[Example],
        variant: str | Loaded,
        *,
        top: int = 5,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Prediction]:
        """All predictions, in the examples' order; `progress(done, total)` is called as they come."""
        predictions: list[Prediction] = []
        for some in self.stream(examples, variant, top=top, cancelled=cancelled):
            predictions += some
            if progress:
                progress(len(predictions), len(examples))
        return predictions

    def compare(
        self,
        passage: str,
        question: str,
        variants: Sequence[str] | None = None,
        *,
        top: int = 5,
        cancelled: Callable[[], bool] | None = None,
    ) -> Comparison:
        """What each variant answers. A variant that cannot answer says why in its column; the others answer.

        An answer to one of the last questions is given again, with the time that it took then.

        Raises:
            UserError: an empty or too long passage or question, an unknown variant, or no weights for the backbone.
            Cancelled: between two batches, when `cancelled()` is true.
        """
        check_question(passage, question)
        names = self.default_variants if variants is None else tuple(variants)
        chosen = [self.variant(name) for name in names]
        asked = digest(passage, question)
        known = {one.name: self._remembered.get(self._key(asked, self.key(one), top)) for one in chosen}
        if missing := [variant for variant in chosen if known[variant.name] is None]:
            [encoded] = self.encode([Example("", "", passage, question)])
            for variant in missing:
                known[variant.name] = self._answer(encoded, variant, top, cancelled)
        answers = tuple(column for name in names if (column := known[name]))
        notes = tuple(variant.note for variant in chosen if variant.note)
        return Comparison(passage, question, answers, (*self.warnings, *notes, *self._warnings(answers)))

    def _warnings(self, answers: Sequence[VariantAnswer]) -> tuple[str, ...]:
        """What was cut or not understood; the columns read the same windows, so that one of them tells."""
        warnings = []
        read = next((answer.prediction for answer in answers if answer.prediction), None)
        if read and read.question_cut:
            most = question_limit(self.max_length)
            warnings.append(f"The question is longer than {most} tokens: only its beginning was read.")
        unknown = read.unknown if read else ()
        sentence = "Most of the {} is unknown to this model's vocabulary: no answer can be relied on."
        return (*warnings, *(sentence.format(text) for text in unknown))

    def _answer(
        self, encoded: Encoded, variant: Variant, top: int, cancelled: Callable[[], bool] | None
    ) -> VariantAnswer:
        try:
            loaded = self.load(variant.name)
            begin = time.perf_counter()
            [(starts, ends)] = self.logits([encoded], loaded, cancelled)
        except UserError as error:
            return VariantAnswer(variant.name, variant.label, None, problem=str(error))
        variant = loaded.variant
        prediction = decode(encoded, starts, ends, temperature=variant.temperature, top=top)
        answer = VariantAnswer(variant.name, variant.label, prediction, (time.perf_counter() - begin) * 1000)
        self._remembered.put(
            self._key(digest(encoded.example.passage, encoded.example.question), loaded.key, top), answer
        )
        return answer

    def _key(self, asked: bytes, weights: str, top: int) -> Key:
        """What an answer is kept under: the question, and all that decides how it is answered."""
        return asked, self.backbone, weights, self.precision, top
