/**
 * The stand-in over HTTP, as a person's app sees it.
 *
 * Owns: requests, and what it means when they fail. Must not know the page.
 */

const WAIT = 25; // seconds a poll may wait for news
const PATIENCE = 60_000; // milliseconds until a request counts as unanswered

/** The stand-in said no, and why. */
export class Refused extends Error {}

/** The stand-in did not answer, or not in its own words. */
export class Unreachable extends Error {}

/** Do what a person can do in Telegram; return the answer. Throws Refused or Unreachable. */
export function act(action, fields = {}) {
  return request("/sandbox/act", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ action, ...fields }),
  });
}

/** Return the bot and the people. */
export function people() {
  return request("/sandbox/chats");
}

/** Return a person's chat: at once, or as soon as it is newer than the event `after`. */
export function chat(userId, after, signal) {
  const news = after === null ? "" : `?after=${after}&wait=${WAIT}`;
  return request(`/sandbox/chats/${userId}${news}`, {}, signal);
}

/** Return how many updates the bot has not fetched yet. */
export async function pendingUpdates() {
  const state = await request("/sandbox/state");
  return state.webhook.pending_update_count;
}

/** Return the sample photo as a file, or null if there is none. */
export async function samplePhoto() {
  const response = await fetch("/static/sample.jpg").catch(() => null);
  if (!response?.ok) return null;
  return new File([await response.blob()], "sample.jpg", { type: "image/jpeg" });
}

async function request(path, options, signal) {
  const limits = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
  let response;
  let answer;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.any(limits) });
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable(`no answer from ${path}`);
  }
  if (response.ok) return answer;
  if (response.status < 500 && answer.error) throw new Refused(answer.error);
  throw new Unreachable(`${response.status} from ${path}`);
}
