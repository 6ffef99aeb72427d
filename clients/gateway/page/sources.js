// Where photos come from: the file chooser, a drop, the clipboard, the camera and an example of our own.

import { Camera } from "./camera.js";
import { element } from "./elements.js";

/**
 * Wires up all sources.
 *
 * `chosen(file, others)` gets each photo, with how many more were handed over with it; `refused(title, detail)` what
 * holds none.
 */
export function listen(chosen, refused) {
  const take = (files, origin) => {
    const [first, ...others] = files;
    if (first) chosen(first, others.length);
    else refused(`There is no picture in ${origin}`, "Drop or paste the picture itself, or choose its file.");
  };
  const input = element("file");
  input.addEventListener("change", () => {
    if (input.files.length) chosen(input.files[0], 0);
    input.value = ""; // the same file once more is a change too
  });
  listenToDrops(take);
  listenToPastes(take, refused);
  new Camera((file) => chosen(file, 0));
  element("example").addEventListener("click", async () => {
    try {
      const response = await fetch("static/example.jpg");
      if (!response.ok) throw new Error(`${response.status}`);
      chosen(new File([await response.blob()], "drawn street.jpg", { type: "image/jpeg" }), 0);
    } catch {
      refused("The example cannot be fetched", "The service does not answer. Try again, or choose a photo.");
    }
  });
}

function listenToDrops(take) {
  let depth = 0; // enter and leave also come from every element inside
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  const files = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => files(event) && mark(1));
  document.addEventListener("dragleave", (event) => files(event) && mark(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // or the browser leaves the page to show the file
    mark(-depth);
    take([...event.dataTransfer.files], "what was dropped");
  });
}

function listenToPastes(take, refused) {
  document.addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files];
    if (!pasted.length && event.target.closest?.("input, textarea")) return; // text into a field
    event.preventDefault();
    take(pasted, "the clipboard");
  });
  const button = element("paste");
  button.hidden = !navigator.clipboard?.read;
  button.addEventListener("click", async () => {
    try {
      const pasted = [];
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((name) => name.startsWith("image/"));
        if (type) pasted.push(new File([await item.getType(type)], "pasted picture", { type }));
      }
      take(pasted, "the clipboard");
    } catch {
      refused("The clipboard cannot be read", "The browser did not allow it. Press Ctrl and V, or choose the file.");
    }
  });
}
