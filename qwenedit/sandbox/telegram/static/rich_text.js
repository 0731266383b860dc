/**
 * Message text with its formatting: the stand-in's HTML, rebuilt from the elements we know.
 *
 * Owns: which elements and addresses are let through. Whatever else is there stays as plain text.
 */

import { el } from "./dom.js";

const PLAIN = new Set([
  "B",
  "STRONG",
  "I",
  "EM",
  "U",
  "S",
  "CODE",
  "PRE",
  "BLOCKQUOTE",
  "SPAN",
  "TG-SPOILER",
]);
const SCHEMES = new Set(["http:", "https:", "mailto:", "tel:"]);
const COMMAND = /(?<![\w/.])\/[a-z][a-z0-9_]{0,31}(?![\w/])/gi;

/** Return the nodes of a text; commands in it become buttons with `data-command`. */
export function richText(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  return [...parsed.body.childNodes].flatMap((node) => rebuilt(node, true));
}

/** Return an address that may be opened, or null. */
export function safeAddress(address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  return url && SCHEMES.has(url.protocol) ? url.href : null;
}

function rebuilt(node, withCommands) {
  if (node.nodeType === Node.TEXT_NODE) return withCommands ? commands(node.data) : [node.data];
  if (node.nodeType !== Node.ELEMENT_NODE) return [];
  const isCode = ["CODE", "PRE", "A"].includes(node.tagName);
  const children = [...node.childNodes].flatMap((child) => rebuilt(child, withCommands && !isCode));
  if (node.tagName === "BR") return ["\n"];
  if (node.tagName === "A") return [link(node.getAttribute("href"), children)];
  if (node.tagName === "TG-SPOILER" || node.classList.contains("tg-spoiler")) return [spoiler(children)];
  return PLAIN.has(node.tagName) ? [el(node.tagName.toLowerCase(), {}, children)] : children;
}

function commands(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(COMMAND)) {
    nodes.push(text.slice(end, match.index));
    nodes.push(el("button", { type: "button", class: "command", "data-command": match[0] }, match[0]));
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)];
}

function link(address, children) {
  const href = safeAddress(address);
  return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, children);
}

function spoiler(children) {
  const inside = el("span", { inert: true }, children);
  const cover = el(
    "span",
    { class: "spoiler", role: "button", tabindex: "0", "aria-label": "Hidden text, press to show" },
    inside,
  );
  const show = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    cover.replaceWith(...inside.childNodes);
  };
  cover.addEventListener("click", show);
  cover.addEventListener("keydown", show);
  return cover;
}
