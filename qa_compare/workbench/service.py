"""What the page asks: engines by backbone, the sources of questions, and answers. Knows nothing of the page."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

from qa_compare.data import sources
from qa_compare.data.examples import Answer, Example, check_question, fingerprint
from qa_compare.data.readers import check_upload, read_examples
from qa_compare.errors import UserError, quoted
from qa_compare.inference.comparison import Comparison
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones
from qa_compare.models.backbones import Availability
from qa_compare.models.variants import Variant

SAMPLE, SQUAD, UPLOAD = "sample", "squad", "upload"
_SQUAD = "SQuAD v1.1 validation"
MIN_VARIANTS, MAX_VARIANTS = 2, 6  # side by side


@dataclass(frozen=True)
class Questions:
    """The questions of one source; `note` says what of its file was left out, and why."""

    label: str
    examples: tuple[Example, ...]
    note: str = ""

    @cached_property
    def by_id(self) -> dict[str, Example]:
        """The questions by their ids."""
        return {example.id: example for example in self.examples}

    @cached_property
    def by_title(self) -> dict[str, list[Example]]:
        """The articles in their order, each with its questions."""
        articles: dict[str, list[Example]] = {}
        for example in self.examples:
            articles.setdefault(example.title, []).append(example)
        return articles

    @cached_property
    def fingerprint(self) -> str:
        """As `examples.fingerprint`."""
        return fingerprint(self.examples)

    @cached_property
    def key(self) -> int:
        """Another one wherever anything differs, the order and the titles too, of which `fingerprint` says nothing."""
        return hash(self.examples)

    def gold(self, identifier: str | None, passage: str, question: str) -> tuple[Answer, ...]:
        """The gold answers of that question, as long as passage and question are still the ones they belong to."""
        example = self.by_id.get(identifier or "")
        if example is None or (example.passage, example.question) != (passage, question):
            return ()
        return example.answers


class Service:
    """One engine a backbone, shared by all visitors, and the questions there are.

    `squad` is a file whose questions take the place of SQuAD's validation questions from the hub.
    """

    def __init__(self, engines: Mapping[str, Engine], backbone: str, squad: Path | None = None) -> None:
        self.engines = dict(engines)
        self.backbone = backbone
        self.squad = squad
        self._warm: dict[tuple[str, str], str] = {}
        self._warming = {name: threading.Lock() for name in self.engines}  # nobody waits for another backbone

    @property
    def sources(self) -> list[tuple[str, str]]:
        """(label, key) of the sources that are always listed; an upload joins them in its visitor's page."""
        named = self.squad.name if self.squad else f"{_SQUAD} (Hugging Face hub)"
        return [("Built-in sample", SAMPLE), (named, SQUAD)]

    def questions(self, source: str, upload: str = "") -> Questions:
        """The questions of a source; of `UPLOAD`, those of the file `upload`.

        Raises:
            UserError: the file holds no question that can be read, no file was opened, the hub cannot be reached, or
                there is no such source.
        """
        if source == UPLOAD:
            if not upload:
                raise UserError("no file was opened here yet: open one first")
            return _read_file(Path(upload))
        if source == SQUAD:
            return _squad(self.squad)
        if source != SAMPLE:
            raise UserError(f"unknown source {quoted(source)}: there are {SAMPLE}, {SQUAD} and {UPLOAD}")
        return _sample()

    def readiness(self, name: str) -> Availability:
        """Whether a backbone can answer at once; its detail says with what, or what it would take. Asks no host."""
        engine = self.engines[name]
        if not engine.at_hand:  # else its weights were found, by way of an option, when the page started
            weights = backbones.availability(name)
            if not weights.ready:
                return weights
        elif problem := backbones.without_tokenizer(engine.located):
            return Availability(name, False, problem)
        broken = [variant.problem for variant in engine.variants if variant.problem]
        if len(broken) == len(engine.variants):
            return Availability(name, False, broken[0] or "")
        return Availability(name, True, engine.source.description)

    def engine(self, backbone: str) -> Engine:
        """The backbone's engine. Raises UserError with the names there are."""
        if backbone not in self.engines:
            raise UserError(f"unknown backbone {quoted(backbone)}: there are {', '.join(self.engines)}")
        return self.engines[backbone]

    def choices(self, backbone: str) -> list[Variant]:
        """The variants that can be columns: all whose weights are at hand, and those that say what is wrong with them.

        Raises:
            UserError: an unknown backbone.
        """
        return [variant for variant in self.engine(backbone).variants if variant.shipped or variant.problem]

    def shown(self, backbone: str, variants: Sequence[str] = ()) -> tuple[str, ...]:
        """The names of the variants to show, each once: those asked for or, without any, those shown by default.

        Raises:
            UserError: an unknown backbone or variant, fewer than two of those there are, or more than six.
        """
        if not variants:
            return self.engine(backbone).default_variants
        known = [variant.name for variant in self.choices(backbone)]
        chosen = tuple(dict.fromkeys(variants))
        if unknown := [name for name in chosen if name not in known]:
            raise UserError(f"unknown variant {quoted(unknown[0])} of {backbone}: there are {', '.join(known)}")
        if not min(MIN_VARIANTS, len(known)) <= len(chosen) <= MAX_VARIANTS:
            raise UserError(f"Two to six variants are compared, not {len(chosen)}.")
        return chosen

    def compare(
        self, passage: str, question: str, backbone: str | None = None, variants: Sequence[str] = ()
    ) -> Comparison:
        """What the backbone's variants answer, in the order asked for; without names, those shown by default.

        Raises:
            UserError: an unknown backbone or variant, too few or too many, an empty or too long passage or question, or
                a backbone whose weights are not at hand.
        """
        name = backbone or self.backbone
        engine = self.engine(name)
        chosen = self.shown(name, variants)
        check_question(passage, question)
        if not engine.at_hand and not (weights := backbones.availability(name)).ready:
            raise UserError(weights.detail)
        self.warm_up(name, chosen)
        return engine.compare(passage, question, chosen)

    def warm_up(self, name: str, chosen: Sequence[str]) -> None:
        """Load variants and answer once, each at its first call. Raises UserError where that cannot be done.

        A first pass also pays for loading, which would count as the first column's time.
        """
        with self._warming[name]:
            engine = self.engine(name)
            keys = {one: engine.key(engine.variant(one)) for one in chosen}
            if cold := [one for one, key in keys.items() if self._warm.get((name, one)) != key]:
                engine.compare("Warming up.", "What is this?", cold)
                self._warm.update(((name, one), keys[one]) for one in cold)

    def prepare(self, name: str, chosen: Sequence[str]) -> None:
        """Do so where it can be done; whoever asks is told what is missing."""
        with suppress(UserError):
            if self.readiness(name).ready:
                self.warm_up(name, chosen)

    def look_again(self) -> None:
        """Look at the variants' folders: what has come, gone or been trained anew counts from now."""
        for engine in self.engines.values():
            engine.look_again()

    def warm_up_beside(self) -> threading.Thread:
        """Do so for the first backbone in a thread of its own, while the page is already served."""

        chosen = self.shown(self.backbone)
        thread = threading.Thread(target=self.prepare, args=(self.backbone, chosen), name="warm-up", daemon=True)
        thread.start()
        return thread


@cache
def _sample() -> Questions:
    return Questions("Built-in sample", tuple(sources.sample()))


@lru_cache(maxsize=4)
def _squad(file: Path | None) -> Questions:
    if file:
        return Questions(file.name, tuple(read_examples(file)))
    return Questions(_SQUAD, tuple(sources.squad_validation()))


@lru_cache(maxsize=4)  # uploads never change: their folder is named after their bytes
def _read_file(path: Path) -> Questions:
    found = check_upload(path)
    note = ""
    if found.problems:
        first, rest = found.problems[0], len(found.problems) - 1
        more = f" ({rest:,} more like it)" if rest else ""
        note = f"left out {first.row}: {first.message}{more}"
        if not found.examples:
            raise UserError(f"{path.name}: {first.row}: {first.message}{more}")
    note = "; ".join(filter(None, [note, *(sentence.removesuffix(".") for sentence in found.reading.golds)]))
    return Questions(path.name, tuple(found.examples), note)
