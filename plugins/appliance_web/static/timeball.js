// Makes pages live. Without it everything works; the page is then as old as its last load.
"use strict";
(() => {
  const body = document.body;
  const wanted = new Set((body.dataset.live || "").split(" ").filter(Boolean));
  const LEAST_MS = 2000;

  // -- the ticking clock: the server's time, not this computer's --------------------------------------------------
  const bornAt = Number(body.dataset.now) * 1000 - performance.now();
  const serverNow = () => new Date(bornAt + performance.now());
  let local = false;
  try { local = localStorage.getItem("timeball.local") === "1"; } catch { /* private window */ }

  const pad = (n) => String(n).padStart(2, "0");
  function written(date) {
    if (!local) return date.toISOString().slice(0, 19).replace("T", " ");
    return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  }
  function ago(seconds) {
    const size = Math.abs(seconds);
    if (size < 1.5) return "just now";
    const span = size < 100 ? `${Math.round(size)} s` : size < 5400 ? `${Math.round(size / 60)} min`
      : size < 129600 ? `${Math.round(size / 3600)} h` : `${Math.round(size / 86400)} d`;
    return seconds > 0 ? `${span} ago` : `in ${span}`;
  }
  function tick() {
    const now = serverNow();
    for (const node of document.querySelectorAll("[data-tick]")) node.textContent = written(now) + (local ? " local" : " UTC");
    for (const node of document.querySelectorAll("time[title]")) {
      node.textContent = ago((now - new Date(node.dateTime)) / 1000);
    }
  }
  function stamp() {
    for (const node of document.querySelectorAll("time.stamp")) node.textContent = written(new Date(node.dateTime));
    for (const node of document.querySelectorAll("time[title]")) node.title = written(new Date(node.dateTime)) + (local ? " local" : " UTC");
  }
  function zoneButton() {
    const clock = document.querySelector("[data-tick]");
    if (!clock) return;
    clock.setAttribute("role", "button");
    clock.tabIndex = 0;
    clock.title = "Show times in " + (local ? "UTC" : "local time");
  }
  function switchZone() {
    local = !local;
    try { localStorage.setItem("timeball.local", local ? "1" : "0"); } catch { /* private window */ }
    zoneButton(); stamp(); tick();
    document.dispatchEvent(new Event("timeball:zone"));
  }
  document.addEventListener("click", (event) => { if (event.target.closest("[data-tick]")) switchZone(); });
  document.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && event.target.closest("[data-tick]")) { event.preventDefault(); switchZone(); }
  });
  zoneButton(); stamp(); tick();
  setInterval(tick, 1000);

  // -- the folded part of the navigation: closed by a click elsewhere, and by Escape --------------------------------
  const more = document.querySelector(".more");
  if (more) {
    document.addEventListener("click", (event) => { if (!more.contains(event.target)) more.open = false; });
    more.addEventListener("keydown", (event) => { if (event.key === "Escape" && more.open) { more.open = false; more.firstElementChild.focus(); } });
  }

  // -- wide tables and examples: where nothing inside can be reached by the keyboard, they can themselves, to be moved sideways
  function reach() {
    for (const wide of document.querySelectorAll(".scroll:not([tabindex]), pre:not([tabindex])")) if (!wide.querySelector("a, button, input, select")) wide.tabIndex = 0;
  }
  reach();

  // -- fresh parts: fetch this very page and swap what is marked ---------------------------------------------------
  let loading = false, again = false, last = 0;
  function busy(node) { return node.contains(document.activeElement) && document.activeElement !== document.body; }
  function openDetails(node) { return [...node.querySelectorAll("details")].map((d) => d.open); }
  async function refresh() {
    if (loading || document.hidden) { again = true; return; }
    loading = true; again = false; last = performance.now();
    try {
      const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!reply.ok) return;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const old of document.querySelectorAll("[data-swap]")) {
        const next = fresh.getElementById(old.id);
        if (!next || next.innerHTML === old.innerHTML || busy(old)) continue;
        const open = openDetails(old);
        next.querySelectorAll("details").forEach((d, i) => { d.open = open[i] || false; });
        old.replaceWith(document.adoptNode(next));
      }
      zoneButton(); stamp(); tick();
      document.dispatchEvent(new Event("timeball:fresh"));
    } catch { /* the stream will tell when the box is back */ } finally {
      loading = false;
      if (again) soon();
    }
  }
  let timer = 0;
  function soon(event) {
    if (timer) return;
    const least = event && event.type === "probes" ? 2 * LEAST_MS : LEAST_MS;
    timer = setTimeout(() => { timer = 0; refresh(); }, Math.max(150, least - (performance.now() - last)));
  }

  // -- a check that is under way: its lines as they come ------------------------------------------------------------
  function follow() {
    const check = document.querySelector("[data-check]");
    if (!check || !window.EventSource) return;
    const lines = new EventSource(check.dataset.check);
    lines.addEventListener("line", (event) => {
      const { part, index, shape, text } = JSON.parse(event.data);
      const list = document.querySelector(`[data-part="${Number(part)}"]`);
      if (!list || list.children.length !== index) return;  // the page brought it already
      const item = document.createElement("li"), words = document.createElement("span");
      const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS("http://www.w3.org/2000/svg", "use");
      mark.setAttribute("class", `shape ${shape}`); mark.setAttribute("aria-hidden", "true"); use.setAttribute("href", `#s-${shape}`);
      mark.append(use); words.textContent = text; item.append(mark, words); list.append(item);
    });
    lines.addEventListener("done", () => { lines.close(); refresh(); });
    addEventListener("pagehide", () => lines.close());
  }
  follow();

  // -- the stream -------------------------------------------------------------------------------------------------
  let source = null;
  function state(word) { body.dataset.stream = word; }
  function open() {
    if (source || !wanted.size || document.hidden || !window.EventSource) return;
    source = new EventSource("/api/v1/events");
    source.addEventListener("open", () => state("live"));
    source.addEventListener("error", () => state("waiting"));
    for (const kind of [...wanted, "reset"]) source.addEventListener(kind, soon);
  }
  function close() { if (source) { source.close(); source = null; state("off"); } }
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else { open(); soon(); } });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) { open(); soon(); } });
  open();
})();
