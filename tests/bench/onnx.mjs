/** In-memory ONNX models of operations and a UNet block, to time onnxruntime-web on the same work. */
import protobuf from 'protobufjs';

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

  /** Adds a graph input. */
  input(name, dims) {
    this.inputs.push({ name, dims });
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
      return Number.isInteger(value) ? { name, i: value, type: 2 } : { name, f: value, type: 1 };
    });
    this.nodes.push({ input, output: [output], opType, attribute, domain });
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
      output: dims,
    };
  }
}

/** Returns a 3x3 convolution with bias on (1, c, h, h). */
export function conv({ edge, channels, outputs }) {
  const g = new Graph();
  const x = g.input('x', [1, channels, edge, edge]);
  const inputs = [x, g.input('w', [outputs, channels, 3, 3]), g.input('b', [outputs])];
  return g.model(g.node('Conv', inputs, { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }), [1, outputs, edge, edge]);
}

/** Returns (m, k) x (k, n), with the weight layout of ONNX exporters. */
export function matmul({ rows, inner, columns }) {
  const g = new Graph();
  return g.model(g.node('MatMul', [g.input('x', [1, rows, inner]), g.input('w', [inner, columns])]), [
    1,
    rows,
    columns,
  ]);
}

/**
 * Computes softmax(QKᵀ / sqrt d) V from (1, t, h d) with the operators that exporters write. The fused operator
 * (com.microsoft.MultiHeadAttention) is not used: on a software rasterizer its sums over more than 16 keys are wrong,
 * see docs/BENCHMARKS.md.
 */
function attend(g, [q, k, v], { tokens, seen, heads, size }) {
  const split = (x, count, perm) =>
    g.node('Transpose', [g.node('Reshape', [x, g.ints([1, count, heads, size])])], { perm });
  const rows = split(q, tokens, [0, 2, 1, 3]);
  const scores = g.node('MatMul', [rows, split(k, seen, [0, 2, 3, 1])]);
  const weights = g.node('Softmax', [g.node('Mul', [scores, g.floats([1 / Math.sqrt(size)])])], { axis: -1 });
  const mixed = g.node('MatMul', [weights, split(v, seen, [0, 2, 1, 3])]);
  return g.node('Reshape', [g.node('Transpose', [mixed], { perm: [0, 2, 1, 3] }), g.ints([1, tokens, heads * size])]);
}

/** Returns a model of one attention. */
export function attention({ tokens, heads, size }) {
  const g = new Graph();
  const inputs = ['q', 'k', 'v'].map((name) => g.input(name, [1, tokens, heads * size]));
  return g.model(attend(g, inputs, { tokens, seen: tokens, heads, size }), [1, tokens, heads * size]);
}

/** Returns a resnet and a transformer as in SD 1.5, on (1, c, h, h) with text states (1, t, d). */
export function block({ edge, channels, heads, tokens, states, time, groups }) {
  const g = new Graph();
  const [c, pixels] = [channels, edge * edge];
  const linear = (name, x, from, to, bias = true) => {
    const y = g.node('MatMul', [x, g.input(`${name}.weight`, [from, to])]);
    return bias ? g.node('Add', [y, g.input(`${name}.bias`, [to])]) : y;
  };
  const silu = (x) => g.node('Mul', [x, g.node('Sigmoid', [x])]);
  const groupNorm = (name, x, epsilon) => {
    const split = g.node('Reshape', [x, g.ints([1, groups, -1])]);
    const ones = g.floats(Array(groups).fill(1));
    const zeros = g.floats(Array(groups).fill(0));
    const normed = g.node('InstanceNormalization', [split, ones, zeros], { epsilon });
    const back = g.node('Reshape', [normed, g.ints([1, c, edge, edge])]);
    const scaled = g.node('Mul', [back, g.input(`${name}.weight`, [c, 1, 1])]);
    return g.node('Add', [scaled, g.input(`${name}.bias`, [c, 1, 1])]);
  };
  const layerNorm = (name, x) =>
    g.node('LayerNormalization', [x, g.input(`${name}.weight`, [c]), g.input(`${name}.bias`, [c])], { epsilon: 1e-5 });
  const conv3 = (name, x) =>
    g.node('Conv', [x, g.input(`${name}.weight`, [c, c, 3, 3]), g.input(`${name}.bias`, [c])], {
      kernel_shape: [3, 3],
      pads: [1, 1, 1, 1],
    });
  const mix = (name, x, from, seen, width) => {
    const [q, k, v] = [
      linear(`${name}.to_q`, x, c, c, false),
      linear(`${name}.to_k`, from, width, c, false),
      linear(`${name}.to_v`, from, width, c, false),
    ];
    const mixed = attend(g, [q, k, v], { tokens: pixels, seen, heads, size: c / heads });
    return linear(`${name}.to_out.0`, mixed, c, c);
  };

  const x = g.input('x', [1, c, edge, edge]);
  const emb = g.input('time', [1, time]);
  const text = g.input('text', [1, tokens, states]);
  let h = conv3('resnet.conv1', silu(groupNorm('resnet.norm1', x, 1e-5)));
  h = g.node('Add', [h, g.node('Reshape', [linear('resnet.time_emb_proj', emb, time, c), g.ints([1, c, 1, 1])])]);
  h = conv3('resnet.conv2', silu(groupNorm('resnet.norm2', h, 1e-5)));
  const resnet = g.node('Add', [x, h]);

  h = groupNorm('attention.norm', resnet, 1e-6);
  h = g.node('Reshape', [g.node('Transpose', [h], { perm: [0, 2, 3, 1] }), g.ints([1, pixels, c])]);
  h = linear('attention.proj_in', h, c, c);
  let normed = layerNorm('attention.transformer_blocks.0.norm1', h);
  h = g.node('Add', [h, mix('attention.transformer_blocks.0.attn1', normed, normed, pixels, c)]);
  normed = layerNorm('attention.transformer_blocks.0.norm2', h);
  h = g.node('Add', [h, mix('attention.transformer_blocks.0.attn2', normed, text, tokens, states)]);
  normed = layerNorm('attention.transformer_blocks.0.norm3', h);
  const ff = 'attention.transformer_blocks.0.ff.net';
  const wide = g.node('MatMul', [normed, g.input(`${ff}.0.proj.weight`, [c, 8 * c])]);
  const gated = g.node('BiasSplitGelu', [wide, g.input(`${ff}.0.proj.bias`, [8 * c])], {}, CONTRIB);
  h = g.node('Add', [h, linear(`${ff}.2`, gated, 4 * c, c)]);
  h = linear('attention.proj_out', h, c, c);
  h = g.node('Transpose', [g.node('Reshape', [h, g.ints([1, edge, edge, c])])], { perm: [0, 3, 1, 2] });
  return g.model(g.node('Add', [resnet, h]), [1, c, edge, edge]);
}
