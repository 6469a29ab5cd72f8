/** ONNX models that do the same work as our benchmark cases, on the same values. */
import { readFileSync } from 'node:fs';
import { attention, conv, groupNorm, layer, layerNorm, matmul, unet } from './onnx.mjs';

const demo = JSON.parse(readFileSync(new URL('../../web/public/demo/model/unet/config.json', import.meta.url)));
const first = { edge: 16, channels: 320, heads: 8, tokens: 77, states: 768, time: 1280, groups: 32 };
const inDemo = { batch: 2, edge: 16, tokens: 77 };

/** Returns a model as exporters write it, and one with fused attention. */
const both = (build) => [build({ fused: false }), build({ fused: true })];

/**
 * Models by the case's name, as many as there are ways to write it: the fastest of a runtime counts.
 *
 * @type {Record<string, () => ReturnType<typeof conv>[]>}
 */
export const PEERS = {
  'conv 3x3 320 to 320 at 32x32': () => [conv({ edge: 32, channels: 320, outputs: 320 })],
  'conv 3x3 640 to 640 at 16x16': () => [conv({ edge: 16, channels: 640, outputs: 640 })],
  'conv 3x3 256 to 256 at 32x32': () => [conv({ edge: 32, channels: 256, outputs: 256 })],
  'matmul 1024 x 320 x 320': () => [matmul({ rows: 1024, inner: 320, columns: 320 })],
  'matmul 256 x 640 x 2560': () => [matmul({ rows: 256, inner: 640, columns: 2560 })],
  'matmul 64 x 1280 x 1280': () => [matmul({ rows: 64, inner: 1280, columns: 1280 })],
  'attention 1024 tokens, 8 heads of 40': () => both((way) => attention({ tokens: 1024, heads: 8, size: 40, ...way })),
  'attention 256 tokens, 8 heads of 80': () => both((way) => attention({ tokens: 256, heads: 8, size: 80, ...way })),
  'group norm and SiLU, 320 channels at 32x32': () => [groupNorm({ edge: 32, channels: 320, groups: 32 })],
  'layer norm 1024 x 320': () => [layerNorm({ rows: 1024, width: 320 })],
  'UNet layer of 320 channels at 16x16: resnet and transformer': () => both((way) => layer({ ...first, ...way })),
  'UNet of the demo at 64x64 with guidance': () => both((way) => unet(demo, { ...inDemo, ...way })),
};
