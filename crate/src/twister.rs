//! The Mersenne twister MT19937, the generator behind PyTorch's noise on the CPU and Python's `random`.
//!
//! Source: Matsumoto and Nishimura, "Mersenne Twister", 1998, and their reference initializations.

use crate::num::low_word;

/// State length, and the offset of the words that are mixed.
const STATE: usize = 624;
const MIDDLE: usize = 397;

/// A seeded generator of 32-bit words.
#[derive(Debug, Clone)]
pub struct Twister {
    state: [u32; STATE],
    next: usize,
}

impl Twister {
    /// Creates the generator from one word, as PyTorch does.
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; STATE];
        for j in 1..STATE {
            let last = state[j - 1];
            state[j] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(low_word(j as u64));
        }
        Self { state, next: STATE }
    }

    /// Creates the generator from a list of words that is not empty, as Python does.
    pub fn of_words(key: &[u32]) -> Self {
        let mut twister = Self::new(19_650_218);
        let state = &mut twister.state;
        let mut i = 1;
        let mut mixed = |factor: u32, add: u32, subtract: bool| {
            let last = state[i - 1];
            let product = state[i] ^ (last ^ (last >> 30)).wrapping_mul(factor);
            let change = if subtract { low_word(i as u64).wrapping_neg() } else { 0 };
            state[i] = product.wrapping_add(add).wrapping_add(change);
            i += 1;
            if i == STATE {
                state[0] = state[STATE - 1];
                i = 1;
            }
        };
        for step in 0..STATE.max(key.len()) {
            let at = step % key.len();
            mixed(1_664_525, key[at].wrapping_add(low_word(at as u64)), false);
        }
        for _ in 1..STATE {
            mixed(1_566_083_941, 0, true);
        }
        state[0] = 0x8000_0000;
        twister
    }

    /// Returns the next word.
    pub fn word(&mut self) -> u32 {
        if self.next == STATE {
            self.twist();
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..STATE {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % STATE] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + MIDDLE) % STATE] ^ (y >> 1) ^ odd;
        }
    }
}
