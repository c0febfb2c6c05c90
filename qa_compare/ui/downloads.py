"""Files made for a visitor, in a folder that Gradio serves and that nobody can name without knowing the content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gradio.utils import get_upload_folder


def click(button: str) -> str:
    """The script that downloads it, by the id of a hidden button, once the page has the new file's address."""
    return f"() => setTimeout(() => document.querySelector('#{button}').click(), 200)"


def offer(name: str, text: str) -> str:
    """The path of a file with that name and content, for a `gr.DownloadButton`."""
    # a byte order mark: without it, spreadsheets read the letters of other languages wrongly
    data = text.encode("utf-8-sig" if name.endswith(".csv") else "utf-8", "replace")
    folder = Path(get_upload_folder()) / hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return str(path)
