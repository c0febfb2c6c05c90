"""Take the README's pictures of the page: `make screenshots` writes docs/images/*.png, with the adapters at hand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from qa_compare.backbones import BACKBONES
from qa_compare.engine import Engine
from qa_compare.service import Service
from qa_compare.ui.page import build_page, launch_options
from tests.conftest import BACKBONE, HOST, QUIET, SHIPPED, free_port

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1440, 900


def main() -> None:
    """Serve the page, look at it in Chromium, and write the pictures."""
    page = build_page(Service({name: Engine(name) for name in BACKBONES}, BACKBONE))
    page.launch(server_name=HOST, server_port=free_port(), prevent_thread_lock=True, quiet=True, **launch_options())
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or None, args=QUIET)
        window = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        window.goto(f"{page.local_url}?__theme=light")
        compare(window)
        browser.close()
    page.close(verbose=False)
    sys.stdout.write(f"wrote {IMAGES}\n")


def compare(window: Page) -> None:
    """The Compare tab as it opens: a question of the built-in sample, answered."""
    for name in SHIPPED:
        expect(window.locator(f'.card[data-variant="{name}"] mark.predicted').first).to_be_visible(timeout=60_000)
    window.screenshot(path=IMAGES / "compare.png", full_page=True)


if __name__ == "__main__":
    main()
