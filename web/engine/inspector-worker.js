/** The worker that reads and edits files. The only file that imports the inspector. */

import init, { Inspector } from "../../pkg/inspector.js";
import { found, serve } from "./serve.js";
import { openSink } from "./sink.js";

/** @typedef {(inspector: Inspector, args: any, onProgress: (progress: any) => void) => any} Call */

/** @type {Record<import("./protocol.js").InspectorCall, Call>} */
const calls = {
  header: (inspector, { place }) => inspector.inspect_header(found(place)),
  measure: (inspector, { place, part, parts }, onProgress) => inspector.measure(found(place), part, parts, onProgress),
  inspect: (inspector, { place, known }, onProgress) => inspector.inspect(found(place), onProgress, known),
  stopReading: (inspector) => inspector.stop_reading(),
  summarize: (inspector, { place }) => inspector.summarize(found(place)),
  explainLog: (inspector, { place, line }) => inspector.explain_log(found(place), line),
  spectrum: (inspector, { place, path }) => inspector.spectrum(found(place), path),
  weigh: (inspector, { place, base, measures }, onProgress) =>
    inspector.weigh(found(place), base.map(found), measures, onProgress),
  stopWeighing: (inspector) => inspector.stop_weighing(),
  compare: (inspector, { a, b }) => inspector.compare(found(a), found(b)),
  previewEdit: (inspector, { edit, places }, onProgress) => inspector.preview_edit(edit, places.map(found), onProgress),
  applyEdit: written,
  stopEdit: (inspector) => inspector.stop_edit(),
  findSeries: (inspector, { places, names }) => inspector.find_series(places.map(found), names),
  measureSeries: (inspector, { places, part, parts }, onLayers) =>
    inspector.measure_series(places.map(found), part, parts, onLayers),
  summarizeSeries: (inspector, { files, layers }) => inspector.summarize_series(files, layers),
};

/** @param {Inspector} inspector @param {any} args @param {(progress: any) => void} onProgress */
async function written(inspector, { edit, places, name, session }, onProgress) {
  const sink = await openSink(name, session);
  try {
    const edited = await inspector.apply_edit(edit, places.map(found), sink.append, sink.begin, onProgress);
    return { edited, file: await sink.finish() };
  } catch (thrown) {
    await sink.drop();
    throw thrown;
  }
}

serve(async () => {
  await init();
  return new Inspector();
}, calls);
