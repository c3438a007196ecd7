"use strict";
/* Numbers, spans and names as people read them. */

const OUTCOMES = [
  // name, words, shape, dashes of its line: colour is never the only thing that tells them apart
  ["delivered", "delivered", "●", []],
  ["rejected", "rejected", "✖", [8, 4]],
  ["invalid", "invalid", "◆", [2, 3]],
  ["in_doubt", "in doubt", "▲", [10, 3, 2, 3]],
  ["unsent", "unsent", "○", [4, 6]],
];

function number(value) {
  if (value === null || value === undefined) return "–";
  const digits = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function plural(value, word) {
  return `${number(value)} ${word}${value === 1 ? "" : "s"}`;
}

function digits(value) {
  return value.toPrecision(3).includes("e") ? number(value) : String(Number(value.toPrecision(3)));
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 0.9995 ? `${digits(seconds * 1000)} ms` : `${digits(seconds)} s`;
}

function span(seconds) {
  const whole = Math.floor(seconds), two = (value) => String(value).padStart(2, "0");
  const days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24, minutes = Math.floor(whole / 60) % 60;
  if (days) return `${days}d ${two(hours)}:${two(minutes)}:${two(whole % 60)}`;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.01) return "<0.01%";
  if (share > 99.99 && share < 100) return "99.99%";
  return `${share.toFixed(2)}%`;
}

function bytes(value) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

function clock(at, long) {
  const when = new Date(at * 1000), two = (value) => String(value).padStart(2, "0");
  const time = `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  return long ? `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ${time}` : time;
}

function words(name) {
  return name.replaceAll("_", " ");
}

/* An element with text: what comes from outside is never anything but text. */
function make(tag, given, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given || {})) {
    if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}
