/**
 * Pictures and files on their way: picked, dropped or pasted, looked at, given a caption, and sent.
 *
 * Owns: which action fits what was attached. Must not know who sends: `prepareAttachments` is told.
 */

import { byId, bytes, closed, el, icon } from "./dom.js";
import { Refused, act } from "./server.js";

const MOST_IN_ALBUM = 10;
const PHOTOS = new Set(["image/jpeg", "image/png", "image/webp"]);
const dialog = byId("attachment");
const form = dialog.querySelector("form");
const caption = form.querySelector("textarea");
let files = [];
let userId = () => 0;

/** Take files from the picker, from a drop on the chat and from the clipboard; `sender()` is who sends them. */
export function prepareAttachments(sender) {
  userId = sender;
  const picker = byId("files");
  picker.addEventListener("change", () => {
    attach([...picker.files]);
    picker.value = "";
  });
  byId("text").addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files];
    if (!pasted.length) return;
    event.preventDefault();
    attach(pasted);
  });
  prepareDrop(byId("chat"), byId("drop"));
  form.addEventListener("change", (event) => event.target.name === "as" && describe());
  caption.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}

/** Let one look at files, choose how they go, and send them. */
export function attach(added) {
  if (!added.length) return;
  files = dialog.open ? [...files, ...added] : added;
  form.querySelector(".wrong").hidden = true;
  describe();
  if (dialog.open) return;
  closed(dialog).then(() => {
    caption.value = "";
    files = [];
    form.elements.as.value = "photo";
  });
  caption.focus();
}

/** Send one photo without further questions. */
export async function sendPhoto(file) {
  await act("photo", { user_id: userId(), data: await base64(file) });
}

function describe() {
  const canBePhotos = files.every((file) => PHOTOS.has(file.type));
  const [photo, file] = form.elements.as;
  photo.disabled = !canBePhotos;
  if (!canBePhotos) file.checked = true;
  const thing = file.checked ? "file" : "photo";
  dialog.querySelector("h2").textContent =
    files.length === 1 ? `Send a ${thing}` : `Send ${files.length} ${thing}s`;
  form.querySelector(".note").textContent = file.checked
    ? "A file keeps every pixel and byte, and its name."
    : "A photo is made smaller, as Telegram does: 1280 pixels at most, JPEG.";
  form.querySelector(".previews").replaceChildren(...files.map(preview));
}

function preview(file, index) {
  const remove = el(
    "button",
    { type: "button", class: "round small", "aria-label": `Leave ${file.name} out` },
    icon("close"),
  );
  remove.addEventListener("click", () => {
    files = files.filter((_, other) => other !== index);
    if (files.length) describe();
    else dialog.close();
  });
  const facts = el("small", {}, `${file.name} · ${bytes(file.size)}`);
  if (!file.type.startsWith("image/"))
    return el("li", {}, el("span", { class: "sheet-icon" }, icon("file")), facts, remove);
  const address = URL.createObjectURL(file);
  const image = el("img", { src: address, alt: "", onload: () => URL.revokeObjectURL(address) });
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "sheet-icon" }, icon("file"))));
  return el("li", {}, image, facts, remove);
}

async function submit() {
  const button = form.querySelector(".primary");
  const wrong = form.querySelector(".wrong");
  if (button.disabled) return;
  button.disabled = true;
  button.ariaBusy = "true";
  wrong.hidden = true;
  try {
    await send();
    dialog.close();
  } catch (error) {
    wrong.textContent =
      error instanceof Refused ? error.message : "The stand-in does not answer. Nothing is lost: try again.";
    wrong.hidden = false;
  } finally {
    button.disabled = false;
    button.ariaBusy = null;
  }
}

async function send() {
  const isFile = form.elements.as.value === "file";
  let words = caption.value.trim() || undefined;
  while (files.length) {
    const part = files.slice(0, MOST_IN_ALBUM);
    await sendTogether(part, isFile, words);
    files = files.slice(part.length); // what has arrived is not sent twice if the rest fails
    words = undefined;
  }
}

async function sendTogether(part, isFile, words) {
  const items = await Promise.all(
    part.map(async (file) => ({ ...(isFile && described(file)), data: await base64(file) })),
  );
  const common = { user_id: userId(), caption: words };
  if (items.length === 1) await act(isFile ? "document" : "photo", { ...common, ...items[0] });
  else await act("album", { ...common, items: items.map((item) => ({ ...item, as_document: isFile })) });
}

function described(file) {
  return { file_name: file.name, mime_type: file.type || "application/octet-stream" };
}

async function base64(file) {
  const reader = new FileReader();
  await new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(new Refused(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
  return reader.result.slice(reader.result.indexOf(",") + 1);
}

function prepareDrop(area, veil) {
  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    veil.hidden = depth === 0;
  };
  area.addEventListener("dragenter", (event) => hasFiles(event) && (event.preventDefault(), mark(1)));
  area.addEventListener("dragleave", (event) => hasFiles(event) && mark(-1));
  area.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  area.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    attach([...event.dataTransfer.files]);
  });
}
