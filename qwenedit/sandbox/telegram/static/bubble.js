/**
 * How one message looks, or the messages of one album.
 *
 * Owns: bubbles, service lines, inline buttons. What a press does is told by `actions`:
 * {botName, meName, menu, view, tap, pay}.
 */

import { bytes, el, icon } from "./dom.js";
import { richText, safeAddress } from "./rich_text.js";

const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const LARGEST = { width: 340, height: 420 }; // pixels of a single photo
const STYLES = new Set(["primary", "success", "danger"]);
const KINDS = {
  sticker: ["🙂", "Sticker"],
  voice: ["🎤", "Voice message"],
  video: ["🎬", "Video"],
  animation: ["🎞️", "GIF"],
  video_note: ["📹", "Video message"],
  audio: ["🎵", "Audio"],
  contact: ["👤", "Contact"],
  location: ["📍", "Location"],
  venue: ["📍", "Place"],
  poll: ["📊", "Poll"],
  dice: ["🎲", "Dice"],
};

/** Return the element of a block of messages; `old` is the one it replaces, whose pictures are kept. */
export function bubbleOf(block, messages, actions, old) {
  const [first] = block.messages;
  if (block.isService) return serviceLine(first);
  const isMine = first.from === "user";
  const classes = ["message", isMine ? "mine" : "theirs", block.opensRun && "opens", block.endsRun && "ends"];
  const parts = [
    el("span", { class: "hidden" }, `${isMine ? actions.meName : actions.botName}: `),
    quote(messages.find((message) => message.message_id === first.reply_to)),
    pictures(block.messages, actions, old),
    block.messages.filter((message) => message.document).map((message) => fileCard(message, actions)),
    kindCard(first),
    invoice(first),
    text(block.messages.find((message) => message.html || message.text || message.caption)),
    stamp(block.messages.at(-1)),
  ];
  const bubble = el("div", { class: "bubble" }, parts);
  if (first.photo && !bubble.querySelector(".text")) bubble.classList.add("bare");
  const more = {
    type: "button",
    class: "round small more",
    "aria-label": "Actions for this message",
    "data-focus": "more",
  };
  more.onclick = (event) => actions.menu(block.messages, event.currentTarget);
  const element = el(
    "li",
    { class: classes.filter(Boolean).join(" "), "data-id": first.message_id },
    el("div", { class: "stack" }, bubble, reactions(block.messages), buttons(first, actions)),
    el("button", more, icon("more")),
  );
  bubble.addEventListener("contextmenu", (event) => {
    if (event.target.closest("a") || String(getSelection())) return;
    event.preventDefault();
    actions.menu(block.messages, event);
  });
  return element;
}

/** Return a line about a message, for quotes and announcements. */
export function summary(message) {
  const words = message.text ?? message.caption;
  if (words) return words;
  if (message.photo) return "Photo";
  if (message.document) return message.document.file_name ?? "File";
  if (message.invoice) return message.invoice.title;
  return KINDS[message.kind]?.[1] ?? "Message";
}

/** Return the picture of a message, also one that was sent as a file: {message, url, name, title}; or null. */
export function pictureOf(message) {
  const { photo, document: file } = message;
  const title = summary(message);
  if (photo) return { message, url: photo.url, name: `photo-${message.message_id}.jpg`, title };
  const isPicture = file && /^image\/(jpeg|png|webp|gif)$/.test(file.mime_type ?? "");
  return isPicture ? { message, url: file.url, name: file.file_name ?? "picture", title } : null;
}

function serviceLine(message) {
  const { successful_payment: paid, refunded_payment: refunded } = message;
  const words = paid
    ? ["You paid ", stars(paid.total_amount), " in play money"]
    : ["You got ", stars(refunded.total_amount), " back"];
  return el("li", { class: "service", "data-id": message.message_id }, el("span", {}, words));
}

function stars(amount) {
  return el("b", {}, `⭐${amount}`);
}

function quote(message) {
  return message && el("p", { class: "quote" }, summary(message));
}

function pictures(messages, actions, old) {
  const photos = messages.filter((message) => message.photo);
  if (!photos.length) return null;
  const grid = el("div", { class: `photos of-${Math.min(photos.length, 4)}` });
  for (const message of photos) {
    const { url, width, height } = message.photo;
    // A picture that stays is moved, not loaded again: the bubble would flicker at every edit of its caption.
    const kept = old && [...old.querySelectorAll("img")].find((image) => image.getAttribute("src") === url);
    const image = kept ?? el("img", { src: url, alt: "", decoding: "async", draggable: "false" });
    const label = message.caption ? `Photo: ${message.caption}` : "Photo";
    const open = { type: "button", class: "photo", "aria-label": `${label}. Open` };
    const button = el("button", { ...open, "data-focus": `photo ${message.message_id}` }, image);
    button.addEventListener("click", () => actions.view(message));
    if (photos.length === 1) {
      const scale = Math.min(1, LARGEST.width / width, LARGEST.height / height);
      button.style.width = `${Math.max(120, Math.round(width * scale))}px`;
      button.style.aspectRatio = `${width} / ${height}`;
    }
    grid.append(button);
  }
  return grid;
}

function fileCard(message, actions) {
  const { file_name: name = "File", file_size: size, url } = message.document;
  const preview = pictureOf(message)
    ? filePreview(message, actions)
    : el("span", { class: "sheet-icon" }, icon("file"));
  const download = {
    class: "round",
    href: url,
    download: name,
    "aria-label": `Download ${name}`,
    title: "Download",
  };
  const facts = el(
    "p",
    {},
    el("strong", { title: name }, name),
    el("small", {}, size === undefined ? "" : bytes(size)),
  );
  return el("div", { class: "file" }, preview, facts, el("a", download, icon("download")));
}

function filePreview(message, actions) {
  const image = el("img", { src: message.document.url, alt: "", loading: "lazy", draggable: "false" });
  const open = {
    type: "button",
    class: "thumbnail",
    "aria-label": `Open ${message.document.file_name ?? "the picture"}`,
  };
  const button = el("button", { ...open, onclick: () => actions.view(message) }, image);
  image.addEventListener("error", () =>
    button.replaceWith(el("span", { class: "sheet-icon" }, icon("file"))),
  );
  return button;
}

function kindCard(message) {
  const [sign, name] = KINDS[message.kind] ?? [];
  return name ? el("p", { class: "kind" }, el("span", { "aria-hidden": "true" }, sign), name) : null;
}

function invoice(message) {
  if (!message.invoice) return null;
  const { title, description, stars: amount } = message.invoice;
  const price = el("p", { class: "price" }, stars(amount), el("small", {}, "play money"));
  return el("section", { class: "invoice" }, el("h2", {}, title), el("p", {}, description), price);
}

function text(message) {
  if (!message) return null;
  const nodes = message.html ? richText(message.html) : [message.text ?? message.caption];
  return el("div", { class: "text" }, nodes);
}

function stamp(message) {
  const date = new Date(message.date * 1000);
  const time = el("time", { datetime: date.toISOString(), title: date.toLocaleString() }, TIME.format(date));
  return el("footer", { class: "stamp" }, message.edited && el("span", {}, "edited"), time);
}

function reactions(messages) {
  const signs = messages.flatMap((message) => message.reactions);
  if (!signs.length) return null;
  return el(
    "p",
    { class: "reactions", "aria-label": `Reactions: ${signs.join(" ")}` },
    signs.map((sign) => el("span", {}, sign)),
  );
}

function buttons(message, actions) {
  const rows = message.buttons.map((row, y) =>
    row.map((button, x) => inlineButton(message, button, `${y} ${x}`, actions)),
  );
  if (!rows.length) return null;
  return el(
    "div",
    { class: "inline", role: "group", "aria-label": "Buttons" },
    rows.map((row) => el("div", {}, row)),
  );
}

function inlineButton(message, button, focus, actions) {
  if (button.pay) return payButton(message, button, focus, actions);
  const style = STYLES.has(button.style) ? button.style : null;
  const address = button.url ?? button.web_app;
  if (address) {
    const href = safeAddress(address);
    const link = { class: style, href, target: "_blank", rel: "noopener noreferrer", "data-focus": focus };
    return el("a", link, el("span", {}, button.label), icon("link"));
  }
  const sign = button.copy_text === undefined ? null : icon("copy");
  const element = el(
    "button",
    { type: "button", class: style, "data-focus": focus },
    el("span", {}, button.label),
    sign,
  );
  element.addEventListener("click", () => busy(element, () => actions.tap(message, button)));
  return element;
}

function payButton(message, button, focus, actions) {
  const { paid } = message.invoice;
  const label = paid ? "Paid" : button.label;
  const properties = { type: "button", class: "pay", disabled: paid, "data-focus": focus };
  const element = el("button", properties, paid && icon("check"), el("span", {}, label));
  element.addEventListener("click", () => busy(element, () => actions.pay(message)));
  return element;
}

async function busy(button, work) {
  if (button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  try {
    await work();
  } finally {
    button.ariaBusy = null;
  }
}
