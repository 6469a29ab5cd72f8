/** Writes the peers' models, their inputs and weights to a folder: `node write.mjs FOLDER`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PEERS } from './peers.mjs';
import { inputValues, weightValues } from './values.mjs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

let files = 0;
const keep = (bytes, end) => {
  const name = `${files++}.${end}`;
  writeFileSync(join(folder, name), bytes);
  return name;
};
const tensors = (list, values) =>
  list.map(({ name, dims }) => ({ name, dims, file: keep(new Uint8Array(values(name, dims).buffer), 'f32') }));

const index = Object.entries(PEERS).map(([name, build]) => {
  const models = build();
  const [{ inputs, weights, output }] = models;
  return {
    name,
    output,
    models: models.map(({ bytes }) => keep(bytes, 'onnx')),
    inputs: tensors(inputs, inputValues),
    weights: tensors(weights, weightValues),
  };
});
writeFileSync(join(folder, 'index.json'), JSON.stringify(index));
