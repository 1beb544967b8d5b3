"""Screens over TLS, as a browser has them: a secure cookie, and a channel that pushes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import expect, sync_playwright
from support_browser import FLAGS
from support_screens import CHEAP, PASSWORD, SmallCustody, SmallTwin
from support_servers import need

from tweeling.adapters import certificates
from tweeling.adapters.certificates import CertificateFiles
from tweeling.adapters.tls import serving
from tweeling.api import passwords
from tweeling.api.app import create_app
from tweeling.api.auth import Auth
from tweeling.api.server import serve


def test_a_person_logs_in_over_tls_and_sees_a_fill_change_without_reload(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path / "ca.pem", tmp_path / "ca.key", tmp_path / "hub.pem", tmp_path / "hub.key")
    certificates.make(files, ["localhost"], now=datetime.now(UTC))
    passwords.save(tmp_path / "login.json", {passwords.OPERATOR: PASSWORD}, cost=CHEAP)
    auth = Auth.load(tmp_path / "login.json", tmp_path / "tokens.json", cookie="__Host-tweeling", secure=True)
    twin, shown = SmallTwin(), serving(files.certificate, files.key, field="http.tls")
    program = need("chromium")
    with serve(create_app(twin, SmallCustody(), auth), "127.0.0.1", 0, tls=shown) as port, sync_playwright() as play:
        # Our authority is nobody else's. The channel is a worker's, which a context's own leave does not reach.
        browser = play.chromium.launch(executable_path=program, args=[*FLAGS, "--ignore-certificate-errors"])
        context = browser.new_context(locale="nl-NL")
        page = context.new_page()
        page.goto(f"https://127.0.0.1:{port}")
        page.get_by_label("Wachtwoord").fill(PASSWORD)
        page.get_by_role("button", name="Inloggen").click()
        metal = page.locator("tr", has=page.locator("a[data-zone='H1/H1-C']"))
        expect(metal.locator(".percent")).to_have_text("42%", timeout=30_000)
        expect(page.locator("html[lang=nl]")).to_be_attached(timeout=30_000)
        twin.set_fill("H1", "H1-C", 0.93)
        expect(metal.locator(".percent")).to_have_text("93%")
        [cookie] = context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == ("__Host-tweeling", True, True)
        browser.close()
