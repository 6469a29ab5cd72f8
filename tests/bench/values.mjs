/** The values of benchmark cases, and their layouts. */

/** Returns reproducible values of a tensor, identical to `numbers` in crate/src/bench/cases.rs. */
export function numbers(name, count, inner) {
  let seed = 0x811c9dc5;
  for (const letter of name) seed = Math.imul(seed ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  const scale = inner ? Math.fround(Math.sqrt(Math.fround(3 / inner))) : 1;
  const shift = Math.imul(seed, 0x9e3779b9);
  return Float32Array.from({ length: count }, (_, i) => {
    const word = (Math.imul(i + 1, 2654435761) + shift) >>> 0;
    return ((word >>> 8) / 8388608 - 1) * scale;
  });
}

/** Transposes (outer, rows, columns) to (outer, columns, rows). */
export function transposed(data, outer, rows, columns) {
  const out = new Float32Array(data.length);
  for (let o = 0; o < outer; o++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) out[(o * columns + c) * rows + r] = data[(o * rows + r) * columns + c];
  return out;
}

const size = (dims) => dims.reduce((a, b) => a * b, 1);

/** Returns our values of an input in PyTorch's layout: (B, H, W, C) in ours is (B, C, H, W). */
export function inputValues(name, dims) {
  if (dims.length !== 4) return numbers(name, size(dims), dims.length === 2 ? dims[1] : undefined);
  return transposed(numbers(name, size(dims)), dims[0], dims[2] * dims[3], dims[1]);
}

/**
 * Returns our values of a weight in PyTorch's layout, and in ONNX's for matrices: (O, H, W, I) in ours is (O, I, H, W),
 * and (O, I) is (I, O).
 */
export function weightValues(name, dims) {
  const isMatrix = dims.length === 2;
  if (dims.length < 2) return numbers(name, size(dims));
  const [rows, columns, pixels] = isMatrix ? [dims[1], dims[0], 1] : [dims[0], dims[1], dims[2] * dims[3]];
  const ours = numbers(name, size(dims), columns * pixels);
  return isMatrix ? transposed(ours, 1, rows, columns) : transposed(ours, rows, pixels, columns);
}
