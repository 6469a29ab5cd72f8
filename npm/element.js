/** `<lora-loupe src="panda.safetensors">`: the report on a file as a card, for the page of a model. */

import { inspect } from "./inspect.js";
import { say, translator } from "./say.js";

const STYLE = `
:host { display: block; color-scheme: light dark; font: 0.9rem/1.45 system-ui, sans-serif; }
:host([hidden]) { display: none; }
article { border: 1px solid color-mix(in srgb, currentColor 22%, transparent); border-radius: 10px; padding: 0.9em 1.1em; }
p { margin: 0; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0.2em 1em; margin: 0.7em 0 0; }
dt { opacity: 0.75; }
dd { margin: 0; overflow-wrap: anywhere; }
ul { list-style: none; margin: 0.7em 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.35em; }
ul.problems { flex-direction: column; }
li { border-left: 3px solid var(--colour); padding-left: 0.5em; }
.good { --colour: var(--lora-loupe-good, light-dark(#1a7f37, #57c46f)); }
.warn { --colour: var(--lora-loupe-warn, light-dark(#9a6700, #d9a441)); }
.bad { --colour: var(--lora-loupe-bad, light-dark(#b3261e, #ff8a80)); }
`;

/** The colour and the sign of what a loader does with a file. @type {Record<string, [string, string]>} */
const SIGNS = {
  applied: ["good", "✓"],
  partly: ["warn", "◐"],
  ignored: ["bad", "✗"],
  refused: ["bad", "✗"],
  unknown: ["", "?"],
};

/** The card of a file; its attributes are `src`, `full` and `lang`. */
export class LoraLoupe extends HTMLElement {
  static observedAttributes = ["src", "full", "lang"];

  /** The last report. @type {import("./types.d.ts").Report | undefined} */
  report;
  /** Ends the reading of the file before. */
  #reading = new AbortController();

  constructor() {
    super();
    this.attachShadow({ mode: "open" });
  }

  connectedCallback() {
    this.#read();
  }

  disconnectedCallback() {
    this.#reading.abort();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#read();
  }

  async #read() {
    this.#reading.abort();
    const reading = (this.#reading = new AbortController());
    const [src, lang] = [this.getAttribute("src"), this.closest("[lang]")?.getAttribute("lang") ?? "en"];
    if (!src) return this.#show();
    this.setAttribute("aria-busy", "true");
    try {
      const [report, words] = await Promise.all([
        inspect(src, { headers: !this.hasAttribute("full"), signal: reading.signal }),
        translator(lang),
      ]);
      if (reading.signal.aborted) return;
      this.report = report;
      this.#show(...card(report, words));
      this.dispatchEvent(new CustomEvent("report", { detail: report }));
    } catch (error) {
      if (reading.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#show(element("p", { class: "bad" }, message));
      this.dispatchEvent(new CustomEvent("error", { detail: error }));
    } finally {
      if (!reading.signal.aborted) this.removeAttribute("aria-busy");
    }
  }

  /** @param {Node[]} content */
  #show(...content) {
    this.shadowRoot?.replaceChildren(element("style", {}, STYLE), element("article", { part: "card" }, ...content));
  }
}

/**
 * The content of a card.
 * @param {import("./types.d.ts").Report} report
 * @param {import("./say.js").Words} words
 */
function card(report, words) {
  const told = (/** @type {import("./types.d.ts").Sentence} */ sentence) => say(sentence, words);
  const facts = report.modules.length > 0 ? factsOf(report, words) : [];
  const problems = report.problems.map(({ severity, message }) =>
    element("li", { class: severity === "refuse" ? "bad" : "warn" }, told(message)),
  );
  const loaders = report.loaders.map(({ status, reason, label }) => {
    const [colour, sign] = SIGNS[status] ?? SIGNS.unknown;
    return element("li", { class: colour, title: reason ? told(reason) : "" }, `${sign} ${label}`);
  });
  const parts = [
    element("p", { part: "verdict" }, told(report.verdict)),
    element("dl", {}, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    element("ul", { class: "problems", part: "problems" }, ...problems),
    element("ul", { part: "loaders" }, ...loaders),
  ];
  return parts.filter((part) => part.hasChildNodes());
}

/**
 * @param {import("./types.d.ts").Report} report
 * @param {import("./say.js").Words} words
 * @returns {[string, string][]}
 */
function factsOf(report, { labels }) {
  const triggers = report.training?.trigger_words.map((word) => word.text) ?? [];
  /** @type {[string, string][]} */
  const facts = [
    [labels.base, report.base.label],
    [labels.format, report.convention],
    [labels.algorithm, report.algorithms.join(", ")],
    [labels.layers, String(report.modules.length)],
    [labels.triggers, triggers.join(", ")],
  ];
  return facts.filter(([, value]) => value !== "");
}

/** @param {string} name @param {Record<string, string>} attributes @param {(Node | string)[]} content */
function element(name, attributes, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

customElements.get("lora-loupe") ?? customElements.define("lora-loupe", LoraLoupe);
