//! NumPy's `SeedSequence`: independent seeds from a seed and a position in a tree.
//!
//! Source: O'Neill, "Developing a seed_seq alternative", 2015; numpy's `bit_generator.pyx`.

use crate::num::low_word;

/// Words of the mixing pool.
const POOL: usize = 24;

/// Returns the first `n` 32-bit words of the sequence of a seed and a spawn key, with a pool of 24 words.
pub fn seed_words(seed: u64, spawn_key: &[u32], n: usize) -> Vec<u32> {
    let mut entropy = vec![low_word(seed)];
    entropy.extend((seed >> 32 > 0).then(|| low_word(seed >> 32)));
    if !spawn_key.is_empty() {
        entropy.resize(POOL, 0);
        entropy.extend(spawn_key);
    }
    let mut hash = Hash { constant: 0x43b0_d7e5, multiplier: 0x931e_8875 };
    let mut pool: Vec<u32> = (0..POOL).map(|i| hash.next(entropy.get(i).copied().unwrap_or(0))).collect();
    for from in 0..POOL {
        for to in (0..POOL).filter(|to| *to != from) {
            pool[to] = mixed(pool[to], hash.next(pool[from]));
        }
    }
    for word in entropy.into_iter().skip(POOL) {
        pool.iter_mut().for_each(|to| *to = mixed(*to, hash.next(word)));
    }
    let mut hash = Hash { constant: 0x8b51_f9dd, multiplier: 0x58f3_8ded };
    pool.into_iter().cycle().take(n).map(|word| hash.next(word)).collect()
}

/// A hash whose constant changes with every word.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn next(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> 16
    }
}

/// Mixes two words of the pool.
fn mixed(a: u32, b: u32) -> u32 {
    let sum = a.wrapping_mul(0xca01_f9dd).wrapping_sub(b.wrapping_mul(0x4973_f715));
    sum ^ sum >> 16
}
