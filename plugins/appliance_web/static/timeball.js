// Makes pages live. Without it everything works; the page is then as old as its last load.
"use strict";
(() => {
  const body = document.body;
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  const on = (name, act) => document.addEventListener(name, act);

  // -- what this browser remembers between pages ---------------------------------------------------------------------
  const kept = (key) => { try { return localStorage.getItem("timeball." + key) === "1"; } catch { return false; } };
  const keep = (key, yes) => { try { localStorage.setItem("timeball." + key, yes ? "1" : "0"); } catch { /* private window */ } };

  // -- the ticking clock: the server's time, not this computer's -----------------------------------------------------
  const bornAt = body.dataset.now * 1000 - performance.now();
  let local = kept("local");
  const zone = () => (local ? "local" : "UTC");
  const written = (date) => new Date(date - (local ? date.getTimezoneOffset() * 60000 : 0)).toISOString().slice(0, 19).replace("T", " ");
  function ago(seconds) {
    const size = Math.abs(seconds);
    if (size < 1.5) return "just now";
    const [unit, name] = size < 100 ? [1, "s"] : size < 5400 ? [60, "min"] : size < 129600 ? [3600, "h"] : [86400, "d"];
    const span = `${Math.round(size / unit)} ${name}`;
    return seconds > 0 ? `${span} ago` : `in ${span}`;
  }
  function tick() {
    const now = new Date(bornAt + performance.now());
    for (const node of all("[data-tick]")) node.textContent = `${written(now)} ${zone()}`;
    for (const node of all("time[title]")) node.textContent = ago((now - new Date(node.dateTime)) / 1000);
  }
  function stamp() {
    for (const node of all("[data-tick]")) Object.assign(node, { role: "button", tabIndex: 0, title: "Show times in " + (local ? "UTC" : "local time") });
    for (const node of all("time.stamp")) node.textContent = written(new Date(node.dateTime));
    for (const node of all("time[title]")) node.title = `${written(new Date(node.dateTime))} ${zone()}`;
    tick();
  }
  function switchZone(event) {
    if (!event.target.closest("[data-tick]") || (event.key && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    keep("local", local = !local);
    stamp();
    document.dispatchEvent(new Event("timeball:zone"));
  }
  on("click", switchZone);
  on("keydown", switchZone);
  stamp();
  setInterval(tick, 1000);
  window.timeball = { kept, keep, zone, written };

  // -- the folded part of the navigation: closed by a click elsewhere, and by Escape ---------------------------------
  const more = document.querySelector(".more");
  on("click", (event) => { if (more && !more.contains(event.target)) more.open = false; });
  on("keydown", (event) => { if (event.key === "Escape" && more && more.open) { more.open = false; more.firstElementChild.focus(); } });

  // -- wide tables and examples: where nothing inside can be reached by the keyboard, they can themselves, to be moved sideways
  for (const wide of all(".scroll, pre")) if (!wide.querySelector("a, button, input, select")) wide.tabIndex = 0;

  // -- what comes after the first picture, so that none of it waits: what a page names in #later, the last one when the others are there
  const CALM_MS = 300;  // a page is painted in parts, the last of them some frames after it is loaded
  const painted = new Promise((done) => addEventListener("load", () => setTimeout(done, CALM_MS)));
  const later = document.getElementById("later");
  if (later) {
    const needed = [...later.content.cloneNode(true).children], last = needed.pop();
    const bring = (node) => new Promise((onload, onerror) => document.head.append(Object.assign(node, { onload, onerror })));
    painted.then(() => Promise.all(needed.map(bring))).then(() => bring(last)).catch(() => { /* the page does without */ });
  }

  // -- fresh parts: fetch this very page and swap what is marked -----------------------------------------------------
  const LEAST_MS = 2000;
  let loading = false, again = false, last = 0, timer = 0;
  const busy = (node) => node.contains(document.activeElement) && document.activeElement !== body;
  async function refresh() {
    if (loading || document.hidden) { again = true; return; }
    loading = true; again = false; last = performance.now();
    try {
      const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!reply.ok) return;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const old of all("[data-swap]")) {
        const next = fresh.getElementById(old.id);
        if (!next || next.innerHTML === old.innerHTML || busy(old)) continue;
        const open = all("details", old).map((fold) => fold.open);
        all("details", next).forEach((fold, i) => { fold.open = open[i]; });
        for (const mine of all("input", old)) {  // what somebody ticked or typed and did not send yet
          const twin = all("input", next).find((one) => one.name === mine.name && one.defaultValue === mine.defaultValue);
          if (twin) Object.assign(twin, mine.checked !== mine.defaultChecked ? { checked: mine.checked } : { value: mine.value });
        }
        old.replaceWith(document.adoptNode(next));
      }
      stamp();
      document.dispatchEvent(new Event("timeball:fresh"));
    } catch { /* the stream will tell when the box is back */ } finally {
      loading = false;
      if (again) soon();
    }
  }
  function soon(event) {
    const least = event && event.type === "probes" ? 2 * LEAST_MS : LEAST_MS;
    timer ||= setTimeout(() => { timer = 0; refresh(); }, Math.max(150, least - (performance.now() - last)));
  }

  // -- a check that is under way: its lines as they come -------------------------------------------------------------
  const check = document.querySelector("[data-check]");
  if (check) {
    const lines = new EventSource(check.dataset.check);
    lines.addEventListener("line", (event) => {
      const { part, index, shape, text } = JSON.parse(event.data), list = document.querySelector(`[data-part="${Number(part)}"]`);
      if (!list || list.children.length !== index) return;  // the page brought it already
      list.append(document.getElementById("line").content.cloneNode(true));
      const item = list.lastElementChild;
      item.querySelector("svg").classList.add(shape);
      item.querySelector("use").setAttribute("href", "#s-" + shape);
      item.querySelector("span").textContent = text;
    });
    lines.addEventListener("done", () => { lines.close(); refresh(); });
    addEventListener("pagehide", () => lines.close());
  }

  // -- the stream ----------------------------------------------------------------------------------------------------
  let source = null;
  const state = (word) => { body.dataset.stream = word; };
  function open() {
    if (source || !body.dataset.live || document.hidden) return;
    source = new EventSource("/api/v1/events");
    source.onopen = () => state("live");
    source.onerror = () => state("waiting");
    for (const kind of `${body.dataset.live} reset`.split(" ")) source.addEventListener(kind, soon);
  }
  function close() { if (source) { source.close(); source = null; state("off"); } }
  on("visibilitychange", () => { if (document.hidden) close(); else { open(); soon(); } });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) { open(); soon(); } });
  painted.then(open);
})();
