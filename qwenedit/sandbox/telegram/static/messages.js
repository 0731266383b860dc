/**
 * The list of messages: which there are, in which order, and where one has scrolled to.
 *
 * Owns: days, runs of one author, albums, and changing only what has changed. How one message looks is known
 * to `bubble`.
 */

import { bubbleOf } from "./bubble.js";
import { byId, el } from "./dom.js";

const NEAR = 90; // pixels from the end within which one reads the newest
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "long" });

const list = byId("messages");
const log = list.parentElement;
const scroll = byId("scroll");
const latest = byId("latest");
let shown = new Map(); // key -> {element, signature}
let known = new Set(); // ids of messages that were here before
let unread = 0;
let isFollowing = true;

/** Forget what is shown: another chat comes. */
export function clear() {
  list.replaceChildren();
  shown = new Map();
  known = new Set();
  follow();
}

/** Show the messages of a chat; `actions` are what can be done to them. */
export function show(messages, actions) {
  const blocks = blocksOf(messages);
  const isFirst = shown.size === 0;
  if (isFirst) log.setAttribute("aria-live", "off"); // what was said long ago is not news
  const before = shown;
  shown = new Map(blocks.map((block) => [block.key, drawn(block, before.get(block.key), messages, actions)]));
  let place = list.firstElementChild;
  for (const { element } of shown.values()) {
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
  if (isFirst) requestAnimationFrame(() => log.setAttribute("aria-live", "polite"));
  noticeNew(messages, isFirst);
}

/** Go to the newest message, and stay with it. */
export function follow() {
  isFollowing = true;
  unread = 0;
  scroll.scrollTop = scroll.scrollHeight;
  latest.hidden = true;
}

/** Keep the end in view while one reads there, whatever changes its size. */
export function prepareScrolling() {
  let top = 0;
  scroll.addEventListener("scroll", () => {
    const isNear = scroll.scrollHeight - scroll.clientHeight - scroll.scrollTop < NEAR;
    // Only a move upwards leaves the end: what came after our own move must not look like one.
    isFollowing = isNear || (isFollowing && scroll.scrollTop >= top);
    top = scroll.scrollTop;
    if (isFollowing) unread = 0;
    latest.hidden = isFollowing;
    latest.querySelector("span").textContent = unread || "";
  });
  latest.addEventListener("click", follow);
  const sizes = new ResizeObserver(() => isFollowing && follow());
  for (const element of [scroll, list, byId("typing")]) sizes.observe(element);
}

function noticeNew(messages, isFirst) {
  const fresh = messages.filter((message) => !known.has(message.message_id));
  known = new Set(messages.map((message) => message.message_id));
  if (isFirst || isFollowing || fresh.some((message) => message.from === "user")) return follow();
  unread += fresh.length;
  latest.querySelector("span").textContent = unread || "";
}

function drawn(block, old, messages, actions) {
  if (old?.signature === block.signature) return old;
  const element = block.day ? dayLine(block.day) : bubbleOf(block, messages, actions, old?.element);
  const entry = { element, signature: block.signature };
  if (!old) return entry;
  const focus = old.element.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  old.element.replaceWith(element);
  if (focus) element.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  return entry;
}

/** Return days and bubbles; the messages of an album share one bubble. */
function blocksOf(messages) {
  const blocks = [];
  let day = "";
  for (const message of messages) {
    const date = new Date(message.date * 1000);
    if (date.toDateString() !== day) {
      day = date.toDateString();
      blocks.push({ key: `day ${day}`, day: date });
    }
    const last = blocks.at(-1);
    if (message.album && last.album === message.album) last.messages.push(message);
    else blocks.push({ key: `message ${message.message_id}`, album: message.album, messages: [message] });
  }
  blocks.forEach((block, index) => sign(block, blocks[index - 1], blocks[index + 1], messages));
  return blocks;
}

function sign(block, before, after, messages) {
  const author = (other) =>
    other?.messages && !isService(other.messages[0]) ? other.messages[0].from : null;
  block.isService = Boolean(block.messages && isService(block.messages[0]));
  block.opensRun = author(before) !== author(block);
  block.endsRun = author(after) !== author(block);
  const answered = block.messages?.map((message) =>
    messages.find((other) => other.message_id === message.reply_to),
  );
  block.signature = JSON.stringify([block, answered]);
}

function isService(message) {
  return Boolean(message.successful_payment || message.refunded_payment);
}

function dayLine(date) {
  const days = Math.round(
    (new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000,
  );
  return el("li", { class: "day" }, el("span", {}, ["Today", "Yesterday"][days] ?? DAY.format(date)));
}
