"use strict";

// A one-time code stands in the fragment, which no server and no log ever sees. It leaves the address bar at once.
const start = async () => {
  const next = document.getElementById("next").value;
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code === null) {
    const session = await fetch("/login/session");
    if ((await session.json()).open) location.replace(next);
    return;
  }
  history.replaceState(null, "", location.pathname + location.search);
  const answer = await fetch("/login/code", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
  });
  if (answer.ok) {
    location.replace(next);
    return;
  }
  const problem = document.getElementById("problem");
  problem.textContent = problem.dataset.spent;
  problem.hidden = false;
};

start();
addEventListener("hashchange", start);
