"""The button that copies a link to what the cards show, and what a link opens."""

from __future__ import annotations

from collections.abc import Mapping

from qa_compare import links
from qa_compare.asking import Asked, from_link, to_link
from qa_compare.errors import UserError
from qa_compare.history import Session
from qa_compare.service import Service
from qa_compare.ui import cards

# where the clipboard is not to be had (a page without https), the link is there to be copied by hand
COPY = """
const tell = () => document.querySelectorAll('#tools .label-wrap').forEach(
    panel => panel.setAttribute('aria-expanded', panel.classList.contains('open')));
// the panels may come, or be made anew, after this
new MutationObserver(tell).observe(document.body, {subtree: true, childList: true, attributeFilter: ['class']});
tell();
element.addEventListener('click', async event => {
    const button = event.target.closest('button');
    if (!button) return;
    const told = element.querySelector('[role=status]');
    const box = element.querySelector('input');
    if (button.dataset.problem) { told.textContent = button.dataset.problem; return; }
    box.value = `${location.origin}${location.pathname}?${button.dataset.query}`;
    try {
        await navigator.clipboard.writeText(box.value);
        told.textContent = 'Link copied.';
    } catch {
        box.hidden = false;
        box.select();
        told.textContent = 'Copy it from here:';
    }
});
"""


def button(service: Service, session: Session) -> str:
    """The button, with the query of the link to what is shown, or with the sentence why there is none."""
    try:
        if session.shown is None:
            raise UserError("There is no answer to link to yet.")
        holds = f'data-query="{cards.text(links.write(to_link(service, session.shown)))}"'
    except UserError as error:
        holds = f'data-problem="{cards.text(str(error))}"'
    return (
        f'<button type="button" class="small" {holds}>Copy link</button><span role="status"></span>'
        f'<input aria-label="Link" readonly hidden>'
    )


def opened(service: Service, parameters: Mapping[str, str]) -> Asked | None:
    """What the page's address asks, None where it asks nothing of its own. Raises UserError for a broken link."""
    link = links.read(parameters)
    return from_link(service, link) if link else None
