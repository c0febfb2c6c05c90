"""What tabs are made of: places for HTML, headings, figures, tables, lists, waiting states, and files to download.

Every text is escaped here. A file made for a visitor lies in a folder that Gradio serves, under a name that nobody can
guess without knowing the content. What runs in the browser beside a `gr.HTML` is given to it as `js_on_load`.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from qa_compare.errors import UserError
from qa_compare.files import atomic
from qa_compare.page import theme
from qa_compare.page.compare import cards
from qa_compare.runs.tables import Row, Table
from qa_compare.workbench.answers import Progress


def progress(now: Progress | None) -> str:
    """How far the answering is; None before it has begun."""
    if now is None:
        return bar(0.0, "Loading the models…")
    share = now.done / now.total if now.total else 1.0
    left = "" if now.left is None else f", about {_time(now.left)} left"
    return bar(share, f"{now.label}: {now.done:,} of {now.total:,} answers{left}")


def bar(share: float, words: str) -> str:
    """A progress bar with words beside it, which screen readers read too."""
    return (
        f'<div class="progress"><progress max="1" value="{share:.3f}" aria-label="Answering"></progress>'
        f"<p>{cards.text(words)}</p></div>"
    )


def told(markup: str) -> str:
    """A line in the place of the progress bar; it is markup, whose texts the caller has escaped."""
    return f'<div class="progress"><p>{markup}</p></div>'


def nothing(first: str, then: str = "") -> str:
    """The place of a table or of a question, where there is none."""
    return f'<div class="nothing"><p>{cards.text(first)}</p><p>{cards.text(then)}</p></div>'


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


_INTERVAL = re.compile(r"(\S+) (\[.*\])")


def table(made: Table, label: str, *, tall: bool = False) -> str:
    """The table in a box of its own that scrolls sideways, and up and down where it is `tall`."""
    head = "".join(f'<th scope="col">{cards.text(title)}</th>' for title in made.columns)
    body = "".join(_row(row) for row in made.rows)
    return (
        f'<div class="scroll{" tall" if tall else ""}" tabindex="0" role="region" aria-label="{cards.text(label)}">'
        f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(row: Row) -> str:
    first, *rest = row.cells
    style = f' class="variant" style="{theme.style(row.variant)}"' if row.variant else ""
    cells = "".join(f"<td>{_cell(cell)}</td>" for cell in rest)
    note = f"<small>{cards.text(row.note)}</small>" if row.note else ""
    return f'<tr{style}><th scope="row">{cards.text(first)}{note}</th>{cells}</tr>'


def _cell(value: str) -> str:
    found = _INTERVAL.fullmatch(value)
    if not found:
        return cards.text(value)
    return f'{cards.text(found[1])} <span class="interval">{cards.text(found[2])}</span>'


def notes(sentences: Iterable[str], *, failed: bool = False) -> str:
    """A small line for each sentence."""
    return "".join(cards.notice(sentence, failed=failed) for sentence in sentences)


def download(file: str, label: str, content: str) -> str:
    """A link that saves `content` as `file`; it holds the content itself, so that no file lies on the server."""
    data = base64.b64encode(content.encode("utf-8")).decode("ascii")
    return (
        f'<a class="download" download="{cards.text(file)}" href="data:text/csv;base64,{data}">{cards.text(label)}</a>'
    )


def heading(title: str, note: str = "") -> str:
    """A section's title, and what to know when reading it."""
    return f"<h2>{cards.text(title)}</h2>" + (f"<p>{cards.text(note)}</p>" if note else "")


def upload_folder() -> Path:
    """Where uploads and exports lie: what GRADIO_TEMP_DIR names, else Gradio's own folder in the system's."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir(), "gradio"))


def saved(data: bytes, name: str) -> str:
    """The path of a file of that name and content; it lies in a folder named after its content.

    Raises:
        UserError: it cannot be written.
    """
    path = upload_folder() / hashlib.sha256(data).hexdigest() / name
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


# a click anywhere in something that can be picked; a button in it brings the keyboard, and, when it is made anew, keeps
# the focus: it is known by what it picks or, like a pager's, by its words
PICK = """
let place = '', words = '';
element.addEventListener('click', event => {
    const one = event.target.closest('[data-pick]');
    if (!one || one.disabled) return;
    place = `[data-pick="${CSS.escape(one.dataset.pick)}"]`;
    words = event.target.closest('button')?.textContent;
    trigger(one.dataset.event || 'click', {pick: one.dataset.pick});
});
watch('value', () => {
    if (!words || document.activeElement !== document.body) return;
    const again = element.querySelector(`button${place}:enabled, ${place} button`)
        || [...element.querySelectorAll('button:enabled')].find(one => one.textContent === words);
    if (again) again.focus({preventScroll: true});
});
"""
# once new cards stand in the page, each passage scrolls, within its own box, to the answer
REVEAL = """
const reveal = () => {
    element.querySelectorAll('.passage').forEach(box => {
        const mark = box.querySelector('mark.predicted') || box.querySelector('mark.gold');
        if (mark) box.scrollTop = mark.offsetTop - (box.clientHeight - mark.offsetHeight) / 2;
    });
    if (element.querySelector('.chosen')) element.scrollIntoView({block: 'nearest'});
};
watch('value', reveal);
reveal();
"""
# read out when it changes
SPEAK = "element.setAttribute('role', 'status');"
# an `input` event for whatever is typed, pasted or dictated into the passage or the question: Gradio's own comes with
# some keys, and never without a keyboard
TYPED = """
const typed = event => event.target.closest('#passage, #question');
let again = [];
const enough = () => again.forEach(clearTimeout);
document.addEventListener('input', event => {
    if (!typed(event)) return;
    trigger('input');
    // an event whose number has not come back from the server yet cannot be cancelled: a moment later it can
    enough();
    again = [100, 400, 1500].map(wait => setTimeout(() => trigger('input'), wait));
});
// what is chosen after that is a later word
for (const kind of ['pointerdown', 'keydown'])
    document.addEventListener(kind, event => { if (!typed(event)) enough(); }, true);
"""


# an event of the page itself: no endpoint for programs, and nothing that shifts while it goes on. One that comes while
# one like it is under way follows it, with the values of then; by itself Gradio would drop it
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
# the same for a click that brings a value of its own, such as a row: each follows, or Gradio would repeat the first
PICKED: dict[str, Any] = {**PRIVATE, "trigger_mode": "multiple"}


# the same, for a handler that checks what is chosen itself. Gradio would refuse, in words for programmers, what was
# chosen from a list that the server has exchanged since
CHECKED: dict[str, Any] = {**PRIVATE, "preprocess": False}


def html(value: str, name: str, script: str | None = None) -> gr.HTML:
    """HTML that events may fill anew; `script` runs in the browser beside it."""
    return gr.HTML(value, elem_id=name, js_on_load=script, apply_default_css=False)


def section(title: str, note: str = "") -> None:
    """A heading."""
    gr.HTML(heading(title, note), elem_classes="section", apply_default_css=False)


def chart(title: str, note: str = "") -> gr.Plot:
    """A heading with a figure below it; the style sheet hides both as long as there is no figure."""
    with gr.Column(elem_classes=["chart", "optional"]):
        section(title, note)
        return gr.Plot(show_label=False, container=False)
