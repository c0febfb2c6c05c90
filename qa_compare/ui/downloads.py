"""Files made for a visitor, in a folder that Gradio serves and that nobody can name without knowing the content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from qa_compare.errors import UserError
from qa_compare.files import atomic


def saved(data: bytes, name: str) -> str:
    """The path of a file of that name and content; it lies in a folder named after its content.

    Raises:
        UserError: it cannot be written.
    """
    path = Path(get_upload_folder()) / hashlib.sha256(data).hexdigest() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as beside:
            beside.write_bytes(data)
    except (OSError, UserError) as error:  # without the path that either names
        raise UserError("Exports are off on this server: it has no room for files") from error
    return str(path)


def saved_text(text: str, name: str) -> str:
    """The same for a text; a table says that it is UTF-8, or spreadsheets misread the letters of other languages."""
    return saved(text.encode("utf-8-sig" if name.endswith(".csv") else "utf-8", "replace"), name)


def hidden(name: str) -> gr.DownloadButton:
    """The button whose file the page fetches: `fetch` presses it."""
    return gr.DownloadButton(visible="hidden", elem_id=name)


def fetch(name: str) -> str:
    """The script of an event that follows the writing, once the page has the new file's address."""
    return f"() => setTimeout(() => document.querySelector('#{name}').click(), 200)"
