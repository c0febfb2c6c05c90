"""Which weights a `metrics.json` was measured on, at which temperature, and whether they are still those of today."""

from __future__ import annotations

from collections.abc import Iterable

from qa_compare.records import Metrics
from qa_compare.variants import Variant


def weights(name: str, variants: Iterable[Variant]) -> dict[str, str]:
    """SHA-256 of the weight files that decide what a variant answers: its own and its base's, as `lora/file`."""
    chosen = [one for one in variants if one.name in ("base", name)]
    return {f"{one.name}/{file}": digest for one in chosen for file, digest in sorted(one.sha256.items())}


def stale(metrics: Metrics, name: str, variants: Iterable[Variant]) -> bool:
    """Whether the scores belong to other weights than those of now.

    A file from before weights were recorded fits whatever lies there, and weights that are not shipped cannot differ.
    """
    here = [one for one in variants if one.shipped and not one.problem]
    now, names = weights(name, here), {one.name for one in here}
    recorded = {path: digest for path, digest in (metrics.weights or {}).items() if path.split("/")[0] in names}
    return bool(recorded) and recorded != now


def sentence(name: str) -> str:
    """What is said of a variant whose scores are stale."""
    return f"{name} was measured on other weights than it has now: python -m qa_compare evaluate FILE --save"


def other_temperature(name: str, metrics: Metrics, temperature: float) -> str | None:
    """What is said of a variant whose confidence was measured at another temperature than it has now; None where it is
    the same. Its answers, and so its exact match and F1, do not depend on it."""
    before = metrics.calibration.temperature
    if before == temperature:
        return None
    return (
        f"{name}'s confidence was measured at a temperature of {before:.3g}, and {temperature:.3g} is used now: "
        "python -m qa_compare evaluate FILE --save"
    )
