/**
 * Who one can be: the people of the stand-in, and whom this browser has chosen.
 *
 * Owns: the list, the form of a person, the choice kept in localStorage. Must not know chats.
 */

import { avatar, byId, closed, el, icon } from "./dom.js";
import * as server from "./server.js";

const KEY = "telegram-sandbox-person";
const dialog = byId("person");
const form = dialog.querySelector("form");
const seen = new Map(); // id -> the last event of the chat that one has seen
let everyone = [];
let current = null;
let drawn = "";
let onSwitch = () => {};

/** Return the person one is now. */
export const me = () => current;

/** Return a person's name. */
export const nameOf = (person) => [person.first_name, person.last_name].filter(Boolean).join(" ");

/** Call `switched(person)` whenever one becomes somebody. */
export function preparePeople(switched) {
  onSwitch = switched;
  document.querySelector("[data-new-person]").addEventListener("click", create);
  byId("switch").addEventListener("click", () =>
    choose({ title: "Who are you?" }).then((person) => person && become(person)),
  );
}

/** Be the person of last time among `users`, or "You". */
export async function enter(users) {
  everyone = users;
  for (const person of users) seen.set(person.id, person.event);
  const last = remembered();
  const found =
    users.find((person) => person.id === last?.id) ??
    (last ? null : users.find((person) => person.first_name === "You"));
  become(found ?? (await save(last ?? { first_name: "You", language_code: languageOfBrowser() })));
}

/** Learn who there is by now. */
export async function refresh() {
  everyone = (await server.people()).users;
  current = everyone.find((person) => person.id === current.id) ?? current;
  render();
}

/** Remember that one has seen one's chat up to this event. */
export function saw(event) {
  seen.set(current.id, event);
}

/** Be this person from now on. */
export function become(person) {
  remember(person);
  onSwitch(person);
}

/** Let one choose a person, or make one; resolve to the person or null. */
export async function choose({ title, note = "" }) {
  const sheet = byId("choose");
  sheet.querySelector("h2").textContent = title;
  sheet.querySelector(".note").textContent = note;
  let chosen = null;
  let isNew = false;
  const rows = everyone.map((person) => entry(person, () => ((chosen = person), sheet.close())));
  const add = el(
    "button",
    { type: "button", class: "person", onclick: () => ((isNew = true), sheet.close()) },
    el("span", { class: "avatar new", "aria-hidden": "true" }, icon("plus")),
    el("span", { class: "who" }, el("strong", {}, "New person")),
  );
  sheet.querySelector("ul").replaceChildren(...[...rows, add].map((row) => el("li", {}, row)));
  await closed(sheet);
  return isNew ? fill("New person", { first_name: "", language_code: languageOfBrowser() }) : chosen;
}

async function create() {
  const person = await fill("New person", { first_name: "", language_code: languageOfBrowser() });
  if (person) become(person);
}

async function change(person) {
  const changed = await fill("Change this person", person);
  if (changed) remember(changed.id === current.id ? changed : current);
}

/** Let one fill in the form of a person; resolve to the saved person or null. */
function fill(title, person) {
  dialog.querySelector("h2").textContent = title;
  const wrong = dialog.querySelector(".wrong");
  wrong.hidden = true;
  form.elements.first_name.value = person.first_name;
  form.elements.username.value = person.username ?? "";
  form.elements.language_code.value = person.language_code === "ru" ? "ru" : "en";
  let saved = null;
  form.onsubmit = async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(form));
    try {
      saved = await save({ id: person.id, ...fields, first_name: fields.first_name.trim() });
      dialog.close();
    } catch (error) {
      wrong.textContent = error instanceof server.Refused ? error.message : "The stand-in does not answer.";
      wrong.hidden = false;
    }
  };
  return closed(dialog).then(() => saved);
}

async function save({ id, first_name, last_name, username, language_code }) {
  const person = await server.act("user", { user_id: id, first_name, last_name, username, language_code });
  const isKnown = everyone.some((other) => other.id === person.id);
  if (isKnown) everyone = everyone.map((other) => (other.id === person.id ? { ...other, ...person } : other));
  else everyone = [...everyone, person];
  return person;
}

function render() {
  const next = JSON.stringify([
    current.id,
    everyone.map((person) => [person.id, facts(person), hasNews(person)]),
  ]);
  if (next === drawn) return;
  drawn = next;
  byId("people").replaceChildren(...everyone.map(row));
  byId("switch").replaceChildren(
    avatar(nameOf(current), current.id),
    el("span", { class: "hidden" }, `You are ${nameOf(current)}. Switch`),
  );
}

function row(person) {
  const label = `Change ${nameOf(person)}`;
  const edit = el(
    "button",
    { type: "button", class: "round small", "aria-label": label, title: label },
    icon("edit"),
  );
  edit.addEventListener("click", () => change(person));
  return el(
    "li",
    { class: person.id === current.id ? "now" : null },
    entry(person, () => become(person)),
    edit,
  );
}

function facts(person) {
  const language = person.language_code === "ru" ? "Русский" : "English";
  return [nameOf(person), person.username ? `@${person.username} · ${language}` : language];
}

function hasNews(person) {
  return person.id !== current.id && person.event > (seen.get(person.id) ?? 0);
}

function entry(person, run) {
  const [name, about] = facts(person);
  const properties = {
    type: "button",
    class: "person",
    "aria-current": person.id === current.id && "true",
    onclick: run,
  };
  const news =
    hasNews(person) && el("span", { class: "news" }, el("span", { class: "hidden" }, "new messages"));
  return el(
    "button",
    properties,
    avatar(name, person.id),
    el("span", { class: "who" }, el("strong", {}, name), el("small", {}, about)),
    news,
  );
}

function remember(person) {
  current = person;
  localStorage.setItem(KEY, JSON.stringify(person));
  render();
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function languageOfBrowser() {
  return navigator.language.startsWith("ru") ? "ru" : "en";
}
