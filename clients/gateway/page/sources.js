// The sources of photos: file chooser, drop, clipboard, camera and an example.

import { Camera } from "./camera.js";
import { element } from "./elements.js";

/**
 * Connects all sources.
 *
 * `chosen(file, others)` gets each photo and the number of further ones; `refused(title, detail)` the reason if there
 * is no photo.
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
    input.value = ""; // so that choosing the same file again is a change
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
      refused("The example cannot be loaded", "The service does not answer. Try again, or choose a photo.");
    }
  });
}

function listenToDrops(take) {
  let depth = 0; // inner elements send enter and leave too
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  const files = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => files(event) && mark(1));
  document.addEventListener("dragleave", (event) => files(event) && mark(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // otherwise the browser opens the file
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
