// The page: a photo goes to the gateway, its signs are shown, and what a person corrects goes back.

import { Draft } from "./draft.js";
import { count, element, useDrawings } from "./elements.js";
import * as gateway from "./gateway.js";
import { Picker } from "./picker.js";
import { SignList } from "./signlist.js";
import { listen } from "./sources.js";
import { Stage } from "./stage.js";
import { showTimings } from "./timings.js";

let photo = null; // the File that is shown, or is being asked about
let answer = null; // what the gateway said of it
let signs = []; // as the person sees them: those of the answer, corrected, and those drawn
let known = []; // the classes
let asking = null; // the AbortController of the request under way
let again = null; // what "Try again" does
let countdown = 0;
let finds = true; // whether anything is served that finds signs, as far as is known

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
  (title, detail) => complain(new gateway.Problem({ title, detail }), null),
);
element("cancel").addEventListener("click", () => asking?.abort());
element("retry").addEventListener("click", () => {
  calmDown();
  again?.();
});
element("dismiss").addEventListener("click", () => {
  calmDown();
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
  calmDown();
  loadClasses();
});
element("key").value = gateway.apiKey();
loadClasses();

async function loadClasses() {
  try {
    known = await gateway.classes();
    useDrawings(known);
    document.body.classList.toggle("own-classes", !known.some(({ drawing }) => drawing));
    if (answer) redraw();
  } catch (error) {
    complain(error, loadClasses);
  }
}

async function recognize(file, others = 0) {
  asking?.abort();
  const request = new AbortController();
  asking = request;
  photo = file;
  answer = null;
  calmDown();
  draft.reset();
  document.body.classList.add("busy");
  element("result").hidden = true;
  element("result").classList.add("unanswered");
  element("cancel").hidden = false;
  element("caption").textContent = file.name;
  say(`Looking for signs in ${file.name} …`);
  try {
    const loaded = stage.load(file).then((visible) => {
      if (asking === request) element("result").hidden = !visible; // the photo at once, its signs later
      return visible;
    });
    const ask = element("whole").checked ? gateway.classify : gateway.recognize;
    const [visible, told] = await Promise.all([loaded, ask(file, request.signal)]);
    if (!signsOf(told.answer).every(isListed)) await loadClasses(); // they change with the models
    if (asking === request) show(told.answer, told.milliseconds, visible, others);
  } catch (error) {
    if (asking !== request) return; // a newer photo has come
    if (error.name === "AbortError") say("Cancelled.");
    else if (error.kind === "not-served" && !element("whole").checked) {
      finds = false; // a classifier alone is served: it is asked instead, and the person sees that it is
      element("whole").checked = true;
      recognize(file, others);
    }
    else complain(error, () => recognize(file, others));
  } finally {
    if (asking === request) {
      asking = null;
      document.body.classList.remove("busy");
      element("cancel").hidden = true;
    }
  }
}

function show(told, milliseconds, visible, others) {
  answer = told;
  signs = signsOf(told).map((sign) => ({ ...sign, origin: "answered", answered: sign, removed: false }));
  document.body.classList.add("has-result");
  element("result").hidden = false;
  element("result").classList.remove("unanswered");
  stage.resize(told.width, told.height);
  const invisible = visible ? "" : " · This browser cannot show this kind of picture; the signs are listed.";
  element("caption").textContent = `${photo.name} · ${told.width} × ${told.height} pixels${invisible}`;
  element("comment").value = "";
  redraw();
  showTimings(told.timings ?? {}, milliseconds);
  const models = Object.entries(told.models ?? {}).map(([name, version]) => `${name} ${version}`);
  element("models").textContent = [...models, `request ${told.request_id}`].join(" · ");
  element("json").textContent = JSON.stringify(told, null, 2);
  const rest = others ? ` Of several photos the first was taken; ${others} more can follow one by one.` : "";
  const whole = finds || told.signs ? "" : " Nothing is served that finds signs in photos: the picture is taken as one sign.";
  const found = signs.length ? `${count(signs.length, "sign", "signs")} found` : "No sign found";
  say(`${found} in ${(milliseconds / 1000).toFixed(2)} s.${rest}${whole}`);
}

/** The signs of an answer: of a photo that one sign fills it is in a box around all of it. */
function signsOf(told) {
  if (told.signs) return told.signs;
  const [{ class_id, name, score }, ...others] = told.classes;
  return [{ box: [0, 0, told.width, told.height], class_id, name, class_score: score, category: "", others }];
}

/** Whether a sign's class is among those that are known. */
function isListed({ class_id, name }) {
  return class_id < 0 || known[class_id]?.name === name;
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
    : "Change or remove what is wrong, draw what is missing, then send it. “All is right” helps too.";
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

function change(sign, properties, words) {
  if (properties.removed && sign.origin === "drawn") signs = signs.filter((other) => other !== sign);
  else Object.assign(sign, properties);
  redraw();
  if (!signs.length) element("signs-title").focus();
  say(words);
}

async function rename(sign) {
  const chosen = await choose(isKnown(sign) ? `Which sign is it, if not ${sign.name}?` : "Which sign is it?", sign.class_id);
  if (!chosen) return;
  const { class_id, name, category } = chosen;
  // A name from a person has no score; the answer's own comes back with its score.
  const answered = sign.answered?.class_id === class_id ? sign.answered : null;
  change(sign, { class_id, name, category, class_score: answered?.class_score }, `It is ${name} now`);
}

/** Names the sign in a box that was drawn; returns whether the person did. */
async function addDrawn(box) {
  const about = answer;
  const chosen = await choose("Which sign is in the box?");
  if (!chosen || answer !== about) return false;
  const { class_id, name, category } = chosen;
  const sign = { box, class_id, name, category, origin: "drawn", removed: false };
  signs = [...signs, sign];
  redraw();
  mark(sign);
  say(`${name} is added`);
  return true;
}

async function choose(title, current) {
  if (!known.length) await loadClasses();
  return known.length ? picker.choose(known, title, current) : null;
}

/** Whether a sign has the name of a class; of the others a person has to say which it is, or that it is none. */
function isKnown(sign) {
  return sign.class_id >= 0;
}

async function send() {
  const unnamed = signs.find((sign) => !sign.removed && !isKnown(sign));
  if (unnamed) {
    mark(unnamed);
    list.focus(signs, unnamed);
    say("One sign is still unknown: change it into the sign that it is, or remove it.");
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
  const about = answer;
  button.disabled = true; // the same correction is sent once
  calmDown();
  say("Sending …");
  try {
    const { id } = await gateway.sendFeedback(photo, photo.name, feedback);
    say("Thank you: it is stored.");
    if (answer === about) element("changes").textContent = `Thank you. Stored as ${id}.`;
  } catch (error) {
    if (answer === about) button.disabled = false;
    complain(error, send);
  }
}

function say(words) {
  element("status").textContent = words;
}

/** Shows a problem; `retry` is offered again, after the time that the service asked for. */
function complain(error, retry) {
  const problem = error instanceof gateway.Problem
    ? error
    : new gateway.Problem({ title: "Something on this page went wrong", detail: String(error) });
  if (!(error instanceof gateway.Problem)) console.error(error);
  again = retry;
  say("");
  element("problem-title").textContent = problem.title;
  element("problem-detail").textContent = problem.detail;
  element("problem-facts").textContent = [
    problem.status && `status ${problem.status}`,
    problem.requestId && `request ${problem.requestId}`,
  ].filter(Boolean).join(" · ");
  element("retry").hidden = !retry || !problem.passing;
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

function calmDown() {
  clearInterval(countdown);
  element("problem").hidden = true;
}
