/**
 * <pixel-image>: draws raw pixels on a canvas at a whole-number scale.
 *
 * Property `image`: { width, height, rgba }. Property `room`: the CSS pixels that its width may take, if it is smaller.
 * Attribute `smooth`: interpolate instead of square pixels. Attribute `label`: what the image shows, for screen
 * readers; one with "" is passed over by them.
 */

/** @typedef {{ width: number, height: number, rgba: Uint8ClampedArray<ArrayBuffer> }} Pixels */

export class PixelImage extends HTMLElement {
  static observedAttributes = ["label"];
  #canvas = document.createElement("canvas");
  /** @type {Pixels | null} */
  #image = null;

  room = 320;

  connectedCallback() {
    this.append(this.#canvas);
  }

  /** @param {string} _name @param {string | null} _before @param {string | null} label */
  attributeChangedCallback(_name, _before, label) {
    for (const [name, value] of [
      ["role", label && "img"],
      ["aria-label", label],
      ["aria-hidden", label ? "" : "true"],
    ]) {
      if (value) this.#canvas.setAttribute(/** @type {string} */ (name), value);
      else this.#canvas.removeAttribute(/** @type {string} */ (name));
    }
  }

  get image() {
    return this.#image;
  }

  set image(image) {
    if (!image || image === this.#image) return;
    this.#image = image;
    const { width, height, rgba } = image;
    Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
    const scale = Math.max(1, Math.floor(this.room / width));
    this.style.setProperty("--width", `${width * scale}px`);
  }
}

customElements.define("pixel-image", PixelImage);
