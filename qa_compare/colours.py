"""One colour a variant, the same in cards, charts and tables.

The colours stay apart under the three kinds of colour blindness, and reach 4.5:1 as text on the page's surfaces; the
tests measure both.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """`light` and `dark`: for text and lines on that side of the theme. `chart`: for marks that show on both (3:1)."""

    light: str
    dark: str
    chart: str


VARIANT_COLOURS: dict[str, Colour] = {
    "base": Colour("#4F5B6B", "#AEB9C7", "#768395"),
    "lora": Colour("#0B5FCC", "#4DA3FF", "#2A78E0"),
    "prompt-tuning": Colour("#B05700", "#F5A93B", "#C77400"),
    "prefix-tuning": Colour("#7F4899", "#A77BB9", "#AE78C7"),
    "ia3": Colour("#008050", "#A3F2C5", "#2DA06B"),
    "head": Colour("#454007", "#E2D482", "#746C29"),
    "full": Colour("#5E3033", "#EB727B", "#FF4965"),
}
_SPARE = ("prefix-tuning", "ia3", "head", "full")


def colour(variant: str) -> Colour:
    """The variant's colour; a folder of another name gets one of the spare ones, always the same."""
    if variant in VARIANT_COLOURS:
        return VARIANT_COLOURS[variant]
    return VARIANT_COLOURS[_SPARE[zlib.crc32(variant.encode()) % len(_SPARE)]]
