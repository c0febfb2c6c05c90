"""axe-core looks at every tab with content in it, light and dark, wide and narrow: no serious violation."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from docs import screenshots
from tests.conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
TABS = {one.__name__: one for one in (screenshots.compare, screenshots.metrics, screenshots.curves, screenshots.errors)}
TABS["batch"] = screenshots.batch


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_no_tab_has_a_serious_violation(open_page: OpenPage, width: int, theme: str) -> None:
    expect.set_options(timeout=screenshots.PATIENCE)
    page, found = open_page(width, theme), []
    for name, show in TABS.items():
        show(page)
        for one in Axe().run(page).response["violations"]:
            if one["impact"] in ("serious", "critical"):
                found += [f"{name}: {one['id']}: {node['html'][:160]}" for node in one["nodes"]]
    assert found == []
