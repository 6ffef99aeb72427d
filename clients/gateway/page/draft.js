// Drawing the box of a missing sign: with mouse, finger or keyboard.

import { element } from "./elements.js";
import { place } from "./stage.js";

const LEAST = 4; // smallest side in pixels of the photo

/**
 * The drawing mode.
 *
 * `drawn(box)` is awaited with [left, top, right, bottom] in whole pixels; if it returns false, the box stays for
 * another try. `say(message)` announces the box to screen readers.
 */
export class Draft {
  #stage;
  #area = element("stage");
  #draft = element("draft");
  #button = element("draw");
  #box = [0, 0, 0, 0];
  #start = null; // where the pointer went down
  #drawn;
  #say;

  constructor(stage, drawn, say) {
    this.#stage = stage;
    this.#drawn = drawn;
    this.#say = say;
    this.#button.addEventListener("click", () => (this.active ? this.leave() : this.#enter()));
    element("leave-draft").addEventListener("click", () => this.leave());
    element("take-draft").addEventListener("click", () => this.#take());
    this.#area.addEventListener("pointerdown", (event) => this.active && this.#down(event));
    this.#area.addEventListener("pointermove", (event) => this.#start && this.#move(event));
    this.#area.addEventListener("pointerup", (event) => this.#start && this.#up(event));
    this.#area.addEventListener("pointercancel", () => (this.#start = null));
    this.#draft.addEventListener("keydown", (event) => this.#key(event));
  }

  get active() {
    return this.#button.getAttribute("aria-pressed") === "true";
  }

  /** Ends the mode and moves the focus to its button. */
  leave() {
    if (!this.active) return;
    this.#toggle(false);
    this.#button.focus();
  }

  /** Ends the mode because the picture changes. */
  reset() {
    this.#toggle(false);
  }

  #enter() {
    const { width, height } = this.#stage.size;
    const side = Math.max(LEAST, Math.round(Math.min(width, height) / 8));
    this.#toggle(true);
    this.#set([(width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2]);
    this.#draft.focus({ preventScroll: true });
    this.#stage.reveal(null);
  }

  #toggle(active) {
    this.#start = null;
    this.#button.setAttribute("aria-pressed", String(active));
    this.#area.classList.toggle("drawing", active);
    this.#draft.hidden = !active;
    element("drawing").hidden = !active;
  }

  /** Sets the box, rounded to whole pixels inside the photo. */
  #set([left, top, right, bottom]) {
    const { width, height } = this.#stage.size;
    const across = Math.min(Math.max(LEAST, Math.round(right - left)), width);
    const down = Math.min(Math.max(LEAST, Math.round(bottom - top)), height);
    const x = Math.min(Math.max(0, Math.round(left)), width - across);
    const y = Math.min(Math.max(0, Math.round(top)), height - down);
    this.#box = [x, y, x + across, y + down];
    place(this.#draft, this.#box, this.#stage.size);
    this.#stage.cutOut(element("preview"), this.#box);
  }

  async #take() {
    if (await this.#drawn(this.#box)) this.leave();
    else if (this.active) this.#draft.focus({ preventScroll: true });
  }

  #key(event) {
    let [left, top, right, bottom] = this.#box;
    // Small boxes move in small steps, so that they reach every pixel.
    const step = Math.max(1, Math.round(Math.min(right - left, bottom - top) / 8));
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key === "Enter") {
      event.preventDefault();
      return this.#take();
    }
    if (event.key === "Escape") {
      event.preventDefault();
      return this.leave();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return; // for the browser
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      if (event.shiftKey) [right, bottom] = [right + x, bottom + y];
      else [left, top, right, bottom] = [left + x, top + y, right + x, bottom + y];
    } else if ("+=-−".includes(event.key)) {
      const grow = "+=".includes(event.key) ? 0.125 : -0.1;
      const [x, y] = [(right - left) * grow, (bottom - top) * grow];
      [left, top, right, bottom] = [left - x, top - y, right + x, bottom + y];
    } else {
      return;
    }
    event.preventDefault();
    this.#set([left, top, right, bottom]);
    const [l, t, r, b] = this.#box;
    this.#say(`left ${l}, top ${t}, ${r - l} wide, ${b - t} high`);
  }

  #at(event) {
    const bounds = this.#area.getBoundingClientRect();
    const { width, height } = this.#stage.size;
    return [((event.clientX - bounds.left) / bounds.width) * width,
      ((event.clientY - bounds.top) / bounds.height) * height];
  }

  #down(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#area.setPointerCapture(event.pointerId);
    this.#start = this.#at(event);
  }

  #move(event) {
    const [x, y] = this.#at(event);
    const [fromX, fromY] = this.#start;
    const { width, height } = this.#stage.size;
    this.#set([
      Math.max(0, Math.floor(Math.min(x, fromX))),
      Math.max(0, Math.floor(Math.min(y, fromY))),
      Math.min(width, Math.ceil(Math.max(x, fromX))),
      Math.min(height, Math.ceil(Math.max(y, fromY))),
    ]);
  }

  #up(event) {
    const [x, y] = this.#at(event);
    const [fromX, fromY] = this.#start;
    this.#start = null;
    // A click draws nothing.
    if (Math.abs(x - fromX) >= LEAST && Math.abs(y - fromY) >= LEAST) this.#take();
  }
}
