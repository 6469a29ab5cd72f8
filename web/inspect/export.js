/** A report -> markdown, and what the page shows of it -> one HTML file that needs nothing else. */

import { formatBytes, formatNumber, formatValues } from "../core/format.js";
import { familyName, language, say, t, word } from "../words.js";
import { byId, emptyDocument, styleRules } from "../world.js";

/** @typedef {import("../engine/types.d.ts").Report} Report */

/** @param {Report} report */
export function reportMarkdown(report) {
  const { file, verdict, problems, loaders, coverage, training, health } = report;
  const changed = coverage.filter(({ covered }) => covered);
  const parts = [
    `# ${markdown(file)}`,
    markdown([verdict, ...(health?.sentences ?? [])].map(say).join(" ")),
    table(["", ""], factsOf(report)),
    ...section(t("export.problems"), problems, problemList),
    ...section(t("works.title"), loaders, loaderTable),
    ...section(t("map.title"), changed, coverageTable),
    ...section(t("section.training"), training?.settings ?? [], (settings) =>
      table(
        ["", ""],
        settings.map(({ label, value }) => [say(label), say(value)]),
      ),
    ),
  ];
  return `${parts.join("\n\n")}\n`;
}

/**
 * A heading and what stands below it; nothing for an empty list.
 * @template T
 * @param {string} title
 * @param {T[]} list
 * @param {(list: T[]) => string} text
 */
function section(title, list, text) {
  return list.length ? [`## ${title}`, text(list)] : [];
}

/** @param {Report} report */
function factsOf({ base, algorithms, convention, modules, size, sha256, hashes }) {
  const facts = [
    [t("fact.made_for"), base.family === "unknown" ? "" : familyName(base)],
    [t("fact.algorithm"), algorithms.map((name) => word("algorithm", name)).join(", ")],
    [t("fact.names"), convention && word("convention", convention)],
    [t("fact.rank"), formatValues(modules.flatMap(({ rank }) => rank ?? []))],
    [t("fact.alpha"), formatValues(modules.flatMap(({ alpha }) => alpha ?? []))],
    [t("fact.modules"), modules.length ? String(modules.length) : ""],
    [t("fact.size"), formatBytes(size)],
    ["SHA-256", sha256 && `\`${sha256}\``],
    ["AutoV3", hashes?.auto_v3 ? `\`${hashes.auto_v3}\`` : ""],
  ];
  return facts.filter(([, value]) => value);
}

/** @param {Report["problems"]} problems */
function problemList(problems) {
  const line = (/** @type {Report["problems"][number]} */ problem) =>
    `- **${word("problem", problem.class)}**: ${markdown(say(problem.message))}`;
  return problems.map(line).join("\n");
}

/** @param {Report["loaders"]} loaders */
function loaderTable(loaders) {
  const rows = loaders.map(({ label, status, applied, total, reason, otherwise, likely }) => [
    label,
    t("export.status", { status: word("status", status), applied, total }),
    [reason, otherwise, likely].flatMap((text) => (text ? [say(text)] : [])).join(" "),
  ]);
  return table([t("export.program"), "", t("export.why")], rows);
}

/** @param {Report["coverage"]} coverage */
function coverageTable(coverage) {
  const head = [t("table.part"), t("table.block"), t("export.layers"), t("table.strength")];
  const rows = coverage.map(({ component, block, covered, total, norm }) => [
    component,
    block,
    t("table.of", { covered, total }),
    formatNumber(norm),
  ]);
  return table(head, rows);
}

/** Text as it is, on one line: none of it is markup. What stands in backticks is code already. @param {string} text */
function markdown(text) {
  const line = text.replaceAll(/\s+/g, " ");
  return /^`[0-9a-f]+`$/.test(line) ? line : line.replaceAll(/[\\`*_[\]<>!|#]/g, "\\$&");
}

/** @param {string[]} head @param {string[][]} rows */
function table(head, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.map(markdown).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** What can only be done on the page. */
const CONTROLS =
  "button, input, select, textarea, form, .filter, .sections, [data-live], [hidden], .visually-hidden:not(caption)";

/**
 * The report on show as one file: every fold open, controls taken out, the page's styles inside.
 * @param {string} title
 */
export function reportHtml(title) {
  const shown = /** @type {HTMLElement} */ (byId("look")?.cloneNode(true));
  for (const control of shown.querySelectorAll(CONTROLS)) {
    if (control.matches("button.chip, th > button, button.link")) control.replaceWith(...control.childNodes, " ");
    else control.remove();
  }
  for (const fold of shown.querySelectorAll("details")) fold.open = true;
  const { page, text } = filePage(title, styleRules().join("\n"));
  const main = page.createElement("main");
  main.append(shown);
  const made = Object.assign(page.createElement("p"), {
    className: "fine",
    textContent: t("export.made", { date: new Date().toISOString().slice(0, 10) }),
  });
  page.body.append(main, made);
  return text();
}

/**
 * An empty page for one file that needs nothing else, and its text once it is filled.
 * @param {string} title @param {string} styles
 */
export function filePage(title, styles) {
  const page = emptyDocument(title);
  const policy = page.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
  page.head.prepend(
    Object.assign(page.createElement("meta"), { name: "viewport", content: "width=device-width, initial-scale=1" }),
    policy,
  );
  page.documentElement.lang = language();
  // The first kilobyte must name the encoding. Styles join as text: as an element this page's policy would refuse them.
  const text = () => {
    const { outerHTML } = page.documentElement;
    const whole = outerHTML
      .replace("<head>", '<head><meta charset="utf-8">')
      .replace("</head>", () => `<style>${styles}</style></head>`);
    return `<!doctype html>\n${whole}\n`;
  };
  return { page, text };
}
