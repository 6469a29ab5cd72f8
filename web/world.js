/** What the page asks of the browser's document, address and devices. No other file of the page touches them. */

/** The page's own address. */
export const pageAddress = () => location.href;

/** What follows # in it, with the #. */
export const fragment = () => location.hash;

/** @param {(fragment: string) => void} act */
export function onFragment(act) {
  addEventListener("hashchange", () => act(location.hash));
}

/** Whether the page was opened with this query, which is then taken out of its address. @param {string} query */
export function tookQuery(query) {
  if (location.search !== query) return false;
  history.replaceState(null, "", location.pathname + location.hash);
  return true;
}

/** Whether the page's server has another version of it than this one; false if it does not answer. */
export async function isOutdated() {
  const script = /** @type {HTMLScriptElement | null} */ (document.querySelector("script[type=module][src]"));
  // A service worker answers for the page itself with the version that it keeps.
  const fresh = await fetch(besidePage(`./?fresh=${Date.now()}`), { cache: "no-store" }).catch(() => null);
  const [, now] = /<script[^>]*? src="([^"]+)"/.exec((fresh?.ok && (await fresh.text())) || "") ?? [];
  return now !== undefined && besidePage(now).href !== script?.src;
}

/** Loads the page anew. */
export const reload = () => location.reload();

/** The address of a file beside the page. @param {string} path */
export const besidePage = (path) => new URL(path, document.baseURI);

/**
 * The page's policy for addresses of scripts (Trusted Types): its own files and blobs. Not yet in TypeScript's library.
 */
const scripts = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("loupe", {
  createScriptURL(/** @type {string} */ address) {
    if (new URL(address, location.href).origin === location.origin) return address;
    throw new TypeError(`no script of this page: ${address}`);
  },
});

/** An address of a script as the browser wants it. @param {string} address @returns {string} */
export const scriptAddress = (address) => scripts?.createScriptURL(address) ?? address;

/**
 * A worker from its own file, which is not bound by the page's policy.
 * @param {string} address
 * @param {string} name what it is told at its start
 */
export function ownWorker(address, name) {
  return new Worker(scriptAddress(new URL(address, location.href).href), { type: "module", name });
}

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/** Frames that an element is waited for: the code of its view may still have to come. */
const PATIENCE = 300;

/** @param {string} id @param {(element: HTMLElement) => void} act @param {number} [left] */
function onceDrawn(id, act, left = PATIENCE) {
  requestAnimationFrame(() => {
    const element = byId(id);
    if (element) act(element);
    else if (left > 0) onceDrawn(id, act, left - 1);
  });
}

/** Scrolls to an element once it is drawn. @param {string} id */
export function scrollTo(id) {
  onceDrawn(id, (element) => element.scrollIntoView({ block: "start" }));
}

/** Opens a fold once it is drawn, and scrolls to it. @param {string} id */
export function unfold(id) {
  onceDrawn(id, (element) => {
    /** @type {HTMLDetailsElement} */ (element).open = true;
    element.scrollIntoView({ block: "start" });
  });
}

/** Elements whose text is the words of `data-words`. */
export const worded = () => /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-words]"));

/** @param {string} language */
export function speakDocument(language) {
  document.documentElement.lang = language;
}

/** The languages of the user, the first one first. */
export const languages = () => navigator.languages;

/** What was kept for the next visit; null for nothing, and where the browser keeps nothing. @param {string} key */
export function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} value */
export function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The next visit begins without it.
  }
}

/** @param {string} text @returns {Promise<void>} */
export const copyText = (text) => navigator.clipboard.writeText(text);

/** @param {Blob} png @returns {Promise<void>} */
export const copyImage = (png) => navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);

/**
 * Hears of what is pasted, and keeps it from going into a field if `take` returns true.
 * @param {(pasted: { files: File[], text: string }) => boolean} take
 */
export function onPaste(take) {
  addEventListener("paste", (event) => {
    const { clipboardData } = event;
    if (clipboardData && take({ files: [...clipboardData.files], text: clipboardData.getData("text/plain") }))
      event.preventDefault();
  });
}

/** Focuses an element once it is drawn. @param {string} id */
export function focusOn(id) {
  onceDrawn(id, (element) => element.focus());
}

/**
 * Selects a part of a text area and types from there on.
 * @param {string} id
 * @param {string} text its whole text
 * @param {number} start
 * @param {number} end
 */
export function selectText(id, text, start, end) {
  const area = /** @type {HTMLTextAreaElement | null} */ (byId(id));
  if (!area) return;
  if (area.value !== text) area.value = text;
  area.setSelectionRange(start, end);
}

/**
 * Puts a file among the user's downloads; one on disk is not read into memory.
 * @param {string} name
 * @param {Blob} blob
 * @returns {string} the name
 */
export function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return name;
}

/** A document for a file that the page writes. @param {string} title */
export const emptyDocument = (title) => document.implementation.createHTMLDocument(title);

/** All style rules of the page. */
export const styleRules = () =>
  [...document.styleSheets].flatMap(({ cssRules }) => [...cssRules].map(({ cssText }) => cssText));

/** Processor cores, 1 if the browser does not say. */
export const cores = () => navigator.hardwareConcurrency || 1;

/**
 * The computer's memory in GiB as the browser rounds it; undefined in browsers that do not say.
 * @returns {number | undefined}
 */
export const gigabytes = () => /** @type {any} */ (navigator)["deviceMemory"];

/** The graphics card that the browser offers; null for none. @returns {Promise<GPUAdapter | null>} */
export const graphicsCard = async () =>
  (await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" })) ?? null;

/** Bytes that the page keeps and may keep, and whether the browser has promised not to clear them. */
export async function storageRoom() {
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  return { usage, quota, persisted: (await navigator.storage.persisted?.()) ?? false };
}

/** Asks the browser not to clear what the page keeps. */
export async function persistStorage() {
  await navigator.storage?.persist?.();
}

/** Holds a lock for as long as the page is open. @param {string} name */
export function holdLock(name) {
  navigator.locks?.request(name, () => new Promise(() => {})).catch(() => {}); // not with storage blocked
}

/** Undefined where the browser has none; with site data blocked even the question may throw. */
export function serviceWorkers() {
  try {
    return navigator.serviceWorker;
  } catch {
    return undefined;
  }
}

/** Whether the user asked to spare data. */
export const savesData = () => Boolean(/** @type {any} */ (navigator).connection?.saveData);
