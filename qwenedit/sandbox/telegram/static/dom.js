/**
 * Small means to build a page: elements, icons, dialogs, the one pop-up menu, toasts.
 *
 * Must not know what they are used for. Text is always set as text, never as HTML.
 */

const MENU_REOPEN = 300; // milliseconds: the press that closed the menu is not one that opens it
const lastMenu = { place: null, closedAt: 0, focusedBefore: null };
const pointer = { isDown: false, afterwards: null };

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Return a new element. Properties become attributes, `onclick` and the like listeners; null and false nothing. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Return an icon of the sprite in the page. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Return a round picture of a name: its first letter on a colour of its own. */
export function avatar(name, number) {
  const element = el(
    "span",
    { class: "avatar", "aria-hidden": "true" },
    [...name.trim()][0]?.toUpperCase() ?? "?",
  );
  element.style.setProperty("--hue", (number * 137) % 360);
  return element;
}

/** Show a note for some seconds. */
export function toast(text) {
  const note = el("p", { class: "toast" }, text);
  byId("toasts").append(note);
  setTimeout(() => note.remove(), Math.min(9000, 3000 + 40 * text.length));
}

/** Ask a question, or say something if `cancel` is null; resolve to whether the answer was yes. */
export function ask({ title, text, yes = "OK", cancel = "Cancel" }) {
  const dialog = byId("question");
  const [no, agree] = dialog.querySelectorAll("button");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("p").textContent = text;
  agree.textContent = yes;
  no.textContent = cancel ?? "";
  no.hidden = cancel === null;
  return closed(dialog).then((value) => value === "yes");
}

/** Open a modal dialog; resolve to its return value, "" if it was dismissed. */
export function closed(dialog) {
  if (dialog.open) dialog.close();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }),
  );
}

/** Close dialogs by their cancel buttons and by a press beside them. */
export function prepareDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
    for (const button of dialog.querySelectorAll('button[type="button"][value="cancel"]')) {
      button.addEventListener("click", () => dialog.close());
    }
  }
}

/**
 * Open the menu at an element or a point {x, y}.
 * An item is {label, icon, run}, or {label, icon, href}; `danger` colours it; null is left out.
 */
export function openMenu(place, items) {
  if (pointer.isDown) {
    // Some systems ask for a menu when the button goes down; the browser closes it when the button goes up.
    pointer.afterwards = () => openMenu(place, items);
    return;
  }
  const menu = byId("menu");
  if (lastMenu.place === place && performance.now() - lastMenu.closedAt < MENU_REOPEN) return;
  const rows = items.filter(Boolean).map((item) => menuItem(menu, item));
  menu.replaceChildren(...rows);
  lastMenu.place = place;
  lastMenu.focusedBefore = document.activeElement;
  menu.showPopover();
  const spot = place instanceof Element ? place.getBoundingClientRect() : new DOMRect(place.x, place.y, 0, 0);
  const { offsetWidth: width, offsetHeight: height } = menu;
  const left = place instanceof Element ? spot.right - width : spot.left;
  const below = spot.bottom + 4;
  const top = below + height > innerHeight - 8 ? spot.top - height - 4 : below;
  menu.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, top)}px`;
  rows[0]?.focus();
}

/** Make the menu work with the keyboard. */
export function prepareMenu() {
  const menu = byId("menu");
  addEventListener("pointerdown", () => Object.assign(pointer, { isDown: true, afterwards: null }), true);
  for (const end of ["pointerup", "pointercancel"]) {
    addEventListener(
      end,
      () => {
        if (pointer.afterwards) setTimeout(pointer.afterwards);
        Object.assign(pointer, { isDown: false, afterwards: null });
      },
      true,
    );
  }
  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    lastMenu.closedAt = performance.now();
    if (document.activeElement === document.body) lastMenu.focusedBefore?.focus();
  });
  menu.addEventListener("keydown", (event) => {
    const rows = [...menu.children];
    const now = rows.indexOf(document.activeElement);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1 + rows.length, Home: 0, End: rows.length - 1 }[
      event.key
    ];
    if (event.key === "Tab") menu.hidePopover();
    if (next === undefined) return;
    event.preventDefault();
    rows[next % rows.length].focus();
  });
}

function menuItem(menu, item) {
  const properties = { role: "menuitem", tabindex: "-1", class: item.danger ? "danger" : null };
  const choose = () => {
    lastMenu.place = null;
    menu.hidePopover();
    item.run?.();
  };
  if (item.href) {
    const link = { ...properties, href: item.href, target: "_blank", rel: "noopener", onclick: choose };
    return el("a", link, icon(item.icon), item.label);
  }
  return el("button", { ...properties, type: "button", onclick: choose }, icon(item.icon), item.label);
}

/** Return a number of bytes as people say it. */
export function bytes(number) {
  if (number < 1000) return `${number} B`;
  const power = number < 1e6 ? 1 : number < 1e9 ? 2 : 3;
  const value = number / 1000 ** power;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${["kB", "MB", "GB"][power - 1]}`;
}
