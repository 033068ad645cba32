"use strict";
const EVERY = 2000, NAMES = 200, SHOWN = 120, ROOM = { left: 62, right: 12, top: 12, bottom: 26 };
const part = (id) => document.getElementById(id);
let token = "", chosen = null, next = null, count = null, timer = null, turn = 0, redraw = () => {};

class Refusal extends Error {
  constructor(status, told) { super(told); this.status = status; }
}

async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  const content = await answer.json();
  if (!answer.ok) throw new Refusal(answer.status, `${content.error} (${content.hint})`);
  return content;
}

const place = (name) => `v1/series/${encodeURIComponent(name)}`;

async function listNames(after) {
  const page = await ask(`v1/series?limit=${NAMES}${after === null ? "" : `&after=${encodeURIComponent(after)}`}`);
  if (after === null) part("series").replaceChildren();
  for (const name of page.series) {
    const option = document.createElement("option");
    option.value = option.textContent = name;
    part("series").append(option);
  }
  if (page.series.includes(chosen)) part("series").value = chosen;
  next = page.next;
  count = page.count;
  part("more").hidden = next === null;
  if (chosen === null && page.series.length) chosen = page.series[0];
}

async function forecastOf(name) {
  const way = `${place(name)}/forecast`;
  try {
    return await ask(`${way}?level=80`);
  } catch (error) {
    if (error.status !== 422) throw error;
  }
  const plain = await ask(way).catch((error) => {
    if (error.status !== 422) throw error;
    return null;
  });
  if (plain === null) return null;
  try {
    plain.forecast[0] = (await ask(`${way}?h=1&level=80`)).forecast[0];
  } catch (error) {
    if (error.status !== 422) throw error;
  }
  return plain;
}

async function refresh() {
  const mine = ++turn;
  clearTimeout(timer);
  try {
    if (chosen === null || (await ask("v1/series?limit=1")).count !== count) await listNames(null);
    part("entry").hidden = true;
    part("choice").hidden = part("figure").hidden = chosen === null;
    if (chosen === null) {
      say("No series is live yet: POST its rows to v1/series/NAME/observe.");
    } else {
      const [about, ahead] = await Promise.all([ask(place(chosen)), forecastOf(chosen)]);
      if (mine !== turn) return;
      show(about, ahead);
    }
  } catch (error) {
    if (mine !== turn) return;
    if (error.status === 401) return askForToken();
    say(error instanceof Refusal ? error.message : "The server does not answer; asking again.");
    if (error.status === 404) chosen = null;
  }
  timer = setTimeout(refresh, EVERY);
}

function say(text) { part("told").textContent = text; }

function askForToken() {
  say(token ? "The server does not take this token." : "The server asks for a token.");
  part("entry").hidden = false;
  part("choice").hidden = part("figure").hidden = true;
}

function show(about, ahead) {
  part("name").textContent = about.series;
  const newest = `${text(about.recent.at(-1)?.value)} at ${about.last}`;
  const first = ahead?.forecast[0];
  say(first ? `${ahead.model}: ${ahead.target} ${newest}, ${text(first.value)} expected at ${first.time}`
    : `${newest}; a forecast needs what is known ahead: POST it to ${place(about.series)}/forecast.`);
  const drift = about.drift;
  part("drift").textContent = drift.observed
    ? `Mean absolute one-step error of late: ${text(drift.model)}, naive forecast ${text(drift.naive)}` +
      (drift.worse ? ". The model has become worse than naive: fit it again." : ".")
    : "Nothing was observed since the series went live.";
  redraw = () => draw(about.recent.slice(-SHOWN), ahead?.forecast ?? []);
  redraw();
  document.documentElement.dataset.drawn = "yes";
}

const text = (value) => value === null || value === undefined ? "?" : String(+value.toPrecision(6));

function make(parent, name, attributes, content) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content !== undefined) made.textContent = content;
  parent.append(made);
  return made;
}

function draw(recent, ahead) {
  const box = part("chart"), width = box.clientWidth, height = box.clientHeight;
  const bands = ahead.map((step) => step.intervals[0] ?? { lo: null, hi: null });
  const values = [...recent.flatMap((row) => [row.value, row.forecast]), ...ahead.map((step) => step.value),
    ...bands.flatMap((band) => [band.lo, band.hi])].filter((value) => value !== null);
  let low = Math.min(...values), high = Math.max(...values);
  if (!(high > low)) { low -= 1; high += 1; }
  const count = recent.length + ahead.length;
  const x = (i) => ROOM.left + (width - ROOM.left - ROOM.right) * (count > 1 ? i / (count - 1) : 0.5);
  const y = (value) => height - ROOM.bottom - (height - ROOM.top - ROOM.bottom) * (value - low) / (high - low);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const value of ticks(low, high)) {
    make(svg, "line", { class: "grid", x1: ROOM.left, x2: width - ROOM.right, y1: y(value), y2: y(value) });
    make(svg, "text", { class: "label", x: ROOM.left - 8, y: y(value) + 4, "text-anchor": "end" }, text(value));
  }
  const times = [...recent, ...ahead].map((each) => String(each.time));
  make(svg, "text", { class: "label", x: ROOM.left, y: height - 6 }, times[0]);
  make(svg, "text", { class: "label", x: width - ROOM.right, y: height - 6, "text-anchor": "end" }, times.at(-1));
  const from = recent.length;
  const last = recent.at(-1)?.value ?? null;
  const edge = last === null ? [] : [[from - 1, last]];
  const sides = ["hi", "lo"].map((side) => [...edge, ...bands.map((band, i) => [from + i, band[side]])]
    .filter((point) => point[1] !== null));
  const around = [...sides[0], ...sides[1].reverse()];
  if (around.length > 2) {
    make(svg, "polygon", { class: "band", points: around.map(([i, value]) => `${x(i)},${y(value)}`).join(" ") });
  }
  curve(svg, "before", recent.map((row, i) => [i, row.forecast]), x, y);
  curve(svg, "observed", recent.map((row, i) => [i, row.value]), x, y);
  if (ahead.length) curve(svg, "forecast", [...edge, ...ahead.map((step, i) => [from + i, step.value])], x, y);
  ahead.forEach((step, i) => {
    if (step.value !== null) make(svg, "circle", { class: "dot", r: 3, cx: x(from + i), cy: y(step.value) });
  });
  box.replaceChildren(svg);
  box.setAttribute("aria-label", `Line chart: ${recent.length} observed rows and ${ahead.length} steps ahead`);
}

function ticks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  const first = Math.ceil(low / step), count = Math.floor(high / step) - first + 1;
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

function curve(svg, name, points, x, y) {
  let pen = "M", path = "";
  for (const [i, value] of points) {
    if (value === null) { pen = "M"; continue; }
    path += `${pen}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  }
  if (path) make(svg, "path", { class: `curve ${name}`, d: path });
}

part("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  token = part("token").value.trim();
  part("token").value = "";
  refresh();
});
part("series").addEventListener("change", () => { chosen = part("series").value; refresh(); });
part("more").addEventListener("click", () => listNames(next).catch((error) => say(error.message)));
addEventListener("resize", () => redraw());
refresh();
