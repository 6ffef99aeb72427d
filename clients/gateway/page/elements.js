// Small helpers for the page's elements.

/** The element with an id, which index.html must have. */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found;
}

/** Makes an element with properties and children (elements or text; null is left out). */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const drawings = new Map(); // addresses by name of the sign

/** Sets the served classes, some of which have drawings. */
export function useDrawings(classes) {
  drawings.clear();
  for (const { name, drawing } of classes) if (drawing) drawings.set(name, drawing);
}

/** Our drawing of a sign, or null; without alternative text, because the name is beside it. */
export function pictogram({ class_id: classId, name }, size) {
  const address = classId < 0 ? `static/pictograms/${classId}.svg` : drawings.get(name);
  return address ? make("img", { alt: "", width: size, height: size, decoding: "async", src: address }) : null;
}

/** The category of a sign, or an empty string if it equals the name. */
export function categoryOf({ name, category }) {
  return category === name ? "" : category;
}

/** A share in percent; only exactly 1 is 100 %. */
export function percent(share) {
  return share >= 1 ? "100\u00a0%" : `${Math.min(99.9, share * 100).toFixed(share > 0.99 ? 1 : 0)}\u00a0%`;
}

/** "1 sign", "2 signs". */
export function count(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}
