/** In-memory ONNX models of operations, of a UNet layer and of a UNet, as exporters write them. */
import protobuf from 'protobufjs';
import { weightValues } from './values.mjs';

/** The subset of onnx.proto that these models use, with ONNX's field numbers. */
const field = (id, type, rule) => ({ id, type, ...(rule && { rule }) });
const { nested: onnx } = protobuf.Root.fromJSON({
  nested: {
    Model: {
      fields: { irVersion: field(1, 'int64'), graph: field(7, 'Graph'), opsetImport: field(8, 'Opset', 'repeated') },
    },
    Opset: { fields: { domain: field(1, 'string'), version: field(2, 'int64') } },
    Graph: {
      fields: {
        node: field(1, 'Node', 'repeated'),
        name: field(2, 'string'),
        initializer: field(5, 'Tensor', 'repeated'),
        input: field(11, 'ValueInfo', 'repeated'),
        output: field(12, 'ValueInfo', 'repeated'),
      },
    },
    Node: {
      fields: {
        input: field(1, 'string', 'repeated'),
        output: field(2, 'string', 'repeated'),
        opType: field(4, 'string'),
        attribute: field(5, 'Attribute', 'repeated'),
        domain: field(7, 'string'),
      },
    },
    Attribute: {
      fields: {
        name: field(1, 'string'),
        f: field(2, 'float'),
        i: field(3, 'int64'),
        s: field(4, 'bytes'),
        ints: field(8, 'int64', 'repeated'),
        type: field(20, 'int32'),
      },
    },
    Tensor: {
      fields: {
        dims: field(1, 'int64', 'repeated'),
        dataType: field(2, 'int32'),
        name: field(8, 'string'),
        rawData: field(9, 'bytes'),
      },
    },
    ValueInfo: { fields: { name: field(1, 'string'), type: field(2, 'Type') } },
    Type: { fields: { tensorType: field(1, 'TensorType') } },
    TensorType: { fields: { elemType: field(1, 'int32'), shape: field(2, 'Shape') } },
    Shape: { fields: { dim: field(1, 'Dim', 'repeated') } },
    Dim: { fields: { dimValue: field(1, 'int64') } },
  },
});
const [FLOAT, INT64] = [1, 7];
const CONTRIB = 'com.microsoft';

/** Graph builder: `node` adds an operation and returns the name of its output. */
class Graph {
  nodes = [];
  constants = [];
  inputs = [];
  weights = [];

  /** Adds a graph input. */
  input(name, dims) {
    this.inputs.push({ name, dims });
    return name;
  }

  /** Adds a weight with our values: a constant, which a runtime may arrange as it likes. */
  weight(name, dims, shape = dims) {
    const rawData = new Uint8Array(weightValues(name, dims).buffer);
    this.constants.push({ name, dims: shape, dataType: FLOAT, rawData });
    this.weights.push({ name, dims });
    return name;
  }

  /** Adds an integer constant, for shapes and slices. */
  ints(values) {
    const name = `ints${this.constants.length}`;
    const rawData = new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer);
    this.constants.push({ name, dims: [values.length], dataType: INT64, rawData });
    return name;
  }

  /** Adds a float constant. */
  floats(values) {
    const name = `floats${this.constants.length}`;
    this.constants.push({
      name,
      dims: [values.length],
      dataType: FLOAT,
      rawData: new Uint8Array(Float32Array.from(values).buffer),
    });
    return name;
  }

  node(opType, input, attributes = {}, domain = '') {
    const output = `${opType}${this.nodes.length}`;
    const attribute = Object.entries(attributes).map(([name, value]) => {
      if (Array.isArray(value)) return { name, ints: value, type: 7 };
      if (typeof value === 'string') return { name, s: new TextEncoder().encode(value), type: 3 };
      return Number.isInteger(value) ? { name, i: value, type: 2 } : { name, f: value, type: 1 };
    });
    this.nodes.push({ input, output: [output], opType, attribute, domain });
    return output;
  }

  /** Splits the last axis. */
  split(x, sizes) {
    const output = sizes.map((_, index) => `Split${this.nodes.length}.${index}`);
    const attribute = [{ name: 'axis', i: -1, type: 2 }];
    this.nodes.push({ input: [x, this.ints(sizes)], output, opType: 'Split', attribute, domain: '' });
    return output;
  }

  /** Returns the serialized model with one output. */
  model(output, dims) {
    const info = ({ name, dims }) => ({
      name,
      type: { tensorType: { elemType: FLOAT, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
    });
    const graph = {
      name: 'bench',
      node: [...this.nodes, { input: [output], output: ['y'], opType: 'Identity' }],
      initializer: this.constants,
      input: this.inputs.map(info),
      output: [info({ name: 'y', dims })],
    };
    const opsetImport = [
      { domain: '', version: 17 },
      { domain: CONTRIB, version: 1 },
    ];
    return {
      bytes: onnx.Model.encode({ irVersion: 9, graph, opsetImport }).finish(),
      inputs: this.inputs,
      weights: this.weights,
      output: dims,
    };
  }
}

/** Returns a 3x3 convolution with bias on (1, c, h, h). */
export function conv({ edge, channels, outputs }) {
  const g = new Graph();
  const x = g.input('x', [1, channels, edge, edge]);
  const inputs = [x, g.weight('w', [outputs, channels, 3, 3]), g.weight('b', [outputs])];
  return g.model(g.node('Conv', inputs, { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }), [1, outputs, edge, edge]);
}

/** Returns (m, k) x (k, n), with the weight layout of ONNX exporters. */
export function matmul({ rows, inner, columns }) {
  const g = new Graph();
  const y = g.node('MatMul', [g.input('x', [1, rows, inner]), g.weight('w', [inner, columns])]);
  return g.model(y, [1, rows, columns]);
}

/**
 * Computes softmax(QKᵀ / sqrt d) V from (b, t, h d): with the operators that exporters write, or fused, which
 * onnxruntime's optimizer for Stable Diffusion makes of them. (On a software rasterizer, the fused operator's sums over
 * more than 16 keys are wrong in WebGPU, see docs/BENCHMARKS.md.)
 */
function attend(g, [q, k, v], { batch, tokens, seen, heads, size, fused }) {
  if (fused) return g.node('MultiHeadAttention', [q, k, v], { num_heads: heads }, CONTRIB);
  const split = (x, count, perm) =>
    g.node('Transpose', [g.node('Reshape', [x, g.ints([batch, count, heads, size])])], { perm });
  const rows = split(q, tokens, [0, 2, 1, 3]);
  const scores = g.node('MatMul', [rows, split(k, seen, [0, 2, 3, 1])]);
  const weights = g.node('Softmax', [g.node('Mul', [scores, g.floats([1 / Math.sqrt(size)])])], { axis: -1 });
  const mixed = g.node('MatMul', [weights, split(v, seen, [0, 2, 1, 3])]);
  const joined = g.node('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  return g.node('Reshape', [joined, g.ints([batch, tokens, heads * size])]);
}

/** Returns a model of one attention. */
export function attention({ tokens, heads, size, fused }) {
  const g = new Graph();
  const inputs = ['q', 'k', 'v'].map((name) => g.input(name, [1, tokens, heads * size]));
  const mixed = attend(g, inputs, { batch: 1, tokens, seen: tokens, heads, size, fused });
  return g.model(mixed, [1, tokens, heads * size]);
}

/** Returns a group norm with SiLU of (1, c, h, h). */
export function groupNorm({ edge, channels, groups }) {
  const g = new Graph();
  const map = { name: g.input('x', [1, channels, edge, edge]), c: channels, h: edge, w: edge };
  const unet = new Unet(g, { batch: 1, groups });
  return g.model(unet.silu(unet.norm('', map, 1e-5)), [1, channels, edge, edge]);
}

/** Returns a layer norm of rows. */
export function layerNorm({ rows, width }) {
  const g = new Graph();
  const inputs = [g.input('x', [1, rows, width]), g.weight('weight', [width]), g.weight('bias', [width])];
  return g.model(g.node('LayerNormalization', inputs, { epsilon: 1e-5 }), [1, rows, width]);
}

/** Parts of a UNet. A feature map is `{name, c, h, w}`, (b, c, h, w). */
class Unet {
  constructor(g, { batch, groups, heads, tokens, states, time, fused }) {
    Object.assign(this, { g, batch, groups, heads, tokens, states, time, fused });
  }

  linear(name, x, from, to, bias = true) {
    const y = this.g.node('MatMul', [x, this.g.weight(`${name}.weight`, [from, to])]);
    return bias ? this.g.node('Add', [y, this.g.weight(`${name}.bias`, [to])]) : y;
  }

  silu(x) {
    return this.g.node('Mul', [x, this.g.node('Sigmoid', [x])]);
  }

  /** @returns the name of the normalized map */
  norm(prefix, { name: x, c, h, w }, epsilon) {
    const { g, batch, groups } = this;
    const split = g.node('Reshape', [x, g.ints([batch, groups, -1])]);
    const [ones, zeros] = [1, 0].map((value) => g.floats(Array(groups).fill(value)));
    const normed = g.node('InstanceNormalization', [split, ones, zeros], { epsilon });
    const back = g.node('Reshape', [normed, g.ints([batch, c, h, w])]);
    const scaled = g.node('Mul', [back, g.weight(`${prefix}weight`, [c], [c, 1, 1])]);
    return g.node('Add', [scaled, g.weight(`${prefix}bias`, [c], [c, 1, 1])]);
  }

  conv(name, map, outputs, { kernel = 3, stride = 1 } = {}) {
    const weight = this.g.weight(`${name}.weight`, [outputs, map.c, kernel, kernel]);
    const pads = Array(4).fill(kernel >> 1);
    const inputs = [map.name, weight, this.g.weight(`${name}.bias`, [outputs])];
    const y = this.g.node('Conv', inputs, { kernel_shape: [kernel, kernel], pads, strides: [stride, stride] });
    return { name: y, c: outputs, h: map.h / stride, w: map.w / stride };
  }

  resnet(name, x, outputs, emb) {
    const { g } = this;
    let h = this.conv(`${name}.conv1`, { ...x, name: this.silu(this.norm(`${name}.norm1.`, x, 1e-5)) }, outputs);
    const bias = this.linear(`${name}.time_emb_proj`, emb, this.time, outputs);
    h.name = g.node('Add', [h.name, g.node('Reshape', [bias, g.ints([this.batch, outputs, 1, 1])])]);
    h = this.conv(`${name}.conv2`, { ...h, name: this.silu(this.norm(`${name}.norm2.`, h, 1e-5)) }, outputs);
    const shortcut = x.c === outputs ? x : this.conv(`${name}.conv_shortcut`, x, outputs, { kernel: 1 });
    return { ...h, name: g.node('Add', [shortcut.name, h.name]) };
  }

  mix(name, x, from, seen, width, { c, h, w }) {
    const [q, k, v] = [
      this.linear(`${name}.to_q`, x, c, c, false),
      this.linear(`${name}.to_k`, from, width, c, false),
      this.linear(`${name}.to_v`, from, width, c, false),
    ];
    const { batch, heads, fused } = this;
    const mixed = attend(this.g, [q, k, v], { batch, tokens: h * w, seen, heads, size: c / heads, fused });
    return this.linear(`${name}.to_out.0`, mixed, c, c);
  }

  transformer(name, map, text) {
    const { g, batch } = this;
    const { c, h, w } = map;
    const layerNorm = (part, x) =>
      g.node(
        'LayerNormalization',
        [
          x,
          g.weight(`${name}.transformer_blocks.0.${part}.weight`, [c]),
          g.weight(`${name}.transformer_blocks.0.${part}.bias`, [c]),
        ],
        { epsilon: 1e-5 },
      );
    const block = `${name}.transformer_blocks.0`;
    const inner = this.conv(`${name}.proj_in`, { ...map, name: this.norm(`${name}.norm.`, map, 1e-6) }, c, {
      kernel: 1,
    });
    let x = g.node('Reshape', [g.node('Transpose', [inner.name], { perm: [0, 2, 3, 1] }), g.ints([batch, h * w, c])]);
    let normed = layerNorm('norm1', x);
    x = g.node('Add', [x, this.mix(`${block}.attn1`, normed, normed, h * w, c, map)]);
    normed = layerNorm('norm2', x);
    x = g.node('Add', [x, this.mix(`${block}.attn2`, normed, text, this.tokens, this.states, map)]);
    normed = layerNorm('norm3', x);
    const wide = this.linear(`${block}.ff.net.0.proj`, normed, c, 8 * c);
    const [value, gate] = g.split(wide, [4 * c, 4 * c]);
    const gated = g.node('Mul', [value, g.node('Gelu', [gate], {}, CONTRIB)]);
    x = g.node('Add', [x, this.linear(`${block}.ff.net.2`, gated, 4 * c, c)]);
    const back = g.node('Transpose', [g.node('Reshape', [x, g.ints([batch, h, w, c])])], { perm: [0, 3, 1, 2] });
    const out = this.conv(`${name}.proj_out`, { ...map, name: back }, c, { kernel: 1 });
    return { ...map, name: g.node('Add', [map.name, out.name]) };
  }
}

/** Returns a resnet and a transformer as in SD 1.5, on (1, c, h, h) with text states (1, t, d). */
export function layer({ edge, channels, heads, tokens, states, time, groups, fused }) {
  const g = new Graph();
  const unet = new Unet(g, { batch: 1, groups, heads, tokens, states, time, fused });
  const x = { name: g.input('x', [1, channels, edge, edge]), c: channels, h: edge, w: edge };
  const [emb, text] = [g.input('time', [1, time]), g.input('text', [1, tokens, states])];
  const h = unet.resnet('unet.down_blocks.0.resnets.0', x, channels, emb);
  return g.model(unet.transformer('unet.down_blocks.0.attentions.0', h, text).name, [1, channels, edge, edge]);
}

/** Returns the UNet of a diffusers config with one layer per block, from the sinusoidal embedding of the time on. */
export function unet(config, { batch, edge, tokens, fused }) {
  const g = new Graph();
  const widths = config.block_out_channels;
  const [time, groups, states] = [4 * widths[0], config.norm_num_groups, config.cross_attention_dim];
  const unet = new Unet(g, { batch, groups, heads: config.attention_head_dim, tokens, states, time, fused });
  const sample = {
    name: g.input('sample', [batch, config.in_channels, edge, edge]),
    c: config.in_channels,
    h: edge,
    w: edge,
  };
  const [sinusoid, text] = [g.input('time', [batch, widths[0]]), g.input('text', [batch, tokens, states])];
  let emb = unet.silu(unet.linear('unet.time_embedding.linear_1', sinusoid, widths[0], time));
  emb = unet.silu(unet.linear('unet.time_embedding.linear_2', emb, time, time));
  let x = unet.conv('unet.conv_in', sample, widths[0]);
  const skips = [x];
  config.down_block_types.forEach((type, level) => {
    const block = `unet.down_blocks.${level}`;
    for (let index = 0; index < config.layers_per_block; index++) {
      x = unet.resnet(`${block}.resnets.${index}`, x, widths[level], emb);
      if (type.startsWith('CrossAttn')) x = unet.transformer(`${block}.attentions.${index}`, x, text);
      skips.push(x);
    }
    if (level === widths.length - 1) return;
    x = unet.conv(`${block}.downsamplers.0.conv`, x, widths[level], { stride: 2 });
    skips.push(x);
  });
  x = unet.resnet('unet.mid_block.resnets.0', x, widths.at(-1), emb);
  x = unet.transformer('unet.mid_block.attentions.0', x, text);
  x = unet.resnet('unet.mid_block.resnets.1', x, widths.at(-1), emb);
  config.up_block_types.forEach((type, index) => {
    const [block, width] = [`unet.up_blocks.${index}`, widths.at(-1 - index)];
    for (let layer = 0; layer <= config.layers_per_block; layer++) {
      const skip = skips.pop();
      x = { ...x, c: x.c + skip.c, name: g.node('Concat', [x.name, skip.name], { axis: 1 }) };
      x = unet.resnet(`${block}.resnets.${layer}`, x, width, emb);
      if (type.startsWith('CrossAttn')) x = unet.transformer(`${block}.attentions.${layer}`, x, text);
    }
    if (index === widths.length - 1) return;
    const doubled = g.node('Resize', [x.name, '', g.floats([1, 1, 2, 2])], {
      ...{ mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    });
    x = unet.conv(`${block}.upsamplers.0.conv`, { ...x, name: doubled, h: 2 * x.h, w: 2 * x.w }, x.c);
  });
  x = unet.conv(
    'unet.conv_out',
    { ...x, name: unet.silu(unet.norm('unet.conv_norm_out.', x, 1e-5)) },
    config.out_channels,
  );
  return g.model(x.name, [batch, config.out_channels, edge, edge]);
}
