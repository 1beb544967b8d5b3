from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support_browser import FLAGS
from support_screens import HOSTILE, PASSWORD, SmallCustody, SmallTwin, cheap_auth, small_server
from support_servers import ROOT, need

from tweeling.api.app import create_app
from tweeling.api.auth import Auth
from tweeling.api.principals import Principal, Role
from tweeling.api.server import serve
from tweeling.domain.now import PartNow, ThingNow

SHOTS = ROOT / "output" / "screenshots"
OPERATOR = Principal("operator", Role.OPERATOR)
DRAWN = "#chart .scatterlayer .trace:nth-child(4) path.js-line"


class Watched:
    """A browser context that remembers every host it called and every error it had."""

    def __init__(self, context: BrowserContext, url: str, auth: Auth, twin: SmallTwin) -> None:
        self.context, self.url, self.auth, self.twin = context, url, auth, twin
        self.hosts: set[str | None] = set()
        self.errors: list[str] = []
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        context.on("console", lambda said: said.type in {"error", "warning"} and self.errors.append(said.text))
        context.on("weberror", lambda error: self.errors.append(str(error.error)))

    def page(self) -> Page:
        page = self.context.new_page()
        page.on("websocket", lambda channel: self.hosts.add(urlsplit(channel.url).netloc))
        return page

    def inside(self, query: str = "") -> Page:
        """A page behind the login, loaded and connected."""
        page = self.page()
        page.goto(f"{self.url}/login?next=/{query}#code={self.auth.codes.issue(OPERATOR)}")
        expect(page.locator(".hub").first).to_be_visible(timeout=30_000)
        expect(page.locator("html[lang]")).to_be_attached(timeout=30_000)  # the first push
        return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def watched(browser: Browser, tmp_path: Path) -> Iterator[Watched]:
    twin, auth = SmallTwin(), cheap_auth(tmp_path)
    with small_server(tmp_path, twin=twin, auth=auth) as url:
        context = browser.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce", locale="nl-NL")
        yield Watched(context, url, auth, twin)
        context.close()


def test_a_person_logs_in_and_sees_a_fill_change_without_reload(watched: Watched) -> None:
    page = watched.page()
    page.goto(watched.url)
    expect(page).to_have_title("Inloggen · Tweeling")
    page.get_by_label("Wachtwoord").fill(PASSWORD)
    page.get_by_role("button", name="Inloggen").click()
    metal = page.locator("tr", has=page.locator("a[data-zone='H1/H1-C']"))
    expect(metal.locator(".percent")).to_have_text("42%", timeout=30_000)
    expect(page.locator("html[lang=nl]")).to_be_attached(timeout=30_000)
    page.evaluate("window.sameDocument = true")

    watched.twin.set_fill("H1", "H1-C", 0.93)

    expect(metal.locator(".percent")).to_have_text("93%")
    expect(metal).to_contain_text("hoog")
    expect(page.locator("#attention")).to_contain_text("Metaalvak")
    assert page.evaluate("window.sameDocument")
    assert watched.errors == []


def test_a_wrong_password_is_refused_in_words(watched: Watched) -> None:
    page = watched.page()
    page.goto(watched.url)
    page.get_by_label("Wachtwoord").fill("gok")
    page.get_by_role("button", name="Inloggen").click()
    expect(page.get_by_role("alert")).to_have_text("Dit wachtwoord klopt niet.")
    page.goto(watched.url)
    expect(page).to_have_title("Inloggen · Tweeling")


def test_a_code_in_the_fragment_opens_the_page_once_and_leaves_the_address_bar(watched: Watched) -> None:
    code = watched.auth.codes.issue(OPERATOR)
    requested: list[str] = []
    watched.context.on("request", lambda request: requested.append(request.url))
    page = watched.page()
    page.goto(f"{watched.url}/login#code={code}")
    expect(page.locator(".hub").first).to_be_visible(timeout=30_000)
    assert code not in page.url
    assert not any(code in url.partition("#")[0] for url in requested)

    watched.context.clear_cookies()
    page.goto("about:blank")
    page.goto(f"{watched.url}/login#code={code}")
    expect(page.get_by_role("alert")).to_contain_text("gebruikt of verlopen")


def test_a_link_from_elsewhere_finds_the_session_that_is_open(watched: Watched) -> None:
    watched.inside()
    page = watched.page()
    page.goto(f"{watched.url}/login?next=/%3Flang%3Den")
    expect(page.get_by_role("heading", name="Provenance")).to_be_visible(timeout=30_000)


def test_a_zone_leads_to_its_forecast_and_the_url_keeps_it(watched: Watched) -> None:
    page = watched.inside()
    page.locator("#hubs a[data-zone='H1/H1-B']").click()
    expect(page).to_have_url(re.compile(r"zone=H1%2FH1-B"))
    expect(page.locator("#told")).to_contain_text("over 8 d 19 u")
    expect(page.locator("#told")).to_contain_text('37% kleinere fout dan "last-week"')
    expect(page.locator(DRAWN)).to_be_visible(timeout=30_000)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=SHOTS / "nu.png")
    page.get_by_role("link", name="Capaciteit").click()
    page.wait_for_function("() => scrollY > 100")
    page.screenshot(path=SHOTS / "capaciteit.png")

    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", name="Capacity")).to_be_visible(timeout=30_000)
    expect(page.locator("#zone")).to_contain_text("Grondvak")
    expect(page.locator("#told")).to_contain_text("in 8 d 19 h")
    expect(page.locator(DRAWN)).to_be_visible(timeout=30_000)
    assert "zone=H1%2FH1-B" in page.url
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.querySelector('#chart .main-svg').clientWidth <= innerWidth")
    page.screenshot(path=SHOTS / "phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.errors == []


def test_an_anchor_shows_without_reload(watched: Watched) -> None:
    page = watched.inside()
    expect(page.locator("#provenance .pending")).to_have_count(3)
    watched.twin.anchor()
    expect(page.locator("#provenance .pending")).to_have_count(0)
    expect(page.locator("#provenance .anchored").first).to_contain_text("blok 412")


def test_a_container_nobody_knew_appears_and_can_be_chosen(watched: Watched) -> None:
    page = watched.inside()
    watched.twin.add(ThingNow("praag", "C0002", "Glas 2", 0.5, watched.twin.now_ms(), 0, {}, None))
    expect(page.locator("#hubs")).to_contain_text("Glas 2")
    page.locator("#hubs a[data-zone='praag/C0002']").click()
    expect(page.locator("#zone")).to_contain_text("Glas 2")


def test_parts_in_trouble_are_told_and_what_is_known_stays(watched: Watched) -> None:
    page = watched.inside()
    watched.twin.set_part(PartNow("ledger", ok=False, detail="127.0.0.1:18545 does not answer"))
    expect(page.locator("#health .off")).to_contain_text("Keten: hapert")
    watched.twin.set_down("things", "forecast")
    expect(page.locator("#notice")).to_contain_text("standen")
    expect(page.locator("#hubs")).to_contain_text("Puinbult")
    watched.twin.set_down()
    expect(page.locator("#notice")).to_be_hidden()
    watched.twin.pass_time(4)
    expect(page.locator("#attention")).to_contain_text("zwijgt")
    assert watched.errors == []


def test_a_page_loads_while_nothing_answers(watched: Watched) -> None:
    watched.twin.set_down("region", "things", "events", "health", "forecast", "history")
    page = watched.page()
    page.goto(f"{watched.url}/login#code={watched.auth.codes.issue(OPERATOR)}")
    expect(page.locator("#notice")).to_be_visible(timeout=30_000)
    expect(page.locator("#hubs")).to_contain_text("Nog geen hubs")
    watched.twin.set_down()
    expect(page.locator("#hubs")).to_contain_text("Puinbult")


def test_zoom_survives_a_new_hour(watched: Watched) -> None:
    page = watched.inside("%3Fzone%3DH1%2FH1-A")
    expect(page.locator(DRAWN)).to_be_visible(timeout=30_000)
    plot = "document.querySelector('#chart .js-plotly-plot')"
    whole = page.evaluate(f"{plot}.layout.xaxis.range")
    page.locator("#capacity").scroll_into_view_if_needed()
    area = page.locator("#chart .nsewdrag").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + area["width"] * 0.4, area["y"] + area["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.7, area["y"] + area["height"] * 0.51, steps=5)
    page.mouse.up()
    page.wait_for_function(f"() => {plot}.layout.xaxis.range[0] !== {whole[0]!r}")
    zoomed = page.evaluate(f"{plot}.layout.xaxis.range")

    last = f"{plot}.data[0].x.at(-1)"
    before = page.evaluate(last)
    watched.twin.pass_time(1)
    page.wait_for_function(f"() => {last} !== {before!r}")
    assert page.evaluate(f"{plot}.layout.xaxis.range") == zoomed


def test_hostile_names_are_only_text(watched: Watched) -> None:
    page = watched.inside("%3Fzone%3Dpraag%2FC0001")
    expect(page.locator("#hubs")).to_contain_text(HOSTILE[:20])
    expect(page.locator(DRAWN)).to_be_visible(timeout=30_000)
    watched.twin.add(ThingNow("praag", "C0003", "W" * 10_000, 0.99, watched.twin.now_ms(), 0, {}, None))
    expect(page.locator("#attention")).to_contain_text("WWW")
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.errors == []


def test_nothing_leaves_this_machine(watched: Watched) -> None:
    page = watched.inside()
    expect(page.locator(DRAWN)).to_be_visible(timeout=30_000)
    page.goto(f"{watched.url}/api/docs")
    assert watched.hosts == {urlsplit(watched.url).netloc}
    assert watched.errors == []


def test_a_browser_without_shared_workers_is_polled_for(watched: Watched) -> None:
    page = watched.page()
    page.add_init_script("delete window.SharedWorker")
    page.goto(f"{watched.url}/login#code={watched.auth.codes.issue(OPERATOR)}")
    metal = page.locator("tr", has=page.locator("a[data-zone='H1/H1-C']"))
    expect(metal.locator(".percent")).to_have_text("42%", timeout=30_000)
    watched.twin.set_fill("H1", "H1-C", 0.93)
    expect(metal.locator(".percent")).to_have_text("93%", timeout=15_000)


def test_a_closed_page_is_followed_no_more(watched: Watched) -> None:
    page = watched.inside()
    assert len(watched.twin._followers) == 1
    page.close()
    assert watched.twin.followed_by_nobody(timeout_s=20)


def test_logging_out_leads_to_the_login(watched: Watched) -> None:
    page = watched.inside()
    page.get_by_role("button", name="Uitloggen").click()
    expect(page).to_have_title("Inloggen · Tweeling")


@pytest.mark.slow
def test_a_server_that_comes_back_is_found_again(browser: Browser, tmp_path: Path) -> None:
    twin, auth = SmallTwin(), cheap_auth(tmp_path)
    app = create_app(twin, SmallCustody(), auth)
    context = browser.new_context(locale="nl-NL")
    with serve(app, "127.0.0.1", 0) as port:
        watched = Watched(context, f"http://127.0.0.1:{port}", auth, twin)
        page = watched.inside()
    expect(page.locator("#lost")).to_be_visible(timeout=60_000)
    twin.set_fill("H1", "H1-C", 0.93)
    with serve(app, "127.0.0.1", port):
        metal = page.locator("tr", has=page.locator("a[data-zone='H1/H1-C']"))
        expect(metal.locator(".percent")).to_have_text("93%", timeout=60_000)
        expect(page.locator("#lost")).to_be_hidden()
        context.close()
