//! Reproducible pseudo-random values, identical to `numbers` in make/ops.py.

/// Returns `count` values in (-1, 1) times `scale` plus `shift`, exact in f32.
pub fn numbers(seed: u32, count: usize, scale: f32, shift: f32) -> Vec<f32> {
    (0..count as u32)
        .map(|index| {
            let mut x = index.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503));
            for _ in 0..2 {
                x ^= x >> 16;
                x = x.wrapping_mul(0x045d_9f3b);
            }
            x ^= x >> 16;
            ((x >> 8) as f32 / 8_388_608.0 - 1.0) * scale + shift
        })
        .collect()
}
