// Charts that zoom: takes the place of the drawings made on the server, with the same values, axes, lines and marks.
// Comes with uPlot after the first picture; where either is missing, the drawings stay.
"use strict";
(() => {
  const section = document.getElementById("history"), node = (kind) => section.querySelector(`[data-plot=${kind}]`);
  const tools = section.querySelector(".zoom"), both = tools.querySelector("[name=classic]");
  const SHORTEST_S = 10, DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
  let data, whole, at, plots = [], zoomed = false, asked = 0;

  // -- words and colours: the same as on the server ------------------------------------------------------------------
  const look = (name) => getComputedStyle(document.body).getPropertyValue("--" + name).trim();
  const tone = (i) => look("series-" + (i + 1)) || look("series");
  const thin = (colour, percent) => `color-mix(in srgb, ${colour} ${percent}%, transparent)`;
  const moment = (ts) => timeball.written(new Date(ts * 1000));
  const fixed = (value, digits) => value.toFixed(digits).replace("-", "−");
  function seconds(value, sign) {
    const size = Math.abs(value), [times, unit] = size >= 0.9995 ? [1, " s"] : size >= 0.0009995 ? [1e3, " ms"] : [1e6, " µs"];
    return (value > 0 ? sign : "") + fixed(value * times, size * times >= 99.95 ? 0 : size * times >= 9.995 ? 1 : 2) + unit;
  }

  // -- what is drawn besides the lines ---------------------------------------------------------------------------------
  const painting = (paint) => (u) => { u.ctx.save(); paint(u, u.ctx, u.bbox, devicePixelRatio); u.ctx.restore(); };
  const bands = painting((u, ctx, box, px) => {  // the scorer's
    if (!data.lines || u.kind === "rtt") return;
    const { good_s: good, limit_s: limit, enter_score: enter } = data.lines, y = (value) => u.valToPos(value, "y", true);
    const fill = (low, high, name, alpha) => {
      ctx.globalAlpha = alpha; ctx.fillStyle = look(name); ctx.fillRect(box.left, y(high), box.width, y(low) - y(high));
    };
    if (u.kind === "score") fill(enter, data.axes.score.high, "ok", 0.1);
    else { fill(-limit, limit, "degraded", 0.06); fill(-good, good, "ok", 0.1); }
    ctx.globalAlpha = 0.8; ctx.strokeStyle = look("muted"); ctx.lineWidth = px; ctx.setLineDash([2 * px, 4 * px]); ctx.beginPath();
    for (const value of u.kind === "score" ? [enter] : [-limit, -good, good, limit]) { ctx.moveTo(box.left, y(value)); ctx.lineTo(box.left + box.width, y(value)); }
    ctx.stroke();
  });
  const SHAPES = [["ok", 2.2], ["fair", 2.2], ["failing", 2.8]];
  const dots = painting((u, ctx, box, px) => {  // round inside the inner band, square outside, one path for each; strokes below for what brought no time
    const { min, max } = u.scales.x, { good_s: good, limit_s: limit } = data.lines || { good_s: 1e9 }, floor = box.top + box.height;
    const paths = SHAPES.map(() => new Path2D()), lost = new Path2D();
    ctx.beginPath(); ctx.rect(box.left, box.top, box.width, box.height); ctx.clip();
    for (const one of data.series) {
      one.ts.forEach((ts, i) => {
        if (!one.n[i] || ts < min || ts > max) return;
        const x = u.valToPos(ts, "x", true), value = one.offset_median_s[i] ?? one.offset_s[i];
        if (value == null) { lost.moveTo(x, floor - 12 * px); lost.lineTo(x, floor - 2 * px); return; }
        const y = u.valToPos(value, "y", true), size = Math.abs(value), kind = size <= good ? 0 : size <= limit ? 1 : 2, r = SHAPES[kind][1] * px * (data.step_s ? 0.7 : 1);  // smaller over a band
        if (kind) paths[kind].rect(x - r, y - r, 2 * r, 2 * r);
        else { paths[0].moveTo(x + r, y); paths[0].arc(x, y, r, 0, 7); }
      });
    }
    paths.forEach((path, kind) => { ctx.fillStyle = look(SHAPES[kind][0]); ctx.fill(path); });
    ctx.strokeStyle = look("failing"); ctx.lineWidth = 2 * px; ctx.stroke(lost);
  });
  const flags = painting((u, ctx, box, px) => {
    ctx.font = `600 ${11 * px}px ${look("text")}`; ctx.textAlign = "center"; ctx.textBaseline = "middle"; ctx.lineWidth = px;
    for (const mark of data.marks) {
      if (mark.ts < u.scales.x.min || mark.ts > u.scales.x.max) continue;
      const x = Math.round(u.valToPos(mark.ts, "x", true));
      ctx.strokeStyle = ctx.fillStyle = look({ in: "ok", out: "failing" }[mark.kind] || "muted"); ctx.globalAlpha = 0.55;
      ctx.beginPath(); ctx.moveTo(x, box.top); ctx.lineTo(x, box.top + box.height); ctx.stroke();
      if (u.kind === "rtt") continue;
      ctx.globalAlpha = 1; ctx.beginPath(); ctx.arc(x, box.top + 8 * px, 8 * px, 0, 7); ctx.fill();
      ctx.fillStyle = look("card"); ctx.fillText(mark.letter, x, box.top + 8.5 * px);
    }
  });
  function near(u) {  // the marks under the cursor, in words
    const found = data.marks.filter((mark) => Math.abs(u.valToPos(mark.ts, "x") - u.cursor.left) < 9);
    section.querySelector(".readout").textContent = found.map((mark) => `${moment(mark.ts)} ${timeball.zone()}: ${mark.text}`).join(" · ");
  }

  // -- building --------------------------------------------------------------------------------------------------------
  const axis = (more) => ({ stroke: look("muted"), font: `12px ${look("text")}`, grid: { stroke: look("line"), width: 1 }, ticks: { show: false }, filter: (u, splits) => splits, ...more });
  const clock = (u, splits, index, space, step) => splits.map((ts) => {
    const text = moment(ts);
    return step >= 86400 || text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, step < 60 ? 19 : 16);
  });
  function plot(kind, height) {
    const here = node(kind), classic = kind === "offset" && both.checked, names = Object.keys(data.series[0]).slice(1);  // without the monitor
    const table = uPlot.join(data.series.map((one) => [one.ts, ...names.map((name) => one[name])]));
    const rows = [table[0]], series = [{ label: `Time (${timeball.zone()})`, value: (u, ts) => (ts == null ? "–" : moment(ts)) }];
    const scales = { x: { range: () => [at.from, at.to] } }, axes = [axis({ space: 70, size: 26, values: clock })], spans = [];
    // One line. Where only other monitors have points the table says undefined, which joins neighbours; null breaks the line.
    const add = (i, column, label, more) => {
      rows.push(table[1 + i * names.length + names.indexOf(column)]);
      series.push({
        label: data.series[1] ? `${label}, ${data.series[i].monitor}` : label, stroke: tone(i), dash: DASHES[i % 4], points: { show: false },
        value: (u, value) => (value == null ? "–" : column === "score" ? fixed(value, 1) : seconds(value, kind === "rtt" ? "" : "+")), ...more,
      });
    };
    const draw = {
      offset(i) {
        for (const { columns, words, old } of data.offsets) {  // a line, and the ends of its band
          columns.forEach((column, k) => add(i, column, words[k], k ? { width: 0 } : { stroke: thin(tone(i), 45), dash: old ? [2, 3] : DASHES[i % 4] }));
          if (columns[1]) spans.push({ series: [rows.length - 1, rows.length - 2], fill: thin(tone(i), old ? 16 : 34) });
        }
      },
      rtt(i) { add(i, "rtt_s", "Round trip", { width: 1.2, points: { show: true, size: 3.5, width: 0, fill: tone(i) } }); },
      score(i, scale) { add(i, "score", "Score", { scale, stroke: classic ? look("ball") : tone(i), width: 2, spanGaps: true, paths: uPlot.paths.stepped({ align: 1 }) }); },
    };
    const put = (what, scale, more) => {  // values of one kind, and their axis as the server has it
      const { low, high, knee, at, words } = data.axes[what];
      scales[scale] = {
        range: () => [low, high],
        ...{ offset: { distr: 4, asinh: knee }, score: { distr: 100, fwd: (v) => -Math.sqrt(Math.max(0, high - v)), bwd: (v) => high - v * v } }[what],
      };
      axes.push(axis({ scale, size: (u) => Math.max(57, Math.min(64, u.width / 8)), splits: () => at, values: () => words, ...more }));
      data.series.forEach((one, i) => draw[what](i, scale));
    };
    put(kind, "y");
    if (classic) put("score", "score", { size: 34, side: 1, grid: { show: false } });
    here.dataset.words ||= here.querySelector("desc").textContent;
    here.replaceChildren();
    const made = new uPlot({
      width: here.clientWidth, height, scales, axes, series, bands: spans, padding: [8, classic ? 0 : 26, 0, 0],
      cursor: { sync: { key: "server" }, drag: { setScale: false }, y: false, points: { size: 7 } },
      hooks: {
        init: [(u) => { u.kind = kind; }], drawClear: [bands], draw: kind === "offset" ? [dots, flags] : [flags], setCursor: [near],
        setSelect: [(u) => {
          const { left, width } = u.select;
          if (width > 4 && u.cursor.event) zoom(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
      },
    }, rows, here);
    made.root.role = "img";
    made.root.ariaLabel = `${here.dataset.title}. ${here.dataset.words}`;
    made.over.addEventListener("dblclick", () => load());
    return made;
  }
  function build() {
    if (!data) return;
    for (const old of plots) old.destroy();
    node("score").closest("figure").hidden = both.checked;
    plots = both.checked ? [plot("offset", 360), plot("rtt", 140)] : [plot("offset", 270), plot("score", 160), plot("rtt", 140)];
    document.getElementById("plots").removeAttribute("data-swap");  // from now on they are kept fresh from here
    section.dataset.drawn = `${at.from.toFixed(0)}-${at.to.toFixed(0)}${both.checked ? " classic" : ""}`;
  }

  // -- moving about ----------------------------------------------------------------------------------------------------
  async function load(from, to) {
    const turn = ++asked, points = Math.min(1500, Math.max(200, node("offset").clientWidth));
    zoomed = from != null;
    try {
      const reply = await fetch(`${section.dataset.chart}?${zoomed ? `from=${from.toFixed(3)}&to=${to.toFixed(3)}` : "range=" + section.dataset.range}&points=${points}`);
      if (!reply.ok || turn !== asked) return;
      const found = await reply.json();
      if (!found.series.length) return;
      data = found;
      section.querySelector(".legend").textContent = found.legend;
      at = zoomed ? { from, to } : (whole = found);
      build();
      tools.hidden = false;
      tools.classList.toggle("zoomed", zoomed);
    } catch { /* the box is away: what is drawn stays */ }
  }
  function zoom(from, to) {
    if (from <= whole.from && to >= whole.to) { load(); return; }
    const length = Math.max(SHORTEST_S, Math.min(to - from, whole.to - whole.from)), begin = Math.min(Math.max(from, whole.from), whole.to - length);
    load(begin, begin + length);
  }
  tools.addEventListener("click", (event) => {  // a button says by how much of what is shown it moves both ends
    const moves = event.target.dataset.zoom, length = at && at.to - at.from;
    if (moves && at) zoom(...moves.split(" ").map((share, i) => (i ? at.to : at.from) + share * length));
  });
  both.checked = timeball.kept("classic");
  both.addEventListener("change", () => { timeball.keep("classic", both.checked); build(); });
  new ResizeObserver(() => { for (const u of plots) if (u.width !== u.root.parentNode.clientWidth) u.setSize({ width: u.root.parentNode.clientWidth, height: u.height }); }).observe(section);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  document.addEventListener("timeball:fresh", () => { if (data && !zoomed && !document.hidden) load(); });
  document.addEventListener("timeball:zone", build);
  load();
})();
