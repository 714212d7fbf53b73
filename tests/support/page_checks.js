// What an accessibility checker misses, as one list of complaints in words. Reads the page, changes nothing.
(() => {
  const bad = [];
  const seen = (node) => node.getClientRects().length > 0 && getComputedStyle(node).visibility !== "hidden";
  const name = (node) => `${node.tagName.toLowerCase()}${node.id ? "#" + node.id : ""}${node.getAttribute("class") ? "." + node.getAttribute("class").trim().replace(/\s+/g, ".") : ""} ${(node.textContent || node.name || "").trim().slice(0, 30)}`;

  // -- sideways ---------------------------------------------------------------------------------------------------
  const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (over > 0) {
    const wide = [...document.querySelectorAll("body *")].filter((n) => n.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5 && !n.closest(".scroll, .sprite")).slice(0, 3);
    bad.push(`overflow: ${over} px sideways: ${wide.map(name).join("; ")}`);
  }

  // -- headings, skip link ----------------------------------------------------------------------------------------
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (!seen(heading)) continue;
    const own = Number(heading.tagName[1]);
    if (own > level + 1) bad.push(`heading: ${name(heading)} comes after level ${level}`);
    level = own;
  }
  if (document.querySelectorAll("h1").length !== 1) bad.push(`heading: ${document.querySelectorAll("h1").length} of level 1`);
  const skip = document.querySelector("a[href], button, input");
  if (!skip || !skip.matches(".skip[href^='#']") || !document.querySelector(skip.getAttribute("href"))) bad.push("skip: the first link does not lead to the content");

  // -- forms ------------------------------------------------------------------------------------------------------
  for (const part of document.querySelectorAll("input:not([type=hidden]):not([type=submit]), select, textarea")) {
    if (!(part.labels && [...part.labels].some((l) => l.textContent.trim())) && !part.getAttribute("aria-label") && !part.getAttribute("aria-labelledby")) bad.push(`label: none for ${name(part)} ${part.name}`);
  }
  for (const part of document.querySelectorAll("button, select, summary, input:not([type=hidden]):not([type=checkbox]):not([type=radio])")) {
    const box = part.getBoundingClientRect();
    if (!seen(part) || box.width <= 1) continue;  // one pixel: there for the Enter key alone
    if (box.height < 23.5 || box.width < 23.5) bad.push(`target: ${name(part)} is ${box.width.toFixed(0)} x ${box.height.toFixed(0)} px`);
  }
  for (const part of document.querySelectorAll("input[type=checkbox], input[type=radio]")) {
    if (!seen(part)) continue;
    const boxes = [part, ...part.labels].map((n) => n.getBoundingClientRect());
    if (!boxes.some((b) => b.height >= 23.5 && b.width >= 23.5)) bad.push(`target: ${name(part)} ${part.name} and its label are small`);
  }
  // A tick stands beside its words, on their line and no wider than a tick; a field for much text has the room for it; an example is
  // what one would type.
  for (const part of document.querySelectorAll("input[type=checkbox], input[type=radio]")) {
    const label = part.labels[0];
    if (!seen(part) || !label || !label.contains(part)) continue;
    const box = part.getBoundingClientRect(), range = document.createRange();
    if (box.width > 30) bad.push(`tick: ${part.name} is ${box.width.toFixed(0)} px wide`);
    range.selectNodeContents(label);
    const lines = [...range.getClientRects()].filter((r) => r.width > 1 && Math.abs(r.left - box.left) > 1);
    if (lines.length && !lines.some((r) => r.top < box.bottom && r.bottom > box.top)) bad.push(`tick: ${part.name} stands apart from its words`);
  }
  for (const part of document.querySelectorAll("textarea")) {
    const room = part.parentElement.clientWidth;
    if (seen(part) && part.offsetWidth < Math.min(0.8 * room, 400)) bad.push(`field: ${name(part)} ${part.name} uses ${part.offsetWidth} of ${room} px`);
  }
  for (const part of document.querySelectorAll("[placeholder]")) {
    if (/\\x[0-9a-f]{2}/.test(part.placeholder)) bad.push(`example: ${part.name} says ${part.placeholder}`);
  }

  // -- pictures -----------------------------------------------------------------------------------------------------
  for (const picture of document.querySelectorAll("svg[role=img], canvas, .uplot")) {
    if (picture.tagName === "CANVAS" && picture.closest(".uplot")) continue;
    const said = picture.getAttribute("aria-label") || (picture.querySelector(":scope > title") || {}).textContent;
    if (!said || !said.trim()) bad.push(`picture: no words for ${name(picture)}`);
  }
  for (const chart of document.querySelectorAll("section.charts")) {
    if (!chart.querySelector("svg.chart, .uplot")) continue;
    const described = [...chart.querySelectorAll("svg.chart")].every((s) => s.querySelector("desc") && s.querySelector("desc").textContent.trim().length > 10)
      && [...chart.querySelectorAll(".uplot")].every((u) => (u.getAttribute("aria-label") || "").length > 20);
    if (!described) bad.push(`chart: no summary in words in #${chart.id}`);
    if (!chart.querySelector("table tbody tr")) bad.push(`chart: no table in #${chart.id}`);
    if (!chart.querySelector("a[href*='.csv'], a[href*='format=csv']")) bad.push(`chart: no CSV in #${chart.id}`);
  }

  // -- contrast: all text, that of drawings included -----------------------------------------------------------------
  const parse = (text) => {
    const m = (text.match(/[\d.]+(?:e-?\d+)?/g) || [0, 0, 0, 0]).map(Number);
    return text.startsWith("color(srgb") ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1];
  };
  const over2 = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]));
  const light = (c) => { const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]); };
  const ratio = (one, two) => { const [a, b] = [light(one), light(two)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
  const sheet = getComputedStyle(document.documentElement).backgroundColor;
  const root = parse(sheet)[3] > 0 ? parse(sheet) : parse(getComputedStyle(document.body).backgroundColor);
  const back = (node) => {
    const layers = [];
    for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor); if (c[3] > 0) layers.push(c); if (c[3] > 0.99) break; }
    return layers.reverse().reduce((under, top) => over2(top, under), root.slice(0, 3));
  };
  for (const node of document.querySelectorAll("body *")) {
    if (["SCRIPT", "TITLE", "title", "desc", "OPTION", "NOSCRIPT"].includes(node.tagName) || !seen(node)) continue;
    if (![...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || node.closest(":disabled, [aria-hidden=true]")) continue;
    const style = getComputedStyle(node), behind = node.namespaceURI.endsWith("svg") && node.previousElementSibling;
    // A letter on a disc of a drawing stands on the disc.
    const under = behind && behind.matches("circle, rect.badge") ? parse(getComputedStyle(behind).fill).slice(0, 3) : back(node);
    const front = over2(parse(node.namespaceURI.endsWith("svg") ? style.fill : style.color), under);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(front, under);
    if (found < (large ? 3 : 4.5)) bad.push(`contrast: ${found.toFixed(2)} of ${name(node)}`);
  }
  // Labels of axes that a library paints: the pixel that stands out most is the ink, the one there most is the paper.
  for (const plot of document.querySelectorAll(".uplot")) {
    const canvas = plot.querySelector("canvas"), place = canvas.getBoundingClientRect(), dense = canvas.width / place.width;
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    for (const axis of plot.querySelectorAll(".u-axis")) {
      const box = axis.getBoundingClientRect();
      const at = [(box.x - place.x) * dense, (box.y - place.y) * dense, box.width * dense, box.height * dense].map(Math.round);
      if (at[2] < 4 || at[3] < 4) continue;
      const pixels = context.getImageData(...at).data, paper = back(plot);
      let ink = 1;
      for (let i = 0; i < pixels.length; i += 4) {
        if (pixels[i + 3] > 40) ink = Math.max(ink, ratio(over2([pixels[i], pixels[i + 1], pixels[i + 2], pixels[i + 3] / 255], paper), paper));
      }
      if (ink < 4.5) bad.push(`contrast: ${ink.toFixed(2)} of the labels painted at ${at.join(", ")} of a chart`);
    }
  }
  return bad;
})()
