"use strict";
// What live pages draw with. A chart has the markup of tailgate.harness.report.drawing.chart, so that one style sheet serves
// both. Texts become text nodes, whatever they hold; nothing here writes markup.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 250;
const MISSING = "–";

function tag(name, attributes = {}, ...children) {
  const made = ["svg", "path"].includes(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(made.style, value);
    else made.setAttribute(key, value);
  }
  made.append(...children.flat());
  return made;
}

const at = selector => document.querySelector(selector);

// Unchanged text is left alone, so that a screen reader does not read it again.
function say(selector, text) {
  const place = at(selector);
  if (place.textContent !== text) place.textContent = text;
}

// Numbers, as tailgate.harness.units writes them.

function significant(value) {
  if (value === 0) return "0";
  const rounded = Number(value.toPrecision(3));
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))));
  return rounded.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

const known = value => value !== null && value !== undefined && Number.isFinite(value);
const written = write => value => known(value) ? write(value) : MISSING;
const seconds = written(value => value >= 10 ? `${significant(value)} s` : `${significant(value * 1e3)} ms`);
const rate = written(value => `${significant(value)}/s`);
const share = written(value => `${significant(value * 100)} %`);
const whole = written(value => Math.round(value).toLocaleString("en-US"));
const number = written(significant);

function span(time_s) {
  const rounded = Math.round(time_s);
  if (rounded < 120 && rounded !== 60) return `${rounded} s`;
  return rounded < 7200 ? `${Number((rounded / 60).toFixed(1))} min` : `${Number((rounded / 3600).toFixed(1))} h`;
}

// Axes: from a value to its place between 0 and 1, and the round values that are written beside it.

const DIGITS = [1, 2, 5];

function linear(high, write, least = 0) {
  const rough = Math.max(high || 1, least) / 4, decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(digit => digit * decade).find(size => size >= rough * (1 - 1e-9));
  const last = Math.max(1, Math.ceil(Math.max(high, least) / step - 1e-9));
  const ticks = [...Array(last + 1).keys()].map(index => [index * step, shortened(write(index * step))]);
  return { at: value => within(value / (last * step)), ticks };
}

function logarithmic(values, write) {
  const positive = values.filter(value => known(value) && value > 0);
  // A decade at the least, so that small changes look small.
  const high = positive.length ? Math.max(...positive) : 0.1, low = Math.min(high / 10, ...positive);
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const round = [];
  for (let decade = first; decade <= last; decade++) round.push(...DIGITS.map(digit => digit * 10 ** decade));
  const floor = round.findLast(value => value <= low * (1 + 1e-9)) ?? low;
  const roof = round.find(value => value >= high * (1 - 1e-9)) ?? high;
  let inside = round.filter(value => value >= floor * (1 - 1e-9) && value <= roof * (1 + 1e-9));
  if (inside.length > 7) inside = inside.filter(value => value.toExponential().startsWith("1e"));
  const place = value => Math.log(Math.max(value, floor) / floor) / Math.log(roof / floor);
  return { at: value => within(place(value)), ticks: inside.map(value => [value, shortened(write(value))]) };
}

// From the start to the end of what is shown, with the age of each moment or its time since the start beside it.
function times(start_s, end_s, { ages }) {
  const length_s = Math.max(end_s - start_s, 1);
  const most = ages ? 3 : 6;
  const step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200].find(size => length_s / size <= most) ?? length_s / most;
  const ticks = [];
  for (let time_s = 0; time_s <= length_s + 1e-9; time_s += step) {
    if (ages) ticks.unshift([end_s - time_s, time_s === 0 ? "now" : `${span(time_s)} ago`]);
    else ticks.push([start_s + time_s, span(start_s + time_s)]);
  }
  return { at: value => within((value - start_s) / length_s), ticks };
}

const within = place => Math.min(1, Math.max(0, place));
const shortened = text => text.replace(/\.\d+/, fraction => fraction.replace(/\.?0+$/, ""));

// Charts

const across = place => Math.round(place * WIDTH), down = place => Math.round((1 - place) * HEIGHT);
const percent = place => `${(place * 100).toFixed(2)}%`;

// A series has a name, a style of the style sheet, and points [x, y], where null breaks the line.
function chart({ x, y, series, title, size = "", phases = [] }) {
  const grid = [...y.ticks.map(([value]) => `M0 ${down(y.at(value))}H${WIDTH}`),
    ...x.ticks.map(([value]) => `M${across(x.at(value))} 0V${HEIGHT}`)].join("");
  const picture = tag("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    tag("path", { d: grid, class: "grid" }),
    series.map(one => tag("path", { d: line(one.points, x, y), class: `line ${one.style}` })));
  const texts = (axis, side) => axis.ticks.map(
    ([value, text]) => tag("span", { style: { [side]: percent(axis.at(value)) } }, text));
  const drawn = tag("div", { class: `chart ${size}`.trim(), role: "img", "aria-label": `${title}: ${series.map(summed).join(", ")}` },
    tag("div", { class: "ytitle" }, title),
    tag("div", { class: "y" }, texts(y, "bottom")),
    tag("div", { class: "plot" }, phases.map(one => phase(one, x)), picture),
    tag("div", { class: "x" }, texts(x, "left")));
  return [drawn, legend(series.map(one => [one.style, one.name]))];
}

function line(points, x, y) {
  let drawn = "", joined = false;
  for (const [when, value] of points) {
    if (known(value)) drawn += `${joined ? "L" : "M"}${across(x.at(when))} ${down(y.at(value))}${joined ? "" : "h0"}`;
    joined = known(value);
  }
  return drawn;
}

function phase({ name, start, end, measured }, x) {
  const left = x.at(start), width = x.at(end) - left;
  const label = width > 0.07 ? [tag("span", {}, name)] : [];
  return tag("div", { class: measured ? "phase" : "phase warm", title: name, style: { left: percent(left), width: percent(width) } }, label);
}

const latest = one => one.points.findLast(([, value]) => known(value))?.[1];
const summed = one => `${one.name} ${(one.write ?? number)(latest(one))}`;

function legend(entries) {
  return tag("ul", { class: "legend" }, entries.map(([style, name]) => tag("li", {}, tag("i", { class: `key ${style}` }), name)));
}

// Rows of a name, pieces [style, share of the width], and a text.
function bars(rows, kind) {
  return tag("dl", { class: "bars" }, rows.flatMap(([name, pieces, text]) => [
    tag("dt", {}, name),
    tag("dd", {}, tag("span", { class: kind }, pieces.map(([style, part]) => tag("i", { class: `fill ${style}`, style: { width: percent(part) } }))),
      tag("b", {}, text))]));
}

function table(header, rows) {
  return tag("table", {}, tag("thead", {}, tag("tr", {}, header.map(name => tag("th", { scope: "col" }, name)))),
    tag("tbody", {}, rows.map(row => tag("tr", {}, row.map(cell => tag("td", {}, cell))))));
}

// Of each series what it is now, and its least, mean and most of what is shown.
function numbers(series) {
  return table(["what", "now", "least", "mean", "most"], series.map(({ name, points, write = number }) => {
    const values = points.map(([, value]) => value).filter(known);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const told = values.length ? [Math.min(...values), mean, Math.max(...values)] : [null, null, null];
    return [name, write(points.at(-1)?.[1]), ...told.map(write)];
  }));
}

// Puts a picture into its panel, and its numbers where somebody has opened them.
function draw(selector, picture, rows) {
  at(`${selector} .drawn`).replaceChildren(...[picture].flat());
  const opened = at(`${selector} details[open] .scroll`);
  if (opened) opened.replaceChildren(rows);
}

// Calls a function once per second while somebody sees the page, never twice at a time.
async function everySecond(look) {
  for (;;) {
    const began = performance.now();
    if (!document.hidden) await look();
    await new Promise(done => setTimeout(done, Math.max(50, 1000 - (performance.now() - began))));
  }
}
