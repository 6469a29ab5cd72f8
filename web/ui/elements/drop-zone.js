/**
 * <drop-zone>: the whole window takes files. Shows its content as an overlay while files hover.
 *
 * Fires `files` on a drop, with detail { files: File[], handles: (FileSystemFileHandle | null)[], folders: { name,
 * files: { path, file }[], handle: FileSystemDirectoryHandle | null }[], place: string }.
 * A handle is null where the browser gives none.
 * Paths are relative to the folder. `place` is the data-drop of the element under the pointer, "" for none; while files
 * hover over such an element, it has the attribute data-over and the overlay stays away.
 */

const style = new CSSStyleSheet();
style.replaceSync(`
  :host { position: fixed; inset: 0; z-index: 10; display: none; pointer-events: none; }
  :host([over]:not([placed])) { display: grid; place-items: center; }
`);

export class DropZone extends HTMLElement {
  #depth = 0;
  /** @type {HTMLElement | null} */
  #place = null;
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
    window.addEventListener("dragover", (event) => this.#pass(event), { signal });
    window.addEventListener("drop", (event) => this.#drop(event), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  /**
   * Enter and leave come for every element passed: the overlay shows until they cancel out.
   * @param {DragEvent} event
   * @param {number} step
   */
  #hover(event, step) {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    this.#depth = Math.max(0, this.#depth + step);
    this.toggleAttribute("over", this.#depth > 0);
  }

  /** @param {DragEvent} event */
  #pass(event) {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    this.#point(placeOf(event));
  }

  /** @param {HTMLElement | null} place */
  #point(place) {
    this.#place?.removeAttribute("data-over");
    place?.setAttribute("data-over", "");
    this.#place = place;
    this.toggleAttribute("placed", place !== null);
  }

  /** Entries must be taken before the first wait: the browser empties the drop after it. @param {DragEvent} event */
  async #drop(event) {
    if (!event.dataTransfer || !carriesFiles(event)) return;
    event.preventDefault();
    this.#depth = 0;
    this.removeAttribute("over");
    this.#point(null);
    const place = placeOf(event)?.dataset.drop ?? "";
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    const opened = items.map((item) => ({
      entry: item.webkitGetAsEntry(),
      file: item.getAsFile(),
      handle: handleOf(item),
    }));
    const dropped = opened.flatMap(({ entry, file, handle }) =>
      !entry?.isDirectory && file ? [{ file, handle }] : [],
    );
    const files = dropped.map(({ file }) => file);
    const handles = await Promise.all(dropped.map(({ handle }) => handle));
    const folders = await Promise.all(
      opened.flatMap(({ entry, handle }) => (entry?.isDirectory ? [folderOf(entry, handle)] : [])),
    );
    this.dispatchEvent(new CustomEvent("files", { detail: { files, handles, folders, place } }));
  }
}

/**
 * Not yet in TypeScript's library, nor in every browser.
 * @param {DataTransferItem} item
 * @returns {Promise<any>} a file's or a folder's handle
 */
async function handleOf(item) {
  return (await /** @type {any} */ (item).getAsFileSystemHandle?.().catch(() => null)) ?? null;
}

/** @param {FileSystemEntry} entry @param {Promise<FileSystemDirectoryHandle | null>} handle */
async function folderOf(entry, handle) {
  const files = await walk(/** @type {FileSystemDirectoryEntry} */ (entry), "");
  return { name: entry.name, files, handle: await handle };
}

/** @param {DragEvent} event @returns {HTMLElement | null} */
function placeOf({ target }) {
  return target instanceof Element ? target.closest("[data-drop]") : null;
}

/**
 * All files below a directory; one that cannot be read is left out.
 * @param {FileSystemDirectoryEntry} directory @param {string} path
 * @returns {Promise<{ path: string, file: File }[]>}
 */
async function walk(directory, path) {
  const reader = directory.createReader();
  /** @type {FileSystemEntry[]} */
  const entries = [];
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) break;
    entries.push(...some);
  }
  const found = entries.map(async (entry) => {
    if (entry.isDirectory) return walk(/** @type {FileSystemDirectoryEntry} */ (entry), `${path}${entry.name}/`);
    const file = await new Promise((resolve) =>
      /** @type {FileSystemFileEntry} */ (entry).file(resolve, () => resolve(null)),
    );
    return file ? [{ path: path + entry.name, file }] : [];
  });
  return (await Promise.all(found)).flat();
}

/** @param {DragEvent} event */
function carriesFiles({ dataTransfer }) {
  return dataTransfer?.types.includes("Files") ?? false;
}

customElements.define("drop-zone", DropZone);
