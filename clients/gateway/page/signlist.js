// The list of signs beside the picture.

import { categoryOf, element, make, percent, pictogram } from "./elements.js";

const CUT_OUT = 152; // pixels of the canvas, shown at half the size for high-resolution screens

/** Lists the signs with their buttons; `actions` has mark, reveal, rename, remove and restore. */
export class SignList {
  #list = element("signs");
  #actions;
  #stage;

  constructor(stage, actions) {
    this.#stage = stage;
    this.#actions = actions;
  }

  /** Lists the signs again; the focus stays on the same button of the same sign. */
  draw(signs) {
    const before = document.activeElement?.closest?.("#signs button");
    const focusedRow = [...this.#list.children].indexOf(before?.closest("li"));
    this.#list.replaceChildren(...signs.map((sign, index) => this.#row(sign, index + 1)));
    element("no-signs").hidden = signs.length > 0;
    const row = this.#list.children[Math.min(focusedRow, signs.length - 1)];
    // "Put back" replaces "Remove".
    if (before && row) {
      (row.querySelector(`[data-action=${before.dataset.action}]`) ?? row.querySelector(".actions button")).focus();
    }
  }

  /** Marks the row of one sign, or none. */
  mark(signs, marked) {
    [...this.#list.children].forEach((row, index) => row.classList.toggle("marked", signs[index] === marked));
  }

  /** Scrolls to a sign and focuses it. */
  focus(signs, sign) {
    const row = this.#list.children[signs.indexOf(sign)];
    row?.scrollIntoView({ block: "nearest" });
    row?.querySelector("[data-action=rename], [data-action=remove]")?.focus({ preventScroll: true });
  }

  #row(sign, number) {
    const canvas = make("canvas", { className: "cut-out", width: CUT_OUT, height: CUT_OUT, "aria-hidden": "true" });
    this.#stage.cutOut(canvas, sign.box);
    const reveal = this.#button("reveal", sign, "", `Show sign ${number} in the picture`);
    reveal.className = "reveal";
    reveal.append(canvas);
    const row = make(
      "li",
      { className: `sign ${sign.removed ? "removed" : sign.origin}` },
      reveal,
      pictogram(sign, 44),
      make("div", { className: "words" }, ...words(sign)),
      make("div", { className: "row actions" }, ...this.#buttons(sign, number)),
    );
    for (const type of ["pointerenter", "focusin"]) row.addEventListener(type, () => this.#actions.mark(sign));
    row.addEventListener("pointerleave", () => this.#actions.mark(null));
    return row;
  }

  #buttons(sign, number) {
    if (sign.removed) {
      return [this.#button("restore", sign, "Put back", `Put sign ${number}, ${sign.name}, back`)];
    }
    return [
      this.#button("rename", sign, "Change", `Change sign ${number}, ${sign.name}, into another sign`),
      this.#button("remove", sign, "Remove", `Remove sign ${number}, ${sign.name}`),
    ];
  }

  #button(action, sign, text, label) {
    const button = make("button", { type: "button", "aria-label": label }, text);
    button.dataset.action = action;
    button.addEventListener("click", () => this.#actions[action](sign));
    return button;
  }
}

function words(sign) {
  const [left, top, right, bottom] = sign.box.map(Math.round);
  const facts = [categoryOf(sign), `${right - left}\u00a0×\u00a0${bottom - top} pixels`].filter(Boolean);
  const lines = [make("strong", {}, sign.name)];
  if (sign.removed) {
    lines.push(make("span", { className: "badge" }, "removed"));
  } else if (sign.origin === "drawn") {
    lines.push(make("span", { className: "badge" }, "drawn by you"));
  } else if (sign.class_score === undefined) {
    lines.push(make("span", { className: "badge" }, `was: ${sign.answered.name}`));
  } else {
    const found = sign.score === undefined ? "" : ` · found with ${percent(sign.score)}`;
    lines.push(make("span", { className: "scores" }, `${percent(sign.class_score)} sure${found}`));
    if (sign.others?.length) {
      const others = sign.others.map((other) => `${other.name} ${percent(other.score)}`);
      lines.push(make("small", {}, `else ${others.join(", ")}`));
    }
  }
  lines.push(make("small", {}, facts.join(" · ")));
  return lines;
}
