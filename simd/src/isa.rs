//! Compilation of a function for several instruction sets, and its selection at run time.

/// Defines a function whose body is compiled for the target's baseline, which has 128-bit vectors (SSE2, NEON, simd128),
/// and on x86-64 for AVX2 with FMA as well. In the body, `FMA` says whether fused multiply-adds are instructions.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "those of the function")]
            fn body<const FMA: bool>($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "those of the function")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    body::<true>($($argument),*)
                }
                if $crate::isa::has_avx2() {
                    // SAFETY: the processor has AVX2 and FMA.
                    return unsafe { avx2($($argument),*) };
                }
            }
            body::<{ cfg!(target_arch = "aarch64") }>($($argument),*)
        }
    };
}
pub(crate) use vectorized;

/// Returns whether the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Returns whether kernels are compiled for 256-bit vectors on this processor.
pub(crate) fn has_wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_avx2();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Returns a · b + c, fused if `FMA`.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
