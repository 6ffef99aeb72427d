// The dialog that takes a photo with the camera.

import { element } from "./elements.js";

const REASONS = {
  NotAllowedError:
    "This page is not allowed to use the camera. Allow it beside the address of this page, then try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera cannot be read: another program may be using it. Close that program, then try again.",
  OverconstrainedError: "No camera supports this.",
};
const INSECURE =
  "Browsers allow the camera only over https:// or on localhost, and this page came over http://. On a phone, " +
  "“Choose a photo” offers the camera too.";

/** Shows the camera's picture; calls `taken(file)` with a JPEG. */
export class Camera {
  #dialog = element("camera");
  #video = element("video");
  #message = element("camera-message");
  #shoot = element("shoot");
  #stream = null;

  constructor(taken) {
    element("open-camera").addEventListener("click", () => this.#open());
    element("close-camera").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#stop());
    this.#shoot.addEventListener("click", () => this.#take(taken));
  }

  async #open() {
    this.#message.textContent = "";
    this.#shoot.disabled = true;
    this.#video.hidden = true;
    this.#dialog.showModal();
    if (!navigator.mediaDevices?.getUserMedia) {
      this.#message.textContent = window.isSecureContext ? "This browser does not offer a camera to pages." : INSECURE;
      return;
    }
    try {
      const video = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
      if (!this.#dialog.open) {
        // The dialog was closed during the permission question.
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this.#stop(); // of a dialog that was closed and reopened during the permission question
      this.#stream = stream;
      this.#video.srcObject = stream;
      await this.#video.play();
      this.#video.hidden = false;
      this.#shoot.disabled = false;
      this.#shoot.focus();
    } catch (error) {
      this.#message.textContent = REASONS[error.name] ?? `The camera cannot be used: ${error.message}`;
    }
  }

  async #take(taken) {
    const canvas = document.createElement("canvas");
    canvas.width = this.#video.videoWidth;
    canvas.height = this.#video.videoHeight;
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    this.#dialog.close();
    taken(new File([blob], "camera.jpg", { type: "image/jpeg" }));
  }

  #stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }
}
