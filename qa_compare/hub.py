"""Whether the Hugging Face hub may be asked at all."""

from __future__ import annotations

import os


def switched_off() -> bool:
    """What HF_HUB_OFFLINE says now; the library's own constant is what it said at import."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
