/**
 * What can go wrong, and telling of it in the banners above the messages.
 *
 * Owns: the banners, and trying again until the stand-in answers. Must not know what is being done.
 */

import { byId } from "./dom.js";
import { Refused, Unreachable } from "./server.js";

const RETRY = [500, 1000, 2000, 4000]; // milliseconds between attempts to reach the stand-in
const LOST = "The stand-in does not answer, trying again";
const IDLE = "The bot does not fetch its messages. Does it run?";

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Say what went wrong; "" takes it back. */
export const say = (words) => banner("error", words);

/** Say that the bot seems not to run, or take it back. */
export const tellIdle = (isIdle) => banner("idle", isIdle ? IDLE : "");

/** Do something; resolve to its answer, or to null after telling what went wrong. */
export async function attempt(work) {
  try {
    return (await work()) ?? {};
  } catch (error) {
    if (error instanceof Refused) say(error.message);
    else if (error instanceof Unreachable) say("The stand-in did not answer.");
    else throw error;
    return null;
  }
}

/** Repeat `work(attempts so far)` until the stand-in answers; throws what is not about reaching it. */
export async function insist(work, signal) {
  for (let attempts = 0; ; attempts += 1) {
    try {
      const answer = await work(attempts);
      banner("lost", "");
      return answer;
    } catch (error) {
      if (signal?.aborted || !(error instanceof Unreachable)) throw error;
      banner("lost", LOST);
      await pause(RETRY[Math.min(attempts, RETRY.length - 1)]);
    }
  }
}

/** Let the error be closed, and say so if the page itself fails. */
export function prepareBanners() {
  const close = byId("error").querySelector("button");
  close.addEventListener("click", () => say(""));
  addEventListener("unhandledrejection", () => say("This page made a mistake. Load it again."));
}

function banner(id, words) {
  byId(id).querySelector("[data-words]").textContent = words;
  byId(id).hidden = !words;
}
