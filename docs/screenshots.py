"""Take the documents' pictures of the page, one for each tab: `make screenshots` writes docs/images/*.png.

`--theme dark`, `--width 390` and `--output DIR` show the other ways in which the page can be looked at.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect, sync_playwright

from qa_compare.data.sources import sample
from qa_compare.inference.engine import Engine
from qa_compare.models.backbones import BACKBONES
from qa_compare.page.shell import build_page, launch_options
from qa_compare.workbench.service import Service
from tests.conftest import BACKBONE, HOST, QUIET, SHIPPED, free_port
from tests.page.test_browser_tabs import open_tab

IMAGES = Path(__file__).parent / "images"
HEIGHT = 900
PATIENCE = 120_000  # milliseconds: Error inspection answers all built-in questions when it is first opened


def main(argv: list[str] | None = None) -> None:
    """Serve the page, look at it in Chromium, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--output", type=Path, default=IMAGES)
    given = parser.parse_args(argv)
    page = build_page(Service({name: Engine(name) for name in BACKBONES}, BACKBONE))
    page.launch(server_name=HOST, server_port=free_port(), prevent_thread_lock=True, quiet=True, **launch_options())
    given.output.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or None, args=QUIET)
        window = browser.new_page(viewport={"width": given.width, "height": HEIGHT}, reduced_motion="reduce")
        window.goto(f"{page.local_url}?__theme={given.theme}")
        for name, show in (
            ("compare", compare),
            ("metrics", metrics),
            ("curves", curves),
            ("errors", errors),
            ("batch", batch),
        ):
            show(window)
            window.mouse.move(0, 0)
            window.screenshot(path=given.output / f"{name}.png", full_page=True)
        browser.close()
    page.close(verbose=False)
    sys.stdout.write(f"wrote {given.output}\n")


def compare(window: Page) -> None:
    """As it opens: a question of the built-in sample, answered; its chances in the passages."""
    for name in SHIPPED:
        expect(window.locator(f'.card[data-variant="{name}"] mark.predicted').first).to_be_visible()
    window.get_by_label("Start and end probability").check()
    expect(window.locator(".card .word").first).to_be_visible()


def metrics(window: Page) -> None:
    """All variants, every two of them compared."""
    open_tab(window, "Metrics")
    expect(window.locator("#pairs li").first).to_be_visible()
    expect(window.locator(".js-plotly-plot:visible").nth(3)).to_be_visible()


def curves(window: Page) -> None:
    """All runs of the backbone."""
    open_tab(window, "Training curves")
    expect(window.locator(".js-plotly-plot:visible")).to_have_count(5)


def errors(window: Page) -> None:
    """The built-in questions, the first one on which the variants differ opened."""
    open_tab(window, "Error inspection")
    expect(window.locator("#errors-table tbody tr").first).to_be_visible()
    window.locator("#errors-table tbody tr").first.click()
    expect(window.locator("#errors-detail .passage").first).to_be_visible()


def batch(window: Page) -> None:
    """A file of a dozen questions, answered and scored."""
    open_tab(window, "Batch")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "questions.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["title", "passage", "question", "answers"])
            for one in sample()[:12]:
                rows.writerow([one.title, one.passage, one.question, " | ".join(gold.text for gold in one.answers)])
        window.locator("#batch-choose input[type=file]").set_input_files(path)
        expect(window.locator("#batch-check")).to_contain_text(path.name)
        window.locator("#batch-buttons").get_by_role("button").first.click()
        expect(window.locator("#batch-state")).to_contain_text("Done in")
        window.locator("#batch-answers tbody button").first.click()
        expect(window.locator("#batch-question .card.found").first).to_be_visible()


if __name__ == "__main__":
    main()
