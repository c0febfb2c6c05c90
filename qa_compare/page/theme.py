"""How the page looks: one colour a variant, and one theme with a light and a dark side. No font is fetched.

The variants' colours are the same in cards, charts and tables. They stay apart under the three kinds of colour
blindness, and reach 4.5:1 as text on the page's surfaces; the tests measure both.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import gradio as gr


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


SURFACE, SURFACE_DARK = "#FFFFFF", "#171B21"
CANVAS, CANVAS_DARK = "#F5F6F8", "#0E1116"


def style(variant: str) -> str:
    """The `style` attribute's content that hands a variant's colour to the style sheet."""
    chosen = colour(variant)
    return f"--light:{chosen.light};--dark:{chosen.dark}"


def css() -> str:
    """The page's style sheet."""
    return (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


_INK, _PAPER = "#161B22", "#E9EDF2"
# Gradio's own variables
_VALUES = {
    "body_background_fill": CANVAS,
    "body_background_fill_dark": CANVAS_DARK,
    "body_text_color": _INK,
    "body_text_color_dark": _PAPER,
    "body_text_color_subdued": "#566072",
    "body_text_color_subdued_dark": "#A3ADBB",
    "background_fill_primary": SURFACE,
    "background_fill_primary_dark": SURFACE_DARK,
    "background_fill_secondary": "#EEF0F4",
    "background_fill_secondary_dark": "#1F242C",
    "border_color_primary": "#DFE3E9",
    "border_color_primary_dark": "#2C333D",
    "color_accent": "#0B5FCC",
    "color_accent_soft": "#E5EFFC",
    "color_accent_soft_dark": "#1B2C44",
    "block_background_fill": "transparent",
    "block_background_fill_dark": "transparent",
    "block_border_width": "0px",
    "block_padding": "0px",
    "block_shadow": "none",
    "block_title_text_color": "#566072",
    "block_title_text_color_dark": "#A3ADBB",
    "block_title_text_size": "13px",
    "block_title_text_weight": "500",
    "block_info_text_color": "#566072",
    "block_info_text_color_dark": "#A3ADBB",
    "block_info_text_size": "13px",
    "form_gap_width": "0px",
    "layout_gap": "16px",
    "input_background_fill": SURFACE,
    "input_background_fill_dark": "#12161B",
    "input_background_fill_focus": SURFACE,
    "input_border_color": "#8A94A3",
    "input_border_color_dark": "#667080",
    "input_border_color_focus": "#0B5FCC",
    "input_border_color_focus_dark": "#4DA3FF",
    "input_border_width": "1px",
    "input_padding": "10px 12px",
    "input_placeholder_color": "#667080",
    "input_placeholder_color_dark": "#97A1AF",
    "input_radius": "8px",
    "input_shadow": "none",
    "input_shadow_focus": "0 0 0 3px #0B5FCC33",
    "input_shadow_focus_dark": "0 0 0 3px #4DA3FF44",
    "input_text_size": "15px",
    "button_large_radius": "8px",
    "button_large_padding": "10px 18px",
    "button_large_text_size": "15px",
    "button_large_text_weight": "600",
    "button_primary_background_fill": _INK,
    "button_primary_background_fill_dark": _PAPER,
    "button_primary_background_fill_hover": "#2D3542",
    "button_primary_background_fill_hover_dark": "#FFFFFF",
    "button_primary_border_color": _INK,
    "button_primary_border_color_dark": _PAPER,
    "button_primary_border_color_hover": _INK,
    "button_primary_border_color_hover_dark": _PAPER,
    "button_primary_text_color": "#FFFFFF",
    "button_primary_text_color_dark": _INK,
    "button_secondary_background_fill": SURFACE,
    "button_secondary_background_fill_dark": "#1F242C",
    "button_secondary_background_fill_hover": "#EEF0F4",
    "button_secondary_background_fill_hover_dark": "#2C333D",
    "button_secondary_border_color": "#8A94A3",
    "button_secondary_border_color_dark": "#667080",
    "button_secondary_text_color": _INK,
    "button_secondary_text_color_dark": _PAPER,
}


def theme() -> gr.themes.Base:
    """Gradio's own controls in the page's colours: ink and paper, so that colour is left to the variants."""
    return gr.themes.Base(
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
        text_size=gr.themes.sizes.text_md,
        radius_size=gr.themes.sizes.radius_md,
    ).set(**_VALUES)
