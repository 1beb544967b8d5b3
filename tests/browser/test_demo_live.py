"""The running demo, as its operator sees it: real sensors, real broker, real store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support_browser import FLAGS
from support_demo import RunningDemo
from support_servers import ROOT, need

SHOTS = ROOT / "output" / "screenshots"
DOCS = ROOT / "docs" / "images"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, demo: RunningDemo) -> Iterator[Page]:
    context = browser.new_context(locale="nl-NL", viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(demo.url)
    page.get_by_label("Wachtwoord").fill(demo.password)
    page.get_by_role("button", name="Inloggen").click()
    expect(page.locator(".hub").first).to_be_visible(timeout=30_000)
    yield page
    context.close()


def _fills(page: Page) -> list[str]:
    return page.locator("#hubs .fill .bar, #hubs .percent").evaluate_all("cells => cells.map(cell => cell.outerHTML)")


@pytest.mark.timeout(300)
def test_a_fill_value_changes_without_reload_when_a_sensor_reports(page: Page) -> None:
    page.evaluate("window.sameDocument = true")
    before = _fills(page)
    assert len(before) >= 18
    page.wait_for_function(
        """before => JSON.stringify([...document.querySelectorAll('#hubs .fill .bar, #hubs .percent')]
             .map(cell => cell.outerHTML)) !== before""",
        arg=page.evaluate("cells => JSON.stringify(cells)", before),
        timeout=60_000,
    )
    assert page.evaluate("window.sameDocument")
    assert page.title() == "Tweeling"


@pytest.mark.timeout(300)
def test_a_forecast_opens_with_its_bands_and_custody_events_show_their_anchor(page: Page) -> None:
    page.locator("#hubs a[data-zone='H3/H3-A']").click()
    expect(page.locator("#chart .scatterlayer .trace").first).to_be_visible(timeout=30_000)
    expect(page.locator("table.events")).to_contain_text("verankerd", timeout=60_000)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.set_viewport_size({"width": 1440, "height": 1760})
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=SHOTS / "demo.png")
    if os.environ.get("TWEELING_WRITE_DOCS"):
        DOCS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=DOCS / "dashboard.png")
    overflow = page.evaluate(
        "document.querySelector('.scores').scrollWidth - document.querySelector('.scores').clientWidth"
    )
    assert overflow <= 0, "the scores do not fit beside the chart"


@pytest.mark.timeout(300)
def test_no_request_leaves_the_machine(browser: Browser, demo: RunningDemo) -> None:
    context = browser.new_context(locale="nl-NL", viewport={"width": 1440, "height": 1000})
    hosts: set[str] = set()
    complaints: list[str] = []
    context.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    context.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page = context.new_page()
    page.on("websocket", lambda channel: hosts.add(urlsplit(channel.url).netloc))
    page.goto(demo.url)
    page.get_by_label("Wachtwoord").fill(demo.password)
    page.get_by_role("button", name="Inloggen").click()
    expect(page.locator(".hub").first).to_be_visible(timeout=30_000)
    page.locator("#hubs a[data-zone='H1/H1-A']").click()
    expect(page.locator("#chart .scatterlayer .trace").first).to_be_visible(timeout=30_000)
    context.close()
    assert hosts == {urlsplit(demo.url).netloc}
    assert complaints == []
