/** The help page's start: its language and its view. */

import { render } from "lit-html";
import { startLanguage } from "./language.js";
import { helpView } from "./views/help.js";
import { byId, fragment } from "../world.js";

const root = /** @type {HTMLElement} */ (byId("main"));
const draw = () => render(helpView(), root);

await startLanguage(draw);
root.replaceChildren();
draw();
// The section that the address names was not there when the browser looked for it.
byId(fragment().slice(1))?.scrollIntoView();
