/**
 * <before-after>: two images on top of each other with a divider to drag.
 *
 * Slots `before` (left of the divider) and `after` (right of it), of the same size.
 * Attribute `label` names the slider. Property `position`: the divider, 0 to 100, from the left.
 * Pointer: drag anywhere. Keyboard: the slider takes arrow keys, Home and End.
 */

const style = new CSSStyleSheet();
style.replaceSync(`
  :host { position: relative; display: grid; overflow: hidden; touch-action: pan-y; --position: 50%; }
  ::slotted(*) { grid-area: 1 / 1; }
  ::slotted([slot="after"]) { clip-path: inset(0 0 0 var(--position)); }
  .divider {
    position: absolute; inset: 0 auto 0 var(--position); width: 2px; margin-left: -1px;
    background: #fff; box-shadow: 0 0 0 1px rgb(0 0 0 / 45%); pointer-events: none;
  }
  .divider::after {
    content: ""; position: absolute; top: 50%; left: 50%; width: 28px; height: 28px;
    transform: translate(-50%, -50%); border-radius: 50%;
    background: #fff; box-shadow: 0 0 0 1px rgb(0 0 0 / 45%), 0 2px 6px rgb(0 0 0 / 25%);
  }
  input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }
  input:focus-visible + .divider::after { outline: 3px solid var(--focus, #06c); outline-offset: 2px; }
`);

export class BeforeAfter extends HTMLElement {
  static observedAttributes = ["label"];
  #input = document.createElement("input");

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [style];
    Object.assign(this.#input, { type: "range", min: "0", max: "100", step: "1", value: "50" });
    const divider = document.createElement("div");
    divider.className = "divider";
    root.append(slot("before"), slot("after"), this.#input, divider);
    this.#input.addEventListener("input", () => this.#place());
    // A range input jumps by its thumb's width; the image should follow the pointer itself.
    this.#input.addEventListener("pointerdown", (event) => this.#follow(event));
    this.#input.addEventListener("pointermove", (event) => event.buttons & 1 && this.#follow(event));
  }

  /** @param {string} _name @param {string | null} _before @param {string | null} label */
  attributeChangedCallback(_name, _before, label) {
    this.#input.setAttribute("aria-label", label ?? "");
  }

  get position() {
    return Number(this.#input.value);
  }

  set position(position) {
    this.#input.value = String(position);
    this.#place();
  }

  /** @param {PointerEvent} event */
  #follow(event) {
    const { left, width } = this.getBoundingClientRect();
    event.preventDefault();
    this.#input.focus({ preventScroll: true });
    if (event.type === "pointerdown") this.#input.setPointerCapture(event.pointerId);
    this.position = (100 * (event.clientX - left)) / width;
  }

  #place() {
    this.style.setProperty("--position", `${this.position}%`);
  }
}

/** @param {string} name */
function slot(name) {
  return Object.assign(document.createElement("slot"), { name });
}

customElements.define("before-after", BeforeAfter);
