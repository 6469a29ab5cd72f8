/** ONNX models that do the same work as our benchmark cases, with our names of their tensors. */
import { attention, block, conv, matmul } from './onnx.mjs';

/** Returns our name of a peer's weight. */
const layer = (name) =>
  `unet.${name.replace(/^resnet/, 'down_blocks.0.resnets.0').replace(/^attention/, 'down_blocks.0.attentions.0')}`;
const own = (name) => name;
/** The block's inputs keep their names, its weights have the model's. */
const mixed = (name) => (['x', 'time', 'text'].includes(name) ? name : layer(name));

/** @type {Record<string, { model: ReturnType<typeof conv>, names: Record<string, string> }>} */
export const PEERS = Object.fromEntries(
  [
    ['conv 3x3 320 to 320 at 32x32', conv({ edge: 32, channels: 320, outputs: 320 }), own],
    ['conv 3x3 640 to 640 at 16x16', conv({ edge: 16, channels: 640, outputs: 640 }), own],
    ['conv 3x3 256 to 256 at 32x32', conv({ edge: 32, channels: 256, outputs: 256 }), own],
    ['conv 3x3 256 to 256 at 32x32, Winograd', conv({ edge: 32, channels: 256, outputs: 256 }), own],
    ['matmul 1024 x 320 x 320', matmul({ rows: 1024, inner: 320, columns: 320 }), own],
    ['matmul 256 x 640 x 2560', matmul({ rows: 256, inner: 640, columns: 2560 }), own],
    ['matmul 64 x 1280 x 1280', matmul({ rows: 64, inner: 1280, columns: 1280 }), own],
    ['attention 1024 tokens, 8 heads of 40', attention({ tokens: 1024, heads: 8, size: 40 }), own],
    ['attention 256 tokens, 8 heads of 80', attention({ tokens: 256, heads: 8, size: 80 }), own],
    [
      'UNet layer of 320 channels at 16x16: resnet and transformer',
      block({ edge: 16, channels: 320, heads: 8, tokens: 77, states: 768, time: 1280, groups: 32 }),
      mixed,
    ],
  ].map(([name, model, spelled]) => [
    name,
    { model, names: Object.fromEntries(model.inputs.map(({ name }) => [name, spelled(name)])) },
  ]),
);
