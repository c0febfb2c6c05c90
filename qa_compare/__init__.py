"""Base, LoRA and prompt tuning, side by side, on extractive question answering."""

__version__ = "0.1.0"
