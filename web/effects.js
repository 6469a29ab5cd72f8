/** Actions -> everything that touches the world: each feature hears all of them, and answers with further actions. */

import { App } from "./app/effects.js";
import { Messages } from "./app/messages.js";
import { Session } from "./app/session.js";
import { Bench } from "./bench/effects.js";
import { Cards } from "./card/effects.js";
import { Jobs } from "./core/jobs.js";
import { Demo } from "./demo/effects.js";
import { Devices } from "./device/effects.js";
import { Opening } from "./files/effects.js";
import { Gallery } from "./gallery/effects.js";
import { BaseModel } from "./generate/model.js";
import { Runner } from "./generate/run.js";
import { Looking } from "./inspect/effects.js";
import { Library } from "./library/effects.js";
import { Previews } from "./previews/effects.js";
import { TrainingRuns } from "./series/effects.js";
import { Links } from "./share/effects.js";
import { Templates } from "./templates/effects.js";

/** @typedef {import("./types.d.ts").Action} Action */
/** @typedef {import("./types.d.ts").State} State */

/**
 * @param {{
 *   inspector: import("./engine/inspector.js").InspectorClient, engine: import("./engine/engine.js").EngineClient,
 *   readers: import("./engine/readers.js").Readers,
 *   reach: import("./remote/address.js").Reach, send: import("./types.d.ts").Send, getState: () => State,
 * }} given
 * @returns {(action: Action) => void}
 */
export function createEffects(given) {
  const { send, getState } = given;
  const jobs = new Jobs((list) => send({ type: "jobs/changed", jobs: list }));
  const messages = new Messages({ send, getState });
  const devices = new Devices(given);
  const world = { ...given, jobs, messages, devices };

  const app = new App({ ...world, keepWork: () => session.keepNow() });
  const library = new Library(world);
  const bringLora = (/** @type {string} */ id, /** @type {boolean} */ select) => demo.bringLora(id, select);
  const model = new BaseModel(world);
  const runner = new Runner({ ...world, model, bringLora, read: (ids) => looking.read(ids) });
  const looking = new Looking({ ...world, model });
  const demo = new Demo({ ...world, looking, model, runner });
  const opening = new Opening({ ...world, looking, listed: demo.listed });
  const session = new Session(world);
  const links = new Links({ ...world, bringLora, listed: demo.listed.then(() => session.restore()) });
  void links.open();

  const parts = [
    looking,
    library,
    session,
    opening,
    demo,
    new Gallery(world),
    new Cards(world),
    devices,
    model,
    runner,
    app,
    links,
    new Templates(world),
    new TrainingRuns({ ...world, read: (ids) => looking.read(ids) }),
    new Previews({ ...world, model }),
    new Bench(world),
  ];
  return (action) => {
    if (action.type === "job/cancel") jobs.cancel(action.id);
    for (const part of [...parts, messages]) part.act(action);
  };
}
