/** Pictures in full size, one after the other. Knows the dialog, and nothing of messages but their pictures. */

import { byId } from "./dom.js";

const dialog = byId("viewer");
const [back, on] = dialog.querySelectorAll(".turn");
let pictures = [];
let now = 0;

/** Show one of the pictures {url, name, title}. */
export function view(all, index) {
  pictures = all;
  turn(index - now);
  dialog.showModal();
}

/** Make its buttons and the arrow keys turn. */
export function prepareViewer() {
  back.addEventListener("click", () => turn(-1));
  on.addEventListener("click", () => turn(1));
  dialog
    .querySelector("img")
    .addEventListener("click", () => dialog.querySelector("img").classList.toggle("whole"));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") turn(-1);
    if (event.key === "ArrowRight") turn(1);
  });
}

function turn(steps) {
  const next = now + steps;
  if (!pictures[next]) return;
  now = next;
  const { url, name, title } = pictures[now];
  const image = dialog.querySelector("img");
  image.src = url;
  image.alt = title || "Picture";
  image.classList.remove("whole");
  dialog.querySelector("p").textContent = title;
  Object.assign(dialog.querySelector("a"), { href: url, download: name });
  back.disabled = now === 0;
  on.disabled = now === pictures.length - 1;
}
