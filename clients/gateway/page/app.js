// The page: sends a photo to the gateway, shows its signs, and sends corrections back.

import { Draft } from "./draft.js";
import { count, element, useDrawings } from "./elements.js";
import * as gateway from "./gateway.js";
import { Picker } from "./picker.js";
import { SignList } from "./signlist.js";
import { listen } from "./sources.js";
import { Stage } from "./stage.js";
import { showTimings } from "./timings.js";

let photo = null; // the File that is shown or sent
let answer = null; // the gateway's answer to it
let signs = []; // the signs on the page: those of the answer with corrections, and those drawn
let classes = []; // the served classes
let pending = null; // the AbortController of the request in progress
let retry = null; // the action of "Try again"
let countdown = 0; // timer of "Try again in … s"
let hasDetector = true; // whether a recognizer is served

const stage = new Stage((sign) => list.focus(signs, sign));
const picker = new Picker();
const list = new SignList(stage, {
  mark,
  reveal: (sign) => {
    mark(sign);
    stage.reveal(sign);
  },
  rename,
  remove: (sign) => change(sign, { removed: true }, `${sign.name} is removed`),
  restore: (sign) => change(sign, { removed: false }, `${sign.name} is back`),
});
const draft = new Draft(stage, addDrawn, say);

listen(
  (file, others) => recognize(file, others),
  (title, detail) => showProblem(new gateway.Problem({ title, detail }), null),
);
element("cancel").addEventListener("click", () => pending?.abort());
element("retry").addEventListener("click", () => {
  hideProblem();
  retry?.();
});
element("dismiss").addEventListener("click", () => {
  hideProblem();
  element("file").focus();
});
element("show-boxes").addEventListener("change", (event) => stage.toggle(event.target.checked));
element("feedback").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  gateway.useApiKey(element("key").value.trim());
  element("key-details").open = false;
  say(gateway.apiKey() ? "The key is used from now on." : "No key is used.");
  hideProblem();
  loadClasses();
});
element("key").value = gateway.apiKey();
loadClasses();

async function loadClasses() {
  try {
    classes = await gateway.classes();
    useDetector((await gateway.models()).recognizer !== null);
    useDrawings(classes);
    document.body.classList.toggle("own-classes", !classes.some(({ drawing }) => drawing));
    if (answer) redraw();
  } catch (error) {
    showProblem(error, loadClasses);
  }
}

/** Without a detector every picture counts as one sign, and the page shows that. */
function useDetector(served) {
  hasDetector = served;
  if (!served) element("whole").checked = true;
}

async function recognize(file, others = 0) {
  pending?.abort();
  const request = new AbortController();
  pending = request;
  photo = file;
  answer = null;
  hideProblem();
  draft.reset();
  document.body.classList.add("busy");
  element("result").hidden = true;
  element("result").classList.add("unanswered");
  element("cancel").hidden = false;
  element("caption").textContent = file.name;
  say(`Looking for signs in ${file.name} …`);
  try {
    const loaded = stage.load(file).then((visible) => {
      if (pending === request) element("result").hidden = !visible; // the photo at once, its signs later
      return visible;
    });
    const ask = element("whole").checked ? gateway.classify : gateway.recognize;
    const [visible, response] = await Promise.all([loaded, ask(file, request.signal)]);
    if (!signsOf(response.answer).every(isListed)) await loadClasses(); // a new version may have other classes
    if (pending === request) show(response.answer, response.milliseconds, visible, others);
  } catch (error) {
    if (pending !== request) return; // a newer photo was chosen
    if (error.name === "AbortError") {
      say("Cancelled.");
    } else if (["not-offered", "not-served"].includes(error.kind) && !element("whole").checked) {
      useDetector(false); // it is gone, or the photo was chosen before /v1/models was answered
      recognize(file, others);
    } else {
      showProblem(error, () => recognize(file, others));
    }
  } finally {
    if (pending === request) {
      pending = null;
      document.body.classList.remove("busy");
      element("cancel").hidden = true;
    }
  }
}

function show(received, milliseconds, visible, others) {
  answer = received;
  signs = signsOf(answer).map((sign) => ({ ...sign, origin: "answered", answered: sign, removed: false }));
  document.body.classList.add("has-result");
  element("result").hidden = false;
  element("result").classList.remove("unanswered");
  stage.resize(answer.width, answer.height);
  const invisible = visible ? "" : " · This browser cannot show this image format; the list has the signs.";
  element("caption").textContent = `${photo.name} · ${answer.width} × ${answer.height} pixels${invisible}`;
  element("comment").value = "";
  redraw();
  showTimings(answer.timings ?? {}, milliseconds);
  const models = Object.entries(answer.models ?? {}).map(([name, version]) => `${name} ${version}`);
  element("models").textContent = [...models, `request ${answer.request_id}`].join(" · ");
  element("json").textContent = JSON.stringify(answer, null, 2);
  const rest = others ? ` Only the first photo was sent; ${others} more can follow one by one.` : "";
  const whole = hasDetector || answer.signs ? "" : " No detector is served: the picture counts as one sign.";
  const found = signs.length ? `${count(signs.length, "sign", "signs")} found` : "No sign found";
  say(`${found} in ${(milliseconds / 1000).toFixed(2)} s.${rest}${whole}`);
}

/** The signs of an answer; a picture of one sign has a box around the whole picture. */
function signsOf({ signs, classes, width, height }) {
  if (signs) return signs;
  const [{ class_id, name, score }, ...others] = classes;
  return [{ box: [0, 0, width, height], class_id, name, class_score: score, category: "", others }];
}

/** Whether the list of classes has the class of a sign. */
function isListed({ class_id, name }) {
  return class_id < 0 || classes[class_id]?.name === name;
}

function redraw() {
  stage.draw(signs);
  list.draw(signs);
  const renamed = signs.filter((sign) => sign.origin === "answered" && !sign.removed && changed(sign)).length;
  const removed = signs.filter((sign) => sign.origin === "answered" && sign.removed).length;
  const added = signs.filter((sign) => sign.origin === "drawn").length;
  const parts = [
    renamed && count(renamed, "sign renamed", "signs renamed"),
    removed && count(removed, "box removed", "boxes removed"),
    added && count(added, "sign added", "signs added"),
  ].filter(Boolean);
  element("changes").textContent = parts.length
    ? `You corrected: ${parts.join(", ")}.`
    : "Change or remove wrong signs, draw missing ones, then send. “All is right” helps too.";
  element("send").textContent = parts.length ? "Send the correction" : "All is right: send";
  element("send").disabled = false;
}

function changed(sign) {
  return sign.class_id !== sign.answered.class_id;
}

function mark(sign) {
  stage.mark(sign);
  list.mark(signs, sign);
}

function change(sign, properties, message) {
  if (properties.removed && sign.origin === "drawn") signs = signs.filter((other) => other !== sign);
  else Object.assign(sign, properties);
  redraw();
  if (!signs.length) element("signs-title").focus();
  say(message);
}

async function rename(sign) {
  const chosen = await choose(isKnown(sign) ? `Which sign is it instead of ${sign.name}?` : "Which sign is it?", sign.class_id);
  if (!chosen) return;
  const { class_id, name, category } = chosen;
  // A corrected name has no score; the answer's own name keeps its score.
  const answered = sign.answered?.class_id === class_id ? sign.answered : null;
  change(sign, { class_id, name, category, class_score: answered?.class_score }, `It is ${name} now`);
}

/** Asks for the class of a drawn box and adds the sign; returns whether a class was chosen. */
async function addDrawn(box) {
  const current = answer;
  const chosen = await choose("Which sign is in the box?");
  if (!chosen || answer !== current) return false;
  const { class_id, name, category } = chosen;
  const sign = { box, class_id, name, category, origin: "drawn", removed: false };
  signs = [...signs, sign];
  redraw();
  mark(sign);
  say(`${name} is added`);
  return true;
}

async function choose(title, current) {
  if (!classes.length) await loadClasses();
  return classes.length ? picker.choose(classes, title, current) : null;
}

/** Whether a sign has a class; an unknown sign must be changed or removed before sending. */
function isKnown(sign) {
  return sign.class_id >= 0;
}

async function send() {
  const unnamed = signs.find((sign) => !sign.removed && !isKnown(sign));
  if (unnamed) {
    mark(unnamed);
    list.focus(signs, unnamed);
    say("One sign is still unknown: change or remove it.");
    return;
  }
  const button = element("send");
  const feedback = {
    signs: signs.filter((sign) => !sign.removed).map(({ box, class_id, name }) => ({ box, class_id, name })),
    request_id: answer.request_id,
    answered: answer.signs ?? [],
    models: answer.models,
  };
  const comment = element("comment").value.trim();
  if (comment) feedback.comment = comment;
  const current = answer;
  button.disabled = true; // no second time
  hideProblem();
  say("Sending …");
  try {
    const { id } = await gateway.sendFeedback(photo, photo.name, feedback);
    say("Thank you: it is stored.");
    if (answer === current) element("changes").textContent = `Thank you. Stored as ${id}.`;
  } catch (error) {
    if (answer === current) button.disabled = false;
    showProblem(error, send);
  }
}

/** Announces a message, also to screen readers. */
function say(message) {
  element("status").textContent = message;
}

/** Shows a problem; "Try again" calls `action`, after the time in Retry-After. */
function showProblem(error, action) {
  const problem = error instanceof gateway.Problem
    ? error
    : new gateway.Problem({ title: "This page has a bug", detail: String(error) });
  if (!(error instanceof gateway.Problem)) console.error(error);
  retry = action;
  say("");
  element("problem-title").textContent = problem.title;
  element("problem-detail").textContent = problem.detail;
  element("problem-facts").textContent = [
    problem.status && `status ${problem.status}`,
    problem.requestId && `request ${problem.requestId}`,
  ].filter(Boolean).join(" · ");
  element("retry").hidden = !retry || !problem.isTransient;
  element("problem").hidden = false;
  element("problem").scrollIntoView({ block: "nearest" });
  waitBeforeRetry(problem.retryAfter);
  if (problem.status === 401) {
    element("key-details").open = true;
    element("key").focus();
  }
}

function waitBeforeRetry(seconds) {
  clearInterval(countdown);
  const button = element("retry");
  const until = performance.now() + (seconds ?? 0) * 1000;
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left <= 0) clearInterval(countdown);
  };
  countdown = setInterval(tick, 250);
  tick();
}

function hideProblem() {
  clearInterval(countdown);
  element("problem").hidden = true;
}
