/**
 * The chat page of the stand-in for Telegram: one is a person, and talks to the bot.
 *
 * Owns: the live chat, and what can be done in it. The rest is in its neighbours: server (HTTP), trouble
 * (what went wrong), people, messages and bubble (what was said), composer, attachments, viewer, rich_text, dom.
 */

import { prepareAttachments, sendPhoto } from "./attachments.js";
import { pictureOf } from "./bubble.js";
import * as composer from "./composer.js";
import { ask, byId, openMenu, prepareDialogs, prepareMenu, toast } from "./dom.js";
import * as messages from "./messages.js";
import * as people from "./people.js";
import * as server from "./server.js";
import { attempt, insist, pause, prepareBanners, say, tellIdle } from "./trouble.js";
import { prepareViewer, view } from "./viewer.js";

const SETTLE = 500; // milliseconds before one enters a stand-in anew
const TYPING = {
  upload_photo: "is sending a photo…",
  upload_document: "is sending a file…",
  typing: "is typing…",
  record_voice: "is recording…",
  choose_sticker: "is choosing a sticker…",
};
const DOING = 5500; // milliseconds that a chat action is shown
const WATCH = 4000; // milliseconds between two looks at the other chats

let bot = { first_name: "Bot", username: "" };
let chat = null;
let polling = new AbortController();
let followed = null;
let lastToast = null;
let sample = null;
let doingTimer = 0;

/** Do something as the present person; resolve to the answer, or to null after telling what went wrong. */
async function act(action, fields = {}) {
  return attempt(() => server.act(action, { user_id: people.me().id, ...fields }));
}

/** Show a person's chat, and keep showing it as it goes on. */
async function follow(person) {
  polling.abort();
  polling = new AbortController();
  const { signal } = polling;
  chat = null;
  lastToast = null;
  messages.clear();
  if (person.id !== followed) composer.reset(); // what one was writing survives a stand-in that was emptied
  followed = person.id;
  say("");
  try {
    while (!signal.aborted) {
      // After a failure the whole chat is asked for: the stand-in may be a new one, with a count of its own.
      const next = await insist(
        (attempts) => server.chat(person.id, attempts ? null : (chat?.events ?? null), signal),
        signal,
      );
      if (!signal.aborted) render(next);
    }
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof server.Refused)) throw error;
    await pause(SETTLE);
    await enter(); // the stand-in was emptied: be the same person there anew
  }
}

function render(next) {
  chat = next;
  people.saw(chat.events);
  messages.show(chat.messages, { ...actions, botName: bot.first_name, meName: people.nameOf(people.me()) });
  composer.offer(chat);
  showDoing(chat.typing);
  byId("welcome").hidden = chat.messages.length > 0;
  byId("composer").hidden = chat.blocked;
  byId("unblock").hidden = !chat.blocked;
  showToasts(chat.toasts);
}

/** Show what the bot is doing; nobody tells when it stops, so that it ends by itself as in Telegram. */
function showDoing(action) {
  clearTimeout(doingTimer);
  const doing = action ? (TYPING[action] ?? "is busy…") : null;
  byId("status").textContent = chat.blocked ? "You have blocked this bot" : (doing ?? "bot");
  byId("status").classList.toggle("active", Boolean(doing));
  byId("typing").hidden = !doing;
  if (doing) doingTimer = setTimeout(() => showDoing(null), DOING);
}

function showToasts(toasts) {
  const newest = Math.max(0, ...toasts.map((item) => item.event));
  const fresh = lastToast === null ? [] : toasts.filter((item) => item.event > lastToast);
  lastToast = newest;
  for (const { text, show_alert: isAlert } of fresh.filter((item) => item.text)) {
    if (isAlert) ask({ title: bot.first_name, text, cancel: null });
    else toast(text);
  }
}

const actions = {
  menu(block, place) {
    const [message] = block;
    const words = block.map((item) => item.text ?? item.caption).find(Boolean);
    const canEdit = message.from === "user" && (message.text ?? message.caption) !== undefined;
    openMenu(place instanceof Element ? place : { x: place.clientX, y: place.clientY }, [
      { label: "Reply", icon: "reply", run: () => composer.write({ kind: "reply", message }) },
      words && { label: "Copy text", icon: "copy", run: () => copy(words) },
      canEdit && { label: "Edit", icon: "edit", run: () => composer.write({ kind: "edit", message }) },
      { label: "Delete for both", icon: "trash", danger: true, run: () => remove(block) },
    ]);
  },

  view(message) {
    const pictures = chat.messages.map(pictureOf).filter(Boolean);
    const index = pictures.findIndex((picture) => picture.message.message_id === message.message_id);
    view(pictures, index);
  },

  async tap(message, button) {
    if (button.copy_text !== undefined) return copy(button.copy_text);
    const which = button.data === undefined ? { label: button.label } : { data: button.data };
    const done = await act("tap", { message_id: message.message_id, ...which });
    if (done && !done.answer) toast("The bot did not answer this button.");
  },

  async pay(message) {
    const { title, stars } = message.invoice;
    const text = `${title} for ⭐${stars}. This is play money: nobody is charged.`;
    if (!(await ask({ title: "Confirm the purchase", text, yes: `Pay ⭐${stars}` }))) return;
    const done = await act("pay", { message_id: message.message_id });
    if (!done || done.ok) return;
    ask({ title: "The payment did not go through", text: done.error, cancel: null });
  },
};

async function remove(block) {
  for (const message of block) {
    if (!(await act("delete_message", { message_id: message.message_id, for: "both" }))) return;
  }
}

async function copy(words) {
  await navigator.clipboard.writeText(words).then(
    () => toast("Copied"),
    () => ask({ title: "Copy this", text: words, cancel: null }),
  );
}

async function sendText(text, subject) {
  messages.follow();
  const about = subject?.message.message_id;
  const done =
    subject?.kind === "edit"
      ? await act("edit", { message_id: about, text })
      : await act("message", { text, reply_to: about });
  return done !== null;
}

/** A link that starts this bot (an invitation) stays here: Telegram's own bot of that name is not ours. */
async function openStartLink(address) {
  const payload = address.searchParams.get("start") ?? "";
  const person = await people.choose({
    title: "Who follows this link?",
    note: `It starts the bot with “${payload}”.`,
  });
  if (!person) return;
  if (person.id !== people.me().id) people.become(person);
  await sendText(`/start ${payload}`.trim(), null);
}

function startLink(anchor) {
  const address = URL.canParse(anchor.href) ? new URL(anchor.href) : null;
  const isOurs =
    /^(t|telegram)\.me$/.test(address?.hostname ?? "") &&
    address.pathname.toLowerCase() === `/${bot.username}`.toLowerCase();
  return isOurs ? address : null;
}

function openActions() {
  const send = (action, label, icon) => ({ label, icon, run: () => act(action) });
  const { id } = people.me();
  openMenu(byId("actions"), [
    send("sticker", "Send a sticker", "sticker"),
    send("voice", "Send a voice message", "voice"),
    send("location", "Send a location", "place"),
    {
      label: "Deliver the last update again",
      icon: "again",
      run: () => act("redeliver", { user_id: undefined }),
    },
    { label: "Chat as text", icon: "text", href: `/sandbox/chats/${id}?format=text` },
    { label: "The bot's calls", icon: "link", href: `/sandbox/calls?chat_id=${id}` },
    chat?.blocked
      ? { label: "Unblock the bot", icon: "check", run: () => act("unblock") }
      : { label: "Block the bot", icon: "block", danger: true, run: () => act("block") },
  ]);
}

function openAttach() {
  openMenu(byId("attach"), [
    { label: "Photos or files…", icon: "clip", run: () => byId("files").click() },
    sample && { label: "Send the sample photo", icon: "photo", run: sendSample },
  ]);
}

/** Look now and then for news in the other chats, and whether the bot fetches what people send. */
async function watch() {
  for (let before = 0; ;) {
    await pause(WATCH);
    if (document.hidden) continue;
    try {
      await people.refresh();
      const waiting = await server.pendingUpdates();
      tellIdle(before > 0 && waiting >= before);
      before = waiting;
    } catch (error) {
      if (!(error instanceof server.Unreachable)) throw error; // the poll tells of a lost connection
      tellIdle(false);
    }
  }
}

async function enter() {
  const found = await insist(server.people);
  bot = found.bot;
  document.title = `${bot.first_name} · stand-in for Telegram`;
  byId("bot-name").textContent = bot.first_name;
  byId("welcome").querySelector("h2").textContent = bot.first_name;
  for (const picture of document.querySelectorAll(".avatar.bot"))
    picture.textContent = [...bot.first_name][0];
  await insist(() => people.enter(found.users));
}

function prepare() {
  prepareBanners();
  prepareDialogs();
  prepareMenu();
  prepareViewer();
  messages.prepareScrolling();
  people.preparePeople(follow);
  prepareAttachments(() => people.me().id);
  composer.prepareComposer({ send: sendText, press: (label) => act("press", { label }) });
  byId("start").addEventListener("click", () => sendText("/start", null));
  byId("unblock").addEventListener("click", () => act("unblock"));
  byId("actions").addEventListener("click", openActions);
  byId("attach").addEventListener("click", openAttach);
  byId("messages").addEventListener("click", (event) => {
    const command = event.target.closest("[data-command]")?.dataset.command;
    if (command) sendText(command, null);
    const anchor = event.target.closest("a");
    const address = anchor && startLink(anchor);
    if (!address) return;
    event.preventDefault();
    openStartLink(address);
  });
}

function sendSample() {
  messages.follow();
  return attempt(() => sendPhoto(sample));
}

async function offerSample() {
  sample = await server.samplePhoto();
  const button = document.querySelector("[data-sample]");
  button.hidden = !sample;
  button.addEventListener("click", sendSample);
}

prepare();
await enter();
offerSample();
watch();
