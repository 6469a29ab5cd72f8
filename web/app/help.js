/** The help page's start: its language and its view. */

import { render } from "lit-html";
import { startLanguage } from "./language.js";
import { helpView } from "./views/help.js";

const root = /** @type {HTMLElement} */ (document.getElementById("main"));
const draw = () => render(helpView(), root);

await startLanguage(draw);
root.replaceChildren();
draw();
// The section that the address names was not there when the browser looked for it.
document.getElementById(location.hash.slice(1))?.scrollIntoView();
