// Multi-head attention, softmax(Q Kᵀ / sqrt(d)) V per head; see ops/attention.rs. Does not materialize the score
// matrix: keys are processed in blocks, with a running maximum and sum per query (online softmax, Milakov and
// Gimelshein 2018; FlashAttention, Dao et al. 2022).

// One workgroup per 4 * ROWS queries of a head and batch item, of ROWS x COLUMNS invocations. Both products, Q Kᵀ and
// P V, are computed like those of tile.wgsl: each invocation keeps 4 queries x 8 columns in registers, first of scores,
// then of outputs, which is why a block has as many keys as there are padded channels. Tiles of DEPTH channels, then
// of DEPTH keys, are in workgroup memory, with a vec4 of padding per depth.

// One launch covers the keys from `first_key` up to `end_key`, continuing the online softmax of the launch before;
// attention_state.wgsl or attention_no_state.wgsl comes first. q, k and v may be parts of a single tensor: rows of q
// are `q_stride` apart, rows of k and v `kv_stride`. k and v start at `k_offset` and `v_offset` within their rows.
struct Params {
    queries: u32, keys: u32, heads: u32, scale: f32, head_dim: u32, q_stride: u32, kv_stride: u32, k_offset: u32, v_offset: u32,
    first_key: u32, end_key: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

override SIZE: u32 = 40; // head dimension
override ROWS: u32 = 12;
override COLUMNS: u32 = 5; // SIZE / 8, rounded up
override DEPTH: u32 = 20; // a multiple of 4
override CAUSAL: bool = false;
override THREADS: u32 = 60; // ROWS * COLUMNS
override ROW_STRIDE: u32 = ROWS + 1;
override COLUMN_STRIDE: u32 = 2 * COLUMNS + 1;

const LOG2_E: f32 = 1.4426950408889634;

var<workgroup> tile_rows: array<vec4<f32>, DEPTH * ROW_STRIDE>; // 4 queries at one channel or key
var<workgroup> tile_columns: array<vec4<f32>, DEPTH * COLUMN_STRIDE>; // 4 keys at one channel, or 4 channels at one key

// Four queries, one per component, at 2 x 4 columns.
struct Sums { a: mat4x4<f32>, b: mat4x4<f32> }

// Adds the product of four queries and 2 x 4 columns at one depth.
fn multiply_depth(sums: Sums, row: u32, column: u32) -> Sums {
    let x = tile_rows[row];
    let y = tile_columns[column];
    let z = tile_columns[column + COLUMNS];
    return Sums(
        sums.a + mat4x4(x * y.x, x * y.y, x * y.z, x * y.w),
        sums.b + mat4x4(x * z.x, x * z.y, x * z.z, x * z.w),
    );
}

// Adds the product of the tiles at the first `depths`, a multiple of 4.
fn multiply_tiles(sums: Sums, first_row: u32, first_column: u32, depths: u32) -> Sums {
    var result = sums;
    var row = first_row;
    var column = first_column;
    for (var depth = 0u; depth < depths; depth += 4u) {
        result = multiply_depth(result, row, column);
        result = multiply_depth(result, row + ROW_STRIDE, column + COLUMN_STRIDE);
        result = multiply_depth(result, row + 2u * ROW_STRIDE, column + 2u * COLUMN_STRIDE);
        result = multiply_depth(result, row + 3u * ROW_STRIDE, column + 3u * COLUMN_STRIDE);
        row += 4u * ROW_STRIDE;
        column += 4u * COLUMN_STRIDE;
    }
    return result;
}

// Exchange of a vec4 per invocation, in the tile that has room for one from each.
fn share(at: u32, values: vec4<f32>) {
    if COLUMNS <= DEPTH { tile_rows[at] = values; } else { tile_columns[at] = values; }
}
fn shared_by(at: u32) -> vec4<f32> {
    if COLUMNS <= DEPTH { return tile_rows[at]; }
    return tile_columns[at];
}

fn max_columns(scores: mat4x4<f32>) -> vec4<f32> {
    return max(max(scores[0], scores[1]), max(scores[2], scores[3]));
}

fn exp_columns(scores: mat4x4<f32>, row_max: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(exp2(scores[0] - row_max), exp2(scores[1] - row_max), exp2(scores[2] - row_max), exp2(scores[3] - row_max));
}

fn scale_rows(sums: mat4x4<f32>, factors: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(sums[0] * factors, sums[1] * factors, sums[2] * factors, sums[3] * factors);
}

// Masks the scores of four keys from `key` on that are not below a query's limit.
fn mask_columns(scores: mat4x4<f32>, key: u32, limits: vec4<u32>) -> mat4x4<f32> {
    let masked = vec4(MASKED);
    return mat4x4(
        select(masked, scores[0], vec4(key) < limits),
        select(masked, scores[1], vec4(key + 1u) < limits),
        select(masked, scores[2], vec4(key + 2u) < limits),
        select(masked, scores[3], vec4(key + 3u) < limits),
    );
}

// Loads DEPTH channels from `channel` on of the queries from `first` on, transposed and scaled. Tokens past the end
// repeat the last one: such keys are masked, such queries are not stored.
fn load_queries(local: u32, first: u32, channel: u32, base: u32) {
    for (var i = local; i < ROWS * (DEPTH / 4u); i += THREADS) {
        let d = i % (DEPTH / 4u);
        let row = i / (DEPTH / 4u);
        let c = channel + 4u * d;
        if c < SIZE {
            let tokens = min(first + 4u * row + vec4(0u, 1u, 2u, 3u), vec4(params.queries - 1u));
            let at = base + tokens * params.q_stride + c;
            let left = SIZE - c;
            let values = transpose(mat4x4(load_q(at.x, left), load_q(at.y, left), load_q(at.z, left), load_q(at.w, left)));
            let to = 4u * d * ROW_STRIDE + row;
            let factor = params.scale * LOG2_E;
            tile_rows[to] = values[0] * factor;
            tile_rows[to + ROW_STRIDE] = values[1] * factor;
            tile_rows[to + 2u * ROW_STRIDE] = values[2] * factor;
            tile_rows[to + 3u * ROW_STRIDE] = values[3] * factor;
        }
    }
}

// Loads DEPTH channels from `channel` on of the keys from `first` on, transposed.
fn load_keys(local: u32, first: u32, channel: u32, base: u32) {
    for (var i = local; i < 2u * COLUMNS * (DEPTH / 4u); i += THREADS) {
        let d = i % (DEPTH / 4u);
        let column = i / (DEPTH / 4u);
        let c = channel + 4u * d;
        if c < SIZE {
            let tokens = min(first + 4u * column + vec4(0u, 1u, 2u, 3u), vec4(params.keys - 1u));
            let at = base + tokens * params.kv_stride + c;
            let left = SIZE - c;
            let values = transpose(mat4x4(load_k(at.x, left), load_k(at.y, left), load_k(at.z, left), load_k(at.w, left)));
            let to = 4u * d * COLUMN_STRIDE + column;
            tile_columns[to] = values[0];
            tile_columns[to + COLUMN_STRIDE] = values[1];
            tile_columns[to + 2u * COLUMN_STRIDE] = values[2];
            tile_columns[to + 3u * COLUMN_STRIDE] = values[3];
        }
    }
}

// Loads all channels of DEPTH values from `first` on.
fn load_values(local: u32, first: u32, base: u32) {
    for (var i = local; i < 2u * COLUMNS * DEPTH; i += THREADS) {
        let c = i % (2u * COLUMNS);
        let key = i / (2u * COLUMNS);
        if 4u * c < SIZE {
            let at = base + min(first + key, params.keys - 1u) * params.kv_stride + 4u * c;
            tile_columns[key * COLUMN_STRIDE + c] = load_v(at, SIZE - 4u * c);
        }
    }
}

// Stores the weights of four keys in the tile of DEPTH keys from `first` on, if they belong there.
fn store_weights(weights: mat4x4<f32>, key: u32, first: u32, row: u32) {
    if key >= first && key < first + DEPTH {
        let at = (key - first) * ROW_STRIDE + row;
        tile_rows[at] = weights[0];
        tile_rows[at + ROW_STRIDE] = weights[1];
        tile_rows[at + 2u * ROW_STRIDE] = weights[2];
        tile_rows[at + 3u * ROW_STRIDE] = weights[3];
    }
}

// Loads and stores four channels of four queries' outputs, one query per component; `at` are their first elements.
fn load_outputs(at: vec4<u32>, channel: u32) -> mat4x4<f32> {
    if channel >= SIZE { return mat4x4<f32>(); }
    let c = at + channel;
    let left = SIZE - channel;
    return transpose(mat4x4(load_output(c.x, left), load_output(c.y, left), load_output(c.z, left), load_output(c.w, left)));
}
fn store_outputs(at: vec4<u32>, channel: u32, count: u32, sums: mat4x4<f32>) {
    if channel >= SIZE { return; }
    let values = transpose(sums);
    if count > 0u { store_output(at.x + channel, SIZE - channel, values[0]); }
    if count > 1u { store_output(at.y + channel, SIZE - channel, values[1]); }
    if count > 2u { store_output(at.z + channel, SIZE - channel, values[2]); }
    if count > 3u { store_output(at.w + channel, SIZE - channel, values[3]); }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = local / COLUMNS;
    let column = local % COLUMNS;
    let first = group.x * 4u * ROWS;
    let query = first + 4u * row;
    let queries = min(query + vec4(0u, 1u, 2u, 3u), vec4(params.queries - 1u));
    let limits = select(vec4(params.keys), queries + 1u, CAUSAL);
    let end = select(params.end_key, min(params.end_key, first + 4u * ROWS), CAUSAL);
    let keys = 8u * COLUMNS;
    let q_base = group.z * params.queries;
    let kv_base = group.z * params.keys;
    let q_head = q_base * params.q_stride + group.y * SIZE;
    let k_head = kv_base * params.kv_stride + params.k_offset + group.y * SIZE;
    let v_head = kv_base * params.kv_stride + params.v_offset + group.y * SIZE;
    let output_at = (q_base + queries) * (params.heads * SIZE) + group.y * SIZE;
    let state_at = (group.z * params.heads + group.y) * ((params.queries + 3u) / 4u) + min(query, params.queries - 1u) / 4u;

    var outputs = Sums();
    var row_max = vec4(MASKED);
    var row_sum = vec4(0.0); // of this invocation's columns
    if params.first_key > 0u {
        outputs = Sums(load_outputs(output_at, 4u * column), load_outputs(output_at, 4u * (column + COLUMNS)));
        let state = load_state(state_at);
        row_max = state.row_max;
        row_sum = select(vec4(0.0), state.row_sum, column == 0u);
    }
    for (var start = params.first_key; start < end; start += keys) {
        var scores = Sums();
        for (var channel = 0u; channel < SIZE; channel += DEPTH) {
            load_queries(local, first, channel, q_head);
            load_keys(local, start, channel, k_head);
            workgroupBarrier();
            scores = multiply_tiles(scores, row, column, min(DEPTH, (SIZE - channel + 3u) / 4u * 4u));
            workgroupBarrier();
        }
        let key_a = start + 4u * column;
        let key_b = key_a + 4u * COLUMNS;
        if CAUSAL || start + keys > params.keys {
            scores = Sums(mask_columns(scores.a, key_a, limits), mask_columns(scores.b, key_b, limits));
        }
        share(local, max(max_columns(scores.a), max_columns(scores.b)));
        workgroupBarrier();
        var new_max = row_max;
        for (var i = 0u; i < COLUMNS; i++) { new_max = max(new_max, shared_by(row * COLUMNS + i)); }
        workgroupBarrier();
        let rescale = exp2(row_max - new_max);
        row_max = new_max;
        let weights = Sums(exp_columns(scores.a, row_max), exp_columns(scores.b, row_max));
        row_sum = row_sum * rescale + (weights.a + weights.b) * vec4(1.0);
        outputs = Sums(scale_rows(outputs.a, rescale), scale_rows(outputs.b, rescale));
        for (var key = 0u; key < min(keys, end - start); key += DEPTH) {
            store_weights(weights.a, 4u * column, key, row);
            store_weights(weights.b, 4u * (column + COLUMNS), key, row);
            load_values(local, start + key, v_head);
            workgroupBarrier();
            outputs = multiply_tiles(outputs, row, column, min(DEPTH, keys - key));
            workgroupBarrier();
        }
    }

    share(local, row_sum);
    workgroupBarrier();
    row_sum = vec4(0.0);
    for (var i = 0u; i < COLUMNS; i++) { row_sum += shared_by(row * COLUMNS + i); }
    if query >= params.queries { return; }
    if params.end_key < params.keys {
        if column == 0u { store_state(state_at, RowState(row_max, row_sum)); }
    } else {
        outputs = Sums(scale_rows(outputs.a, 1.0 / row_sum), scale_rows(outputs.b, 1.0 / row_sum));
    }
    store_outputs(output_at, 4u * column, params.queries - query, outputs.a);
    store_outputs(output_at, 4u * (column + COLUMNS), params.queries - query, outputs.b);
}
