// The page "Updates": sends a bundle in pieces with progress, and follows an installation. Without it the forms do the same.
"use strict";
(() => {
  const nap = (ms) => new Promise((done) => setTimeout(done, ms));

  const ask = async (method, path, body, type) => {
    for (;;) {
      const reply = await fetch(path, { method, body, headers: { "Content-Type": type, Accept: "application/json" } });
      if (reply.status === 429 || reply.status === 503) {
        await nap(1000 * Number(reply.headers.get("Retry-After") || 1));
        continue;
      }
      const value = await reply.json();
      if (!reply.ok) throw new Error(value.detail || `status ${reply.status}`);
      return value;
    }
  };

  const send = async (form, file) => {
    const shown = form.querySelector("[data-progress]");
    const bar = shown.querySelector("progress");
    const said = shown.querySelector("[role=status]");
    const base = form.dataset.upload;
    const piece = Number(form.dataset.piece);
    shown.hidden = false;
    try {
      const begun = JSON.stringify({ name: file.name, bytes: file.size });
      const upload = await ask("POST", base, begun, "application/json");
      for (let at = 0; at < file.size; at += piece) {
        const part = file.slice(at, at + piece);
        await ask("PUT", `${base}/${upload.id}?offset=${at}`, part, "application/octet-stream");
        bar.value = Math.min(1, (at + piece) / file.size);
        said.textContent = `${Math.round(bar.value * 100)} % was sent`;
      }
      location.assign("/updates");
    } catch (error) {
      said.textContent = `It was not sent: ${error.message}`;
    }
  };

  for (const form of document.querySelectorAll("form[data-upload]")) {
    form.addEventListener("submit", (event) => {
      const file = form.querySelector("input[type=file]").files[0];
      if (!file) return;
      event.preventDefault();
      send(form, file);
    });
  }

  const job = document.querySelector("[data-job]");
  const follow = async () => {
    for (;;) {
      await nap(1000);
      try {
        const told = await ask("GET", job.dataset.job, undefined, "application/json");
        if (told.job.state !== "running") break;
        job.querySelector("progress").value = told.job.share;
        job.querySelector("[data-doing]").textContent = told.job.doing;
      } catch {
        // The box may be busy, or restart: look again.
      }
    }
    location.assign("/updates");
  };
  if (job) follow();
})();
