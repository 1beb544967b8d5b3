"use strict";

// The page keeps its state in the URL, follows links from a zone to its forecast, and notices when pushes stop.
(() => {
  const SILENT_MS = 20_000;
  let heard = Date.now();
  let pushed = false;

  const noUpdate = () => window.dash_clientside.no_update;

  // Zone and URL follow each other; the link to the other language keeps the rest of the URL.
  const route = (zone, search, lang) => {
    const query = new URLSearchParams(search ?? "");
    const changed = window.dash_clientside.callback_context.triggered_id;
    const fromUrl = changed === "url" && query.get("zone") && query.get("zone") !== zone;
    const chosen = fromUrl ? query.get("zone") : zone;
    if (chosen) query.set("zone", chosen);
    const written = `?${query}`;
    query.set("lang", lang === "nl" ? "en" : "nl");
    return [written === search || !chosen ? noUpdate() : written, fromUrl ? chosen : noUpdate(), `?${query}`];
  };

  const pulse = (number) => {
    if (!number) return; // the page's own beginning
    heard = Date.now();
    pushed = true;
    document.documentElement.lang = document.querySelector("[lang]")?.lang ?? "nl";
    const banner = document.getElementById("lost");
    if (banner) banner.hidden = true;
  };

  const watch = async () => {
    if (Date.now() - heard < SILENT_MS || document.getElementById("lost") === null) return;
    if (!pushed) {
      // No push ever came: something on the way lets no websocket through.
      window.dash_clientside.set_props("poll", { disabled: false });
      return;
    }
    document.getElementById("lost").hidden = false;
    const alive = await fetch("/health/live", { cache: "no-store" }).then((answer) => answer.ok, () => false);
    // The whole state is in the URL, so a reload loses nothing; without a session it leads to the login.
    if (alive) location.reload();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-zone]");
    if (link) window.dash_clientside.set_props("zone", { value: link.dataset.zone });
  });

  setInterval(watch, 5_000);
  window.dash_clientside = Object.assign({}, window.dash_clientside, { tweeling: { route, pulse } });
})();
