// The photo with the boxes.

import { element, make, percent, pictogram } from "./elements.js";

const GAP = 3; // CSS pixels between a box and its label

/** Shows a photo and its signs; calls `chosen(sign)` at a click on a box. */
export class Stage {
  #photo = element("photo");
  #overlay = element("overlay");
  #stage = element("stage");
  #boxes = new Map(); // sign to its element
  #labels = new Map();
  #address = "";
  #generation = 0;

  /** Pixels of the upright photo, from the gateway's answer. */
  size = { width: 1, height: 1 };
  /** Whether the browser can show the photo. */
  visible = false;

  constructor(chosen) {
    this.#overlay.addEventListener("click", (event) => {
      const box = event.target.closest(".box");
      for (const [sign, shown] of this.#boxes) if (shown === box) chosen(sign);
    });
    new ResizeObserver(() => this.#placeLabels()).observe(this.#stage);
  }

  /** Loads a photo; returns whether the browser can show it. */
  async load(photo) {
    const generation = ++this.#generation;
    const image = make("img", { id: "photo", alt: "Your photo" });
    const address = URL.createObjectURL(photo);
    image.src = address;
    const visible = await image.decode().then(() => true, () => false);
    if (generation !== this.#generation) {
      URL.revokeObjectURL(address); // a newer photo was chosen
      return false;
    }
    URL.revokeObjectURL(this.#address);
    this.#address = address;
    this.#photo.replaceWith(image);
    this.#photo = image;
    this.visible = visible;
    image.hidden = !visible;
    this.#stage.classList.toggle("blank", !visible);
    this.resize(image.naturalWidth || 4, image.naturalHeight || 3);
    this.draw([]);
    return visible;
  }

  /** Sets the size of the photo; the answer's size counts, even if the browser cannot show the photo. */
  resize(width, height) {
    this.size = { width, height };
    this.#stage.style.aspectRatio = `${width} / ${height}`;
    // Limits the height through the width, so that a tall photo fits on the screen.
    this.#stage.style.maxWidth = `min(100%, ${(width / height) * 78}vh)`;
  }

  /** Draws the boxes of all signs. */
  draw(signs) {
    this.#boxes.clear();
    this.#labels.clear();
    for (const sign of signs) {
      const box = make("div", { className: `box ${sign.removed ? "removed" : sign.origin}` });
      place(box, sign.box, this.size);
      this.#boxes.set(sign, box);
      if (!sign.removed) this.#labels.set(sign, labelOf(sign));
    }
    this.#overlay.replaceChildren(...this.#boxes.values(), ...this.#labels.values());
    this.#placeLabels();
  }

  /** Marks one sign, or none. */
  mark(marked) {
    for (const [sign, box] of this.#boxes) box.classList.toggle("marked", sign === marked);
    for (const [sign, label] of this.#labels) label.classList.toggle("marked", sign === marked);
  }

  /** Brings the picture, or one sign in it, into view. */
  reveal(sign) {
    const target = this.#boxes.get(sign) ?? this.#stage;
    target.scrollIntoView({ block: "center", behavior: prefersLessMotion() ? "auto" : "smooth" });
  }

  /** Shows or hides all boxes. */
  toggle(shown) {
    this.#overlay.hidden = !shown;
    if (shown) this.#placeLabels();
  }

  /** Draws a box and its surroundings into a canvas, enlarged. */
  cutOut(canvas, box) {
    const [left, top, right, bottom] = box;
    const side = Math.max(right - left, bottom - top, 4) * 1.5;
    const x = (left + right - side) / 2;
    const y = (top + bottom - side) / 2;
    const context = canvas.getContext("2d");
    const scale = canvas.width / side;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (this.visible) {
      const { naturalWidth, naturalHeight } = this.#photo;
      context.save();
      context.imageSmoothingQuality = "high";
      context.scale(scale, scale);
      context.translate(-x, -y);
      context.scale(this.size.width / naturalWidth, this.size.height / naturalHeight);
      context.drawImage(this.#photo, 0, 0);
      context.restore();
    }
    const frame = [(left - x) * scale, (top - y) * scale, (right - left) * scale, (bottom - top) * scale];
    for (const [width, colour] of [[5, "#000000a0"], [2, "#3ee7ff"]]) {
      context.lineWidth = width * (canvas.width / 112);
      context.strokeStyle = colour;
      context.strokeRect(...frame);
    }
  }

  #placeLabels() {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    if (!width || this.#overlay.hidden) return;
    const boxes = [...this.#labels.keys()].map(({ box }) => shown(box, this.size, width, height));
    const labels = [...this.#labels.values()];
    for (const label of labels) label.classList.toggle("short", width < 520);
    const sizes = labels.map((label) => [label.offsetWidth, label.offsetHeight]);
    const taken = [];
    labels.forEach((label, index) => {
      const found = freePlace(boxes[index], sizes[index], [width, height], taken, boxes);
      taken.push(found);
      label.style.left = `${found[0]}px`;
      label.style.top = `${found[1]}px`;
    });
  }
}

/** Places an element at a box of the photo, independent of the shown size. */
export function place(shownElement, [left, top, right, bottom], { width, height }) {
  shownElement.style.left = `${(left / width) * 100}%`;
  shownElement.style.top = `${(top / height) * 100}%`;
  shownElement.style.width = `${((right - left) / width) * 100}%`;
  shownElement.style.height = `${((bottom - top) / height) * 100}%`;
}

/** Whether the system asks for less motion. */
function prefersLessMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

function labelOf(sign) {
  const score = sign.class_score === undefined ? null : make("span", { className: "score" }, percent(sign.class_score));
  const name = make("span", { className: "name" }, sign.name);
  return make("div", { className: `label ${sign.origin}` }, pictogram(sign, 20), name, score);
}

function shown([left, top, right, bottom], size, width, height) {
  const [across, down] = [width / size.width, height / size.height];
  return [left * across, top * down, right * across, bottom * down];
}

/** The first place around a box where its label covers no other label or sign; else the one above it. */
function freePlace([left, top, right, bottom], [labelWidth, labelHeight], [width, height], taken, boxes) {
  const middle = (top + bottom - labelHeight) / 2;
  const corners = [
    [left, top - labelHeight - GAP],
    [left, bottom + GAP],
    [right - labelWidth, top - labelHeight - GAP],
    [right - labelWidth, bottom + GAP],
    [right + GAP, middle],
    [left - labelWidth - GAP, middle],
  ];
  const places = corners.map(([x, y]) => {
    const inside = [clamp(x, 0, width - labelWidth), clamp(y, 0, height - labelHeight)];
    return [...inside, inside[0] + labelWidth, inside[1] + labelHeight];
  });
  const free = (spot) => ![...taken, ...boxes].some((other) => overlap(spot, other));
  return places.find(free) ?? places.find((spot) => !taken.some((other) => overlap(spot, other))) ?? places[0];
}

function clamp(value, least, most) {
  return Math.max(least, Math.min(value, most));
}

function overlap(one, other) {
  return one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];
}
