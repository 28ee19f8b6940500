// Live parts, search while typing, and the keyboard. Every page works without this file.
"use strict";
const one = (what, where = document) => where.querySelector(what);
const all = (what, where = document) => [...where.querySelectorAll(what)];

// Take the live parts of a page anew, and put them in the place of those shown.
let latest = 0;
async function renew(url) {
  const asked = ++latest;
  const shown = all("[data-live]");
  shown.forEach((part) => part.setAttribute("aria-busy", "true"));
  try {
    const answer = await fetch(url, { headers: { "X-Live": "1" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (asked !== latest) return;
    for (const part of shown) {
      const fresh = one(`[data-live="${part.dataset.live}"]`, page);
      if (fresh && answer.ok) part.replaceChildren(...fresh.childNodes);
    }
  } catch {
    // The console is away: what is shown stays, with its time.
  } finally {
    shown.forEach((part) => part.removeAttribute("aria-busy"));
  }
}

const paused = one("[data-pause]");
const every = Number(document.body.dataset.every || one("[data-every]")?.dataset.every || 0);
if (every) {
  if (paused) paused.hidden = false;
  paused?.addEventListener("click", () => {
    const on = paused.getAttribute("aria-pressed") !== "true";
    paused.setAttribute("aria-pressed", String(on));
  });
  setInterval(() => {
    const busy = document.hidden || paused?.getAttribute("aria-pressed") === "true";
    if (!busy && !one("[data-live] :focus") && !one("[data-live] details[open]")) renew(location.href);
  }, every * 1000);
}

const filters = one("form[data-search]");
if (filters) {
  let waiting;
  filters.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const given = [...new FormData(filters)].filter(([, value]) => value !== "");
      const url = `${location.pathname}?${new URLSearchParams(given)}`;
      history.replaceState(null, "", url);
      renew(url);
    }, 200);
  });
}

document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  all("tbody input[type=checkbox]", event.target.closest("table")).forEach((box) => (box.checked = event.target.checked));
});

// Keys: single letters can be switched off (WCAG 2.1.4).
const stored = () => localStorage.getItem("keys") !== "off";
const keys = one("[data-keys]");
if (keys) {
  const tell = () => (keys.textContent = keys.textContent.replace(/(on|off)$/, stored() ? "on" : "off"));
  keys.hidden = one("[data-keys-help]").hidden = false;
  keys.addEventListener("click", () => (localStorage.setItem("keys", stored() ? "off" : "on"), tell()));
  tell();
}
one("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
let after = "";
let row = -1;
document.addEventListener("keydown", (event) => {
  if (!stored() || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const key = event.key;
  const rows = all("tbody tr:has(a)");
  if (after === "g") one(`nav a[data-key="${CSS.escape(key)}"]`)?.click();
  else if (key === "/") one("#search")?.focus();
  else if (key === "?") one(".account")?.setAttribute("open", "");
  else if (key === "x") (one("input[type=checkbox]", rows[row]) || {}).checked ^= 1;
  else if ((key === "j" || key === "k") && rows.length) {
    row = Math.min(Math.max(row + (key === "j" ? 1 : -1), 0), rows.length - 1);
    one("a", rows[row]).focus();
  }
  if (key === "/" || key === "?") event.preventDefault();
  after = after === "g" ? "" : key;
});
