// The online softmax's state of four queries between the launches of attention_untiled.wgsl, kept in scratch memory.

struct RowState { row_max: vec4<f32>, row_sum: vec4<f32> }

const MASKED: f32 = -3.4e38;

@group(0) @binding(5) var<storage, read_write> states: array<RowState>; // (B, heads, queries / 4)

fn load_state(at: u32) -> RowState {
    return states[at];
}
fn store_state(at: u32, state: RowState) {
    states[at] = state;
}
