// Charts that zoom: takes the place of the drawings made on the server, with the same values, lines and marks.
// Without it, or without uPlot, the drawings stay.
"use strict";
(() => {
  const section = document.getElementById("history");
  if (!section || !window.uPlot || !section.dataset.chart) return;
  const host = Object.fromEntries([...section.querySelectorAll("[data-plot]")].map((node) => [node.dataset.plot, node]));
  if (!host.offset) return;
  const tools = section.querySelector(".zoom"), say = section.querySelector(".readout"), figures = section.querySelector("#figures");
  const SHORTEST_S = 10, DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
  const remembered = (key) => { try { return localStorage.getItem(key) === "1"; } catch { return false; } };
  let data = null, whole = null, at = null, plots = [], zoomed = false, classic = remembered("timeball.classic"), asked = 0;

  // -- words: the same as on the server ------------------------------------------------------------------------------
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const local = () => remembered("timeball.local");
  const minus = (text) => text.replace("-", "−");
  function seconds(value, signed) {
    if (value == null) return "–";
    const size = Math.abs(value);
    const [scaled, unit] = size >= 0.9995 ? [value, "s"] : size >= 0.0009995 ? [value * 1e3, "ms"] : [value * 1e6, "µs"];
    const text = scaled.toFixed(Math.abs(scaled) >= 99.95 ? 0 : Math.abs(scaled) >= 9.995 ? 1 : 2);
    return minus((signed && value > 0 ? "+" : "") + text) + " " + unit;
  }
  const short = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value), [scaled, unit] = size >= 1 ? [size, "s"] : size >= 1e-3 ? [size * 1e3, "ms"] : [size * 1e6, "µs"];
    return (value < 0 ? "−" : "+") + Number(scaled.toPrecision(6)) + " " + unit;
  };
  const moment = (ts) => {
    const date = new Date(ts * 1000);
    const shifted = local() ? new Date(date - date.getTimezoneOffset() * 60000) : date;
    return shifted.toISOString().slice(0, 19).replace("T", " ") + (local() ? "" : " UTC");
  };

  // -- the offset's axis: linear around zero, logarithmic far out ----------------------------------------------------
  function nice(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return power * ([1, 2, 5].find((f) => value <= f * power * 1.0000001) || 10);
  }
  const bands = () => (data.lines ? [data.lines.good_s, data.lines.limit_s] : []);
  function axis() {
    const sizes = [];
    for (const one of data.series) for (const name of ["offset_s", "offset_min_s", "offset_max_s"]) for (const v of one[name]) if (v) sizes.push(Math.abs(v));
    sizes.sort((a, b) => a - b);
    const knee = Math.min(Math.max(nice(sizes[sizes.length >> 1] || 1e-3), 1e-5), 5e-3);
    return { knee, limit: nice(Math.max(sizes[sizes.length - 1] || 0, knee * 10, ...bands().map((b) => b * 1.3))) };
  }
  function ticks(scale, height) {
    const place = (v) => (height / 2) * (1 - Math.asinh(v / scale.knee) / Math.asinh(scale.limit / scale.knee));
    const found = [0], taken = [place(0)];
    const powers = [];
    for (let e = Math.ceil(Math.log10(scale.limit)); 10 ** e >= scale.knee * 0.999; e--) powers.push(10 ** e);
    for (const value of [...bands(), scale.limit, ...powers]) {
      if (value > scale.limit || taken.some((y) => Math.abs(y - place(value)) < 15)) continue;
      found.push(value, -value);
      taken.push(place(value), place(-value));
    }
    return found.sort((a, b) => a - b);
  }

  // -- what is drawn besides the lines -------------------------------------------------------------------------------
  function under(u) {  // the scorer's bands
    if (!data.lines || !u.scales.y) return;
    const { ctx, bbox } = u;
    const fill = (low, high, name, alpha) => {
      const top = u.valToPos(high, "y", true), bottom = u.valToPos(low, "y", true);
      ctx.globalAlpha = alpha; ctx.fillStyle = colour(name);
      ctx.fillRect(bbox.left, Math.max(top, bbox.top), bbox.width, Math.min(bottom, bbox.top + bbox.height) - Math.max(top, bbox.top));
    };
    const edge = (value) => {
      const y = u.valToPos(value, "y", true);
      ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
    };
    ctx.save();
    if (u.kind === "offset") {
      const { good_s: good, limit_s: limit } = data.lines;
      fill(-limit, limit, "--degraded", 0.06); fill(-good, good, "--ok", 0.1);
      ctx.globalAlpha = 0.8; ctx.strokeStyle = colour("--muted"); ctx.lineWidth = devicePixelRatio; ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
      [good, -good, limit, -limit].forEach(edge);
    } else if (u.kind === "score") {
      fill(data.lines.enter_score, u.scales.y.max, "--ok", 0.1);
      ctx.globalAlpha = 0.8; ctx.strokeStyle = colour("--muted"); ctx.lineWidth = devicePixelRatio; ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
      edge(data.lines.enter_score);
    }
    ctx.restore();
  }
  const shapes = [["--ok", 2.2, true], ["--fair", 2.2, false], ["--failing", 2.8, false]];
  function dots(u) {  // round inside the inner band, square outside, one path for each; strokes below for what brought no time
    const { ctx, bbox } = u, px = devicePixelRatio;
    ctx.save(); ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    const paths = shapes.map(() => new Path2D()), lost = new Path2D();
    for (const one of data.series) {
      one.ts.forEach((ts, i) => {
        if (!one.n[i] || ts < u.scales.x.min || ts > u.scales.x.max) return;
        const x = u.valToPos(ts, "x", true), v = one.offset_s[i];
        if (v == null) { const y = bbox.top + bbox.height; lost.moveTo(x, y - 12 * px); lost.lineTo(x, y - 2 * px); return; }
        const y = u.valToPos(v, "y", true), size = Math.abs(v);
        const kind = !data.lines || size <= data.lines.good_s ? 0 : size <= data.lines.limit_s ? 1 : 2, r = shapes[kind][1] * px;
        if (shapes[kind][2]) { paths[kind].moveTo(x + r, y); paths[kind].arc(x, y, r, 0, 7); } else paths[kind].rect(x - r, y - r, 2 * r, 2 * r);
      });
    }
    paths.forEach((path, kind) => { ctx.fillStyle = colour(shapes[kind][0]); ctx.fill(path); });
    ctx.strokeStyle = colour("--failing"); ctx.lineWidth = 2 * px; ctx.stroke(lost);
    ctx.restore();
  }
  const LETTERS = { kiss: "K", leap: "L", stratum: "S", in: "↑", out: "↓" };
  function flags(u) {
    const { ctx, bbox } = u, px = devicePixelRatio;
    ctx.save(); ctx.font = `600 ${11 * px}px ${colour("--text")}`; ctx.textAlign = "center"; ctx.textBaseline = "middle";
    for (const mark of data.marks) {
      if (mark.ts < u.scales.x.min || mark.ts > u.scales.x.max) continue;
      const x = Math.round(u.valToPos(mark.ts, "x", true)), name = mark.kind === "in" ? "--ok" : mark.kind === "out" ? "--failing" : "--muted";
      ctx.strokeStyle = ctx.fillStyle = colour(name); ctx.lineWidth = px; ctx.globalAlpha = 0.55;
      ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      if (u.kind === "rtt") continue;
      ctx.globalAlpha = 1; ctx.beginPath(); ctx.arc(x, bbox.top + 8 * px, 8 * px, 0, 7); ctx.fill();
      ctx.fillStyle = colour("--card"); ctx.fillText(LETTERS[mark.kind], x, bbox.top + 8.5 * px);
    }
    ctx.restore();
  }
  function near(u) {  // the mark under the cursor, in words
    if (!say || u.cursor.left < 0) return;
    const found = data.marks.filter((m) => Math.abs(u.valToPos(m.ts, "x") - u.cursor.left) < 9);
    say.textContent = found.map((m) => `${moment(m.ts)}: ${m.text}`).join(" · ");
  }

  // -- building --------------------------------------------------------------------------------------------------------
  const sync = uPlot.sync("server");
  const lined = () => ({ stroke: colour("--muted"), font: `12px ${colour("--text")}`, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, border: { show: false }, filter: (u, splits) => splits });
  function times() {
    return { ...lined(), space: 70, size: 26, values: (u, splits, index, space, incr) => splits.map((ts) => {
      const text = moment(ts);
      return incr >= 86400 ? text.slice(5, 10) : text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, incr < 60 ? 19 : 16);
    }) };
  }
  function columns() {  // one time axis for all monitors, each with its own columns on it
    if (data.series.length === 1) return [data.series[0].ts, data.series];
    const all = [...new Set(data.series.flatMap((one) => one.ts))].sort((a, b) => a - b), place = new Map(all.map((ts, i) => [ts, i]));
    return [all, data.series.map((one) => {
      const spread = { monitor: one.monitor };
      for (const name of ["offset_s", "offset_min_s", "offset_max_s", "rtt_s", "score"]) {
        spread[name] = new Array(all.length);  // undefined joins neighbours, null breaks the line
        one.ts.forEach((ts, i) => { spread[name][place.get(ts)] = one[name][i]; });
      }
      return spread;
    })];
  }
  const tone = (i) => colour(`--series-${i + 1}`) || colour("--series");
  function plot(kind, node, height) {
    const [ts, series] = columns(), many = series.length > 1, called = (words, i) => (many ? `${words}, ${series[i].monitor}` : words);
    const rows = [ts], specs = [{ label: local() ? "Time" : "Time (UTC)", value: (u, v) => (v == null ? "–" : moment(v).replace(" UTC", "")) }], ranges = [];
    const add = (values, spec) => { rows.push(values); specs.push({ points: { show: false }, ...spec }); };
    const scales = { x: { time: true, range: () => [at.from, at.to] } }, axes = [times()];
    const left = (u) => Math.max(57, Math.min(64, u ? u.width / 8 : 58));
    if (kind === "offset") {
      const scale = axis(), splits = ticks(scale, height - 30);
      scales.y = { distr: 4, asinh: scale.knee, range: () => [-scale.limit, scale.limit] };
      axes.push({ ...lined(), scale: "y", size: left, splits: () => splits, values: (u, all) => all.map(short) });
      series.forEach((one, i) => {
        if (data.step_s) {
          add(one.offset_max_s, { label: called("Highest", i), stroke: "transparent", width: 0, value: (u, v) => seconds(v, true) });
          add(one.offset_min_s, { label: called("Lowest", i), stroke: "transparent", width: 0, value: (u, v) => seconds(v, true) });
          ranges.push({ series: [rows.length - 2, rows.length - 1], fill: tint(tone(i)) });
        }
        add(one.offset_s, { label: called(data.step_s ? "Mean offset" : "Offset", i), stroke: tint(tone(i), 0.45), dash: DASHES[i % 4], width: 1, value: (u, v) => seconds(v, true) });
      });
    } else if (kind === "rtt") {
      const top = nice(Math.max(1e-6, ...series.flatMap((one) => one.rtt_s.filter((v) => v != null))));
      scales.y = { range: () => [0, top] };
      axes.push({ ...lined(), scale: "y", size: left, splits: () => [0, top / 2, top], values: (u, all) => all.map((v) => short(v).replace("+", "")) });
      series.forEach((one, i) => add(one.rtt_s, { label: called("Round trip", i), stroke: tone(i), dash: DASHES[i % 4], width: 1.2, points: { show: true, size: 3.5, width: 0, fill: tone(i) }, value: (u, v) => seconds(v) }));
    }
    if (kind === "score" || (kind === "offset" && classic)) {
      const key = kind === "score" ? "y" : "score", top = (data.lines ? data.lines.top : 20) + 1, bottom = data.lines ? data.lines.bottom : -100;
      scales[key] = { distr: 100, fwd: (v) => -Math.sqrt(Math.max(0, top - v)), bwd: (v) => top - v * v, range: () => [bottom, top] };
      const marked = [...new Set([top - 1, data.lines ? data.lines.enter_score : 10, 0, -20, -50, bottom])];
      axes.push({ ...lined(), scale: key, size: key === "y" ? left : 34, side: key === "y" ? 3 : 1, grid: { show: key === "y", stroke: colour("--line"), width: 1 }, splits: () => marked, values: (u, all) => all.map((v) => minus(String(v))) });
      series.forEach((one, i) => add(one.score, { scale: key, label: called("Score", i), stroke: key === "y" ? tone(i) : colour("--ball"), dash: DASHES[i % 4], width: 2, spanGaps: true, paths: uPlot.paths.stepped({ align: 1 }), value: (u, v) => (v == null ? "–" : minus(v.toFixed(1))) }));
    }
    const options = {
      width: node.clientWidth, height, scales, axes, series: specs, bands: ranges, padding: [8, kind === "offset" && classic ? 0 : 8, 0, 0],
      legend: { live: true }, cursor: { sync: { key: "server" }, drag: { x: true, y: false, setScale: false }, y: false, points: { size: 7 } },
      hooks: {
        drawClear: [under], draw: kind === "offset" ? [dots, flags] : [flags], setCursor: [near],
        setSelect: [(u) => { if (u.select.width > 4 && u.cursor.event) zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false); }],
      },
    };
    const drawing = node.querySelector("svg.chart"), words = node.dataset.words || (drawing && drawing.querySelector("desc").textContent) || "";
    node.dataset.words = words;
    node.replaceChildren();
    const made = new uPlot({ ...options, plugins: [{ hooks: { init: (u) => { u.kind = kind; } } }] }, rows, node);
    made.root.setAttribute("role", "img");
    made.root.setAttribute("aria-label", `${node.dataset.title}. ${words}`);
    made.over.addEventListener("dblclick", () => zoom(whole.from, whole.to));
    return made;
  }
  function tint(value, alpha = 0.22) {  // a colour of the sheet, thinner
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = value;
    const hex = probe.fillStyle;
    return hex[0] === "#" ? hex + Math.round(alpha * 255).toString(16).padStart(2, "0") : value;
  }
  function build() {
    for (const old of plots) { sync.unsub(old); old.destroy(); }
    host.score.closest("figure").hidden = classic;
    plots = [plot("offset", host.offset, classic ? 360 : 270), ...(classic ? [] : [plot("score", host.score, 160)]), plot("rtt", host.rtt, 140)];
    document.getElementById("plots").removeAttribute("data-swap");  // from now on they are kept fresh from here
    section.dataset.drawn = [at.from, at.to].map((ts) => ts.toFixed(0)).join("-") + (classic ? " classic" : "");
  }

  // -- moving about ----------------------------------------------------------------------------------------------------
  async function load(from, to) {
    const turn = ++asked;
    zoomed = from != null;
    const points = Math.min(1500, Math.max(200, Math.round(host.offset.clientWidth)));
    const window = from == null ? `range=${section.dataset.range}` : `from=${from.toFixed(3)}&to=${to.toFixed(3)}`;
    try {
      const reply = await fetch(`${section.dataset.chart}?${window}&points=${points}`);
      if (!reply.ok || turn !== asked) return;
      const found = await reply.json();
      if (!found.series.length) return;
      data = found;
      at = from == null ? { from: found.from, to: found.to } : { from, to };
      if (from == null) whole = at;
      build();
      tools.hidden = false;
      tools.classList.toggle("zoomed", from != null);
    } catch { /* the box is away: what is drawn stays */ }
  }
  function zoom(from, to) {
    if (from <= whole.from && to >= whole.to) { load(); return; }
    const length = Math.max(SHORTEST_S, Math.min(to - from, whole.to - whole.from));
    const begin = Math.min(Math.max(from, whole.from), whole.to - length);
    load(begin, begin + length);
  }
  const moves = {
    in: () => [at.from + (at.to - at.from) / 4, at.to - (at.to - at.from) / 4],
    out: () => [at.from - (at.to - at.from) / 2, at.to + (at.to - at.from) / 2],
    earlier: () => [at.from - (at.to - at.from) / 2, at.to - (at.to - at.from) / 2],
    later: () => [at.from + (at.to - at.from) / 2, at.to + (at.to - at.from) / 2],
    whole: () => [whole.from, whole.to],
  };
  tools.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (button && at) zoom(...moves[button.dataset.zoom]());
  });
  const both = tools.querySelector("[name=classic]");
  both.checked = classic;
  both.addEventListener("change", () => {
    classic = both.checked;
    try { localStorage.setItem("timeball.classic", classic ? "1" : "0"); } catch { /* private window */ }
    if (data) build();
  });
  let width = 0;
  new ResizeObserver(() => { if (data && host.offset.clientWidth !== width) { width = host.offset.clientWidth; plots.forEach((u) => u.setSize({ width, height: u.height })); } }).observe(host.offset);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (data) build(); });
  document.addEventListener("timeball:fresh", () => { if (data && !zoomed && !document.hidden) load(); });
  document.addEventListener("timeball:zone", () => { if (data) build(); });
  load();
})();
