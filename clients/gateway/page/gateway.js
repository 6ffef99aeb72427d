// Calls the gateway. Addresses are relative, so that the page also works below a path of a proxy.

const KEY = "signs-api-key";

/** An error: a problem document of the gateway (RFC 9457), or the page's own if there was no answer. */
export class Problem extends Error {
  constructor({ title, kind = "", detail = "", status = 0, requestId = null, retryAfter = null }) {
    super(title);
    Object.assign(this, { title, kind, detail, status, requestId, retryAfter });
  }

  /** Whether the same request may succeed later. */
  get isTransient() {
    return [0, 401, 408, 429].includes(this.status) || this.status >= 500;
  }
}

/** The API key of this tab, or an empty string. */
export function apiKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Stores a key until the tab is closed; an empty one removes it. */
export function useApiKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** Returns the served classes, [{class_id, name, category, drawing}]. */
export async function classes() {
  return (await ask("v1/classes")).answer;
}

/** Returns the served versions {recognizer, classifier}; null for a model that is not served. */
export async function models() {
  return (await ask("v1/models")).answer;
}

/** Returns {answer, milliseconds}: the signs of a photo, and the time of the whole request. */
export async function recognize(photo, signal) {
  return ask("v1/recognize", upload(photo, signal));
}

/** Returns the same for a picture of one sign, with its most probable classes. */
export async function classify(photo, signal) {
  return ask("v1/classify?k=3", upload(photo, signal));
}

/** Stores a photo with its corrected boxes; returns {id}. */
export async function sendFeedback(photo, name, feedback) {
  const form = new FormData();
  form.append("image", photo, name);
  form.append("feedback", JSON.stringify(feedback));
  return (await ask("v1/feedback", { method: "POST", body: form })).answer;
}

function upload(photo, signal) {
  const type = photo.type.startsWith("image/") ? photo.type : "application/octet-stream";
  return { method: "POST", body: photo, headers: { "Content-Type": type }, signal };
}

async function ask(address, options = {}) {
  const headers = new Headers(options.headers);
  if (apiKey()) headers.set("Authorization", `Bearer ${apiKey()}`);
  const started = performance.now();
  let response, text;
  try {
    response = await fetch(address, { ...options, headers });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The service cannot be reached",
      detail: "It does not answer, or the connection broke. Check the network, or ask its operator. " +
        "Your photo is still here.",
    });
  }
  const milliseconds = performance.now() - started;
  if (!response.ok) throw problemOf(response, text);
  try {
    return { answer: JSON.parse(text), milliseconds };
  } catch {
    throw new Problem({
      title: "The answer cannot be read",
      detail: "It is not JSON. Does another server answer at this address?",
      status: response.status,
    });
  }
}

function problemOf(response, text) {
  let problem = {};
  try {
    problem = JSON.parse(text) ?? {};
  } catch {
    // A proxy's own answer has only a status.
  }
  const wait = response.headers.get("Retry-After");
  // Seconds, or a date.
  const seconds = wait === null ? NaN : /^\d+$/.test(wait) ? Number(wait) : (Date.parse(wait) - Date.now()) / 1000;
  return new Problem({
    title: problem.title || `The service answered ${response.status} ${response.statusText}`.trim(),
    kind: String(problem.type ?? "").split("#").at(-1),
    detail: typeof problem.detail === "string" ? problem.detail : "",
    status: response.status,
    requestId: problem.request_id ?? response.headers.get("X-Request-ID"),
    retryAfter: Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null,
  });
}
