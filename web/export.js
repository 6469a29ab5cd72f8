/** A report -> markdown, and what the page shows of it -> one HTML file that needs nothing else. */

import { formatBytes, formatNumber, formatValues } from "./format.js";
import { ALGORITHMS, CONVENTIONS, LOADER_STATUS, PROBLEMS, word } from "./words.js";

/** @typedef {import("./engine/types.d.ts").Report} Report */

/** @param {Report} report */
export function reportMarkdown(report) {
  const { file, verdict, base, algorithms, convention, modules, size, sha256, problems, loaders, coverage, training, hashes, health } = report;
  const facts = [
    ["Made for", base.family === "unknown" ? "" : base.label],
    ["Algorithm", algorithms.map((name) => word(ALGORITHMS, name)).join(", ")],
    ["Names", convention && word(CONVENTIONS, convention)],
    ["Rank", formatValues(modules.flatMap(({ rank }) => rank ?? []))],
    ["Alpha", formatValues(modules.flatMap(({ alpha }) => alpha ?? []))],
    ["Modules", modules.length ? String(modules.length) : ""],
    ["Size", formatBytes(size)],
    ["SHA-256", sha256 && `\`${sha256}\``],
    ["AutoV3", hashes?.auto_v3 ? `\`${hashes.auto_v3}\`` : ""],
  ].filter(([, value]) => value);
  const changed = coverage.filter(({ covered }) => covered);
  return [
    `# ${file}`,
    [verdict, ...(health?.sentences ?? [])].join(" "),
    table(["", ""], facts),
    ...(problems.length ? ["## Problems", problems.map((problem) => `- **${word(PROBLEMS, problem.class)}**: ${problem.message}`).join("\n")] : []),
    ...(loaders.length
      ? ["## Will it work?", table(["Program", "", "Why"], loaders.map(({ label, status, applied, total, reason }) => [label, `${LOADER_STATUS[status].name}, ${applied} of ${total}`, reason]))]
      : []),
    ...(changed.length
      ? ["## Where it acts", table(["Part", "Block", "Layers", "Strength"], changed.map(({ component, block, covered, total, norm }) => [component, block, `${covered} of ${total}`, formatNumber(norm)]))]
      : []),
    ...(training?.settings.length ? ["## Training", table(["", ""], training.settings.map(({ label, value }) => [label, value]))] : []),
  ].join("\n\n") + "\n";
}

/** @param {string[]} head @param {string[][]} rows */
function table(head, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** What can only be done on the page. */
const CONTROLS = "button, input, select, textarea, form, .filter, .sections, [data-live], [hidden], .visually-hidden:not(caption)";

/** The report on show as one file: every fold open, controls taken out, the page's styles inside. @param {string} title */
export function reportHtml(title) {
  const shown = /** @type {HTMLElement} */ (document.getElementById("look")?.cloneNode(true));
  for (const control of shown.querySelectorAll(CONTROLS)) {
    if (control.matches("button.chip, th > button, button.link")) control.replaceWith(...control.childNodes, " ");
    else control.remove();
  }
  for (const fold of shown.querySelectorAll("details")) fold.open = true;
  const rules = [...document.styleSheets].flatMap(({ cssRules }) => [...cssRules].map(({ cssText }) => cssText));
  const page = document.implementation.createHTMLDocument(title);
  const policy = page.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
  const style = page.createElement("style");
  style.textContent = rules.join("\n");
  page.head.prepend(Object.assign(page.createElement("meta"), { name: "viewport", content: "width=device-width, initial-scale=1" }), policy);
  page.head.append(style);
  const main = page.createElement("main");
  main.append(shown);
  const made = Object.assign(page.createElement("p"), { className: "fine", textContent: `Made by LoRA Loupe on ${new Date().toISOString().slice(0, 10)}.` });
  page.body.append(main, made);
  page.documentElement.lang = "en";
  // The first kilobyte must name the encoding.
  return `<!doctype html>\n${page.documentElement.outerHTML.replace("<head>", '<head><meta charset="utf-8">')}\n`;
}
