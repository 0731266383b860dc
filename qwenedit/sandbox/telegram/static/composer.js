/**
 * Where one writes: the text field, the bot's commands and its reply keyboard, replying and editing.
 *
 * Owns: what is being written, and about which message. `prepareComposer` is told how to send.
 */

import { byId, el } from "./dom.js";
import { summary } from "./bubble.js";

const form = byId("composer");
const text = byId("text");
const about = byId("about");
const commandList = byId("commands");
const commandMenu = byId("command-menu");
const keyboard = byId("keyboard");
const keys = byId("keys");
let commands = [];
let layout = "null";
let subject = null; // {kind: "reply" or "edit", message}
let send = async () => false;

/**
 * Make the field work. `handlers.send(text, subject)` and `handlers.press(label)` resolve to whether it went.
 */
export function prepareComposer(handlers) {
  send = handlers.send;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  text.addEventListener("input", changed);
  text.addEventListener("keydown", typed);
  commandMenu.addEventListener("click", () => showCommands(commandList.hidden ? commands : []));
  commandList.addEventListener("keydown", walkCommands);
  document.addEventListener("pointerdown", (event) => event.target.closest?.(".foot") || showCommands([]));
  about.querySelector("button").addEventListener("click", () => write(null));
  keys.addEventListener("click", () => showKeyboard(keyboard.hidden));
  keyboard.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) handlers.press(button.textContent);
  });
}

/** Write about a message: {kind: "reply" or "edit", message}; null ends it. */
export function write(next) {
  if (subject?.kind === "edit") set("");
  subject = next;
  about.hidden = !next;
  if (next) {
    about.querySelector("strong").textContent = next.kind === "edit" ? "Edit" : "Reply";
    about.querySelector("span").textContent = summary(next.message);
    about.querySelector("use").setAttribute("href", `#i-${next.kind}`);
    if (next.kind === "edit") set(next.message.text ?? next.message.caption);
  }
  text.focus();
}

/** Start anew, for another chat. */
export function reset() {
  subject = null;
  about.hidden = true;
  set("");
}

/** Show the commands and the reply keyboard of a chat. */
export function offer(chat) {
  commands = chat.commands;
  commandMenu.hidden = !commands.length;
  const rows = chat.blocked ? null : chat.reply_keyboard;
  if (JSON.stringify(rows) === layout) return;
  layout = JSON.stringify(rows);
  const button = (label) => el("button", { type: "button" }, label);
  keyboard.replaceChildren(...(rows ?? []).map((row) => el("div", {}, row.map(button))));
  keys.hidden = !rows;
  showKeyboard(Boolean(rows));
}

async function submit() {
  const words = text.value.trim();
  const [was, value] = [subject, text.value];
  if (!words) return;
  if (was) write(null);
  set("");
  if (await send(words, was)) return;
  if (!text.value) set(value); // nothing that was typed is lost
  if (was) {
    subject = was;
    about.hidden = false;
  }
}

function set(value) {
  text.value = value;
  changed();
}

function changed() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
  form.classList.toggle("ready", Boolean(text.value.trim()));
  const isCommand = /^\/\w*$/.test(text.value);
  showCommands(isCommand ? commands.filter((item) => `/${item.command}`.startsWith(text.value)) : []);
}

function typed(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
  if (event.key === "Escape" && !commandList.hidden) showCommands([]);
  else if (event.key === "Escape" && subject) write(null);
  if (event.key === "ArrowUp" && !commandList.hidden) {
    event.preventDefault();
    commandList.lastElementChild.focus();
  }
}

function showCommands(some) {
  commandList.hidden = !some.length;
  commandMenu.ariaExpanded = String(!commandList.hidden);
  commandList.replaceChildren(
    ...some.map(({ command, description }) => {
      const run = () => {
        set("");
        showCommands([]);
        text.focus();
        send(`/${command}`, null);
      };
      return el(
        "button",
        { type: "button", onclick: run },
        el("b", {}, `/${command}`),
        el("span", {}, description),
      );
    }),
  );
}

function walkCommands(event) {
  const rows = [...commandList.children];
  const now = rows.indexOf(document.activeElement);
  if (event.key === "Escape") showCommands([]);
  else if (event.key === "ArrowUp") rows[Math.max(0, now - 1)].focus();
  else if (event.key === "ArrowDown") (rows[now + 1] ?? text).focus();
  else return;
  event.preventDefault();
  if (event.key === "Escape") text.focus();
}

function showKeyboard(isShown) {
  keyboard.hidden = !isShown;
  keys.ariaExpanded = String(isShown);
}
