//! Compilation of a function for several instruction sets, and its selection at run time.

/// Defines a function whose body is compiled for the target's baseline, which has 128-bit vectors (SSE2, NEON, simd128),
/// and on x86-64 for AVX2 with FMA and for AVX-512 as well. In the body, `VECTOR` is the number of f32 of a vector.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "those of the function")]
            fn body<const VECTOR: usize>($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                #[allow(clippy::too_many_arguments, reason = "those of the function")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    body::<16>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "those of the function")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    body::<8>($($argument),*)
                }
                match $crate::isa::lanes() {
                    // SAFETY: the processor has AVX-512.
                    16 => return unsafe { avx512($($argument),*) },
                    // SAFETY: the processor has AVX2 and FMA.
                    8 => return unsafe { avx2($($argument),*) },
                    _ => {}
                }
            }
            body::<4>($($argument),*)
        }
    };
}
pub(crate) use vectorized;

/// Returns the number of f32 of the vectors that kernels use on this processor.
#[inline]
pub(crate) fn lanes() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return 16;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return 8;
        }
    }
    4
}

/// Returns a · b + c, fused if vectors of this length have an instruction for it.
#[inline(always)]
pub(crate) fn mul_add<const VECTOR: usize>(a: f32, b: f32, c: f32) -> f32 {
    if VECTOR > 4 || cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}
