// The searchable list of classes: a combobox with a list box, in a dialog.

import { categoryOf, count, element, make, pictogram } from "./elements.js";

/** The dialog in which a person chooses a class. */
export class Picker {
  #dialog = element("picker");
  #search = element("search");
  #list = element("classes");
  #matches = element("matches");
  #classes = [];
  #active = -1;
  #resolve = null;

  constructor() {
    this.#search.addEventListener("input", () => this.#filter());
    this.#search.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#finish(Number(option.dataset.classId));
    });
    element("close-picker").addEventListener("click", () => this.#finish(null));
    // The event comes after closing: the dialog may be open again for the next choice.
    this.#dialog.addEventListener("close", () => this.#dialog.open || this.#finish(null));
  }

  /** Asks for a class; returns it, or null if the dialog was cancelled. */
  choose(classes, title, current = null) {
    this.#finish(null);
    this.#classes = classes;
    element("picker-title").textContent = title;
    this.#search.value = "";
    this.#fill(current);
    this.#filter(current);
    this.#dialog.showModal();
    this.#search.focus();
    this.#show();
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  #fill(current) {
    this.#list.replaceChildren(
      ...this.#classes.map((known) => {
        const { class_id: classId, name } = known;
        const category = categoryOf(known);
        const marks = classId === current ? make("span", { className: "badge" }, "now") : null;
        const text = make("span", { className: "class-name" }, name, category ? make("small", {}, category) : null);
        const option = make("li", { role: "option", id: `class-${classId}` }, pictogram(known, 40), text, marks);
        option.dataset.classId = classId;
        option.dataset.words = searchable(`${name} ${category} ${classId}`);
        return option;
      }),
    );
  }

  get #visible() {
    return [...this.#list.children].filter((option) => !option.hidden);
  }

  #filter(current = null) {
    const words = searchable(this.#search.value).split(/\s+/).filter(Boolean);
    for (const option of this.#list.children) {
      option.hidden = !words.every((word) => option.dataset.words.includes(word));
    }
    const visible = this.#visible;
    this.#matches.textContent = visible.length ? count(visible.length, "sign", "signs") : "No sign has this name";
    const start = visible.findIndex((option) => Number(option.dataset.classId) === current);
    this.#activate(visible.length ? Math.max(start, 0) : -1);
  }

  #activate(index) {
    this.#active = index;
    const visible = this.#visible;
    for (const option of this.#list.children) option.setAttribute("aria-selected", "false");
    if (index < 0) {
      this.#search.removeAttribute("aria-activedescendant");
      return;
    }
    visible[index].setAttribute("aria-selected", "true");
    this.#search.setAttribute("aria-activedescendant", visible[index].id);
    this.#show();
  }

  #show() {
    this.#visible[this.#active]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const last = this.#visible.length - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 6, PageUp: -6 };
    if (event.key in steps && last >= 0) {
      const next = this.#active + steps[event.key];
      const single = Math.abs(steps[event.key]) === 1;
      // Single steps wrap around; pages stop at the ends.
      this.#activate(single ? (next + last + 1) % (last + 1) : Math.min(Math.max(next, 0), last));
    } else if (event.key === "Enter" && this.#active >= 0) {
      this.#finish(Number(this.#visible[this.#active].dataset.classId));
    } else {
      return;
    }
    event.preventDefault();
  }

  #finish(classId) {
    const resolve = this.#resolve;
    this.#resolve = null;
    if (this.#dialog.open) this.#dialog.close();
    resolve?.(classId === null ? null : this.#classes.find((known) => known.class_id === classId));
  }
}

/** Normalizes text for comparison: a composed ü equals a decomposed one. */
function searchable(text) {
  return text.normalize("NFC").toLowerCase();
}
