/**
 * <drop-zone>: the whole window takes files. Shows its content as an overlay while files hover.
 *
 * Fires `files` with detail { files: File[], folders: number } on a drop. Folders are counted, not opened.
 */

const style = new CSSStyleSheet();
style.replaceSync(`
  :host { position: fixed; inset: 0; z-index: 10; display: none; pointer-events: none; }
  :host([over]) { display: grid; place-items: center; }
`);

export class DropZone extends HTMLElement {
  #depth = 0;
  #listening = new AbortController();

  connectedCallback() {
    if (!this.shadowRoot) {
      const root = this.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [style];
      root.append(document.createElement("slot"));
    }
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    window.addEventListener("dragenter", (event) => this.#hover(event, 1), { signal });
    window.addEventListener("dragleave", (event) => this.#hover(event, -1), { signal });
    window.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault(), { signal });
    window.addEventListener("drop", (event) => this.#drop(event), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  /** Enter and leave come for every element passed: the overlay shows until they cancel out. @param {DragEvent} event @param {number} step */
  #hover(event, step) {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    this.#depth = Math.max(0, this.#depth + step);
    this.toggleAttribute("over", this.#depth > 0);
  }

  /** @param {DragEvent} event */
  #drop(event) {
    if (!event.dataTransfer || !carriesFiles(event)) return;
    event.preventDefault();
    this.#depth = 0;
    this.removeAttribute("over");
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    const files = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory).flatMap((item) => item.getAsFile() ?? []);
    this.dispatchEvent(new CustomEvent("files", { detail: { files, folders: items.length - files.length } }));
  }
}

/** @param {DragEvent} event */
function carriesFiles({ dataTransfer }) {
  return dataTransfer?.types.includes("Files") ?? false;
}

customElements.define("drop-zone", DropZone);
