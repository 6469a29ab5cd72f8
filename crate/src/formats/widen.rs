//! Conversion of stored dtypes to f32, and of f32 to the dtypes of base models.
//!
//! f8 values follow PyTorch: E4M3 is the "FN" variant (no infinity, NaN at all ones); the exponent bias of the two FNUZ
//! variants is larger by one, and negative zero is NaN.

use super::{Dtype, FormatError};
use crate::num::to_f32;
use half::{bf16, f16};

/// Converts the little-endian elements in `bytes` to f32.
///
/// Integers above 2^24 and f64 are rounded to the nearest f32. Complex numbers, F4, F6 and the scale-only E8M0 are an
/// error: adapters and base models do not use them.
pub fn widen(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, FormatError> {
    macro_rules! convert {
        ($type:ty, $convert:expr) => {
            bytes
                .as_chunks::<{ size_of::<$type>() }>()
                .0
                .iter()
                .map(|chunk| {
                    let convert: fn($type) -> f32 = $convert;
                    convert(<$type>::from_le_bytes(*chunk))
                })
                .collect()
        };
    }
    Ok(match dtype {
        // As do the uploads to a GPU, this takes a little-endian processor for granted.
        Dtype::F32 => bytemuck::pod_collect_to_vec(bytes.as_chunks::<4>().0),
        Dtype::F16 => convert!(u16, f16_to_f32),
        Dtype::BF16 => convert!(u16, |bits| f32::from_bits(u32::from(bits) << 16)),
        Dtype::F64 => convert!(f64, to_f32),
        Dtype::F8_E4M3 => lookup(bytes, |byte| f8_to_f32(byte, 3, 7, Special::OnlyNan)),
        Dtype::F8_E5M2 => lookup(bytes, |byte| f8_to_f32(byte, 2, 15, Special::Ieee)),
        Dtype::F8_E4M3FNUZ => lookup(bytes, |byte| f8_to_f32(byte, 3, 8, Special::NegativeZeroIsNan)),
        Dtype::F8_E5M2FNUZ => lookup(bytes, |byte| f8_to_f32(byte, 2, 16, Special::NegativeZeroIsNan)),
        Dtype::BOOL => bytes.iter().map(|&byte| f32::from(byte != 0)).collect(),
        Dtype::U8 => convert!(u8, f32::from),
        Dtype::I8 => convert!(i8, f32::from),
        Dtype::U16 => convert!(u16, f32::from),
        Dtype::I16 => convert!(i16, f32::from),
        Dtype::U32 => convert!(u32, |x| x as f32),
        Dtype::I32 => convert!(i32, |x| x as f32),
        Dtype::U64 => convert!(u64, |x| x as f32),
        Dtype::I64 => convert!(i64, |x| x as f32),
        other => return Err(FormatError::UnsupportedDtype(other)),
    })
}

/// Converts f32 elements to `dtype` (F32, F16, BF16 or F64), rounded to nearest, ties to even.
///
/// A finite value that would become infinite is an error with the tensor's `name` and the value.
pub fn narrow(dtype: Dtype, elements: &[f32], name: &str) -> Result<Vec<u8>, FormatError> {
    // Rounding to infinity starts half a step above the largest finite value.
    let largest = match dtype {
        Dtype::F16 => 65520f32.next_down(),
        Dtype::BF16 => f32::from_bits(0x7f7f_8000).next_down(),
        Dtype::F32 | Dtype::F64 => f32::MAX,
        other => return Err(FormatError::UnsupportedDtype(other)),
    };
    if let Some(&value) = elements.iter().find(|x| x.is_finite() && x.abs() > largest) {
        return Err(FormatError::Overflow { name: name.into(), value, dtype });
    }
    Ok(match dtype {
        Dtype::F16 => elements.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        Dtype::BF16 => elements.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        Dtype::F64 => elements.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
        _ => elements.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

/// Converts the bits of an IEEE f16 to f32. Branch-free, so that it vectorizes; subnormals are computed from normal
/// numbers, since arithmetic on subnormal f32 is slow.
fn f16_to_f32(bits: u16) -> f32 {
    const SMALLEST_NORMAL: u32 = 113 << 23; // 2^-14
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let normal = magnitude + (112 << 23);
    let special = magnitude | 0xff << 23;
    let subnormal = (f32::from_bits(magnitude + SMALLEST_NORMAL) - f32::from_bits(SMALLEST_NORMAL)).to_bits();
    let bits = if magnitude < 1 << 23 { subnormal } else { normal };
    let bits = if magnitude >= 31 << 23 { special } else { bits };
    f32::from_bits(bits | sign)
}

fn lookup(bytes: &[u8], value: impl Fn(u8) -> f32) -> Vec<f32> {
    let values: Vec<f32> = (0..=255).map(value).collect();
    bytes.iter().map(|&byte| values[usize::from(byte)]).collect()
}

/// Encoding of the special values of an 8-bit float.
#[derive(PartialEq)]
enum Special {
    Ieee,
    OnlyNan,
    NegativeZeroIsNan,
}

fn f8_to_f32(byte: u8, mantissa_bits: u32, bias: i32, special: Special) -> f32 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let magnitude = byte & 0x7f;
    let mantissa = magnitude & ((1 << mantissa_bits) - 1);
    let exponent = i32::from(magnitude >> mantissa_bits);
    match special {
        Special::NegativeZeroIsNan if byte == 0x80 => return f32::NAN,
        Special::OnlyNan if magnitude == 0x7f => return f32::NAN,
        Special::Ieee if exponent == 31 => return if mantissa == 0 { sign * f32::INFINITY } else { f32::NAN },
        _ => {}
    }
    let fraction = f32::from(mantissa) / (1 << mantissa_bits) as f32;
    match exponent {
        0 => sign * fraction * 2f32.powi(1 - bias),
        _ => sign * (1.0 + fraction) * 2f32.powi(exponent - bias),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the OCP 8-bit floating point specification (table 2) and from the FNUZ paper.
    #[test]
    fn f8_matches_the_published_values() {
        let check = |dtype, byte: u8, expect: f32| {
            let got = widen(dtype, &[byte]).expect("a supported dtype")[0];
            assert!(got == expect || got.is_nan() && expect.is_nan(), "{dtype} {byte:#x}: {got}, not {expect}");
        };
        check(Dtype::F8_E4M3, 0x7e, 448.0);
        check(Dtype::F8_E4M3, 0x7f, f32::NAN);
        check(Dtype::F8_E4M3, 0x01, 2f32.powi(-9));
        check(Dtype::F8_E4M3, 0xb8, -1.0);
        check(Dtype::F8_E5M2, 0x7b, 57344.0);
        check(Dtype::F8_E5M2, 0xfc, f32::NEG_INFINITY);
        check(Dtype::F8_E5M2, 0x7d, f32::NAN);
        check(Dtype::F8_E5M2, 0x01, 2f32.powi(-16));
        check(Dtype::F8_E4M3FNUZ, 0x7f, 240.0);
        check(Dtype::F8_E4M3FNUZ, 0x80, f32::NAN);
        check(Dtype::F8_E5M2FNUZ, 0x7f, 57344.0);
    }

    #[test]
    fn integers_and_f16_keep_their_values() {
        assert_eq!(widen(Dtype::I64, &(-3i64).to_le_bytes()).expect("ints"), [-3.0]);
        assert_eq!(widen(Dtype::BOOL, &[0, 1, 7]).expect("bools"), [0.0, 1.0, 1.0]);
        assert_eq!(widen(Dtype::BF16, &[0x80, 0x3f]).expect("bf16"), [1.0]);
        assert_eq!(widen(Dtype::F16, &[0x01, 0x00]).expect("f16"), [2f32.powi(-24)]);
        assert!(widen(Dtype::C64, &[0; 8]).is_err());
    }

    #[test]
    fn every_f16_matches_the_half_crate() {
        for bits in 0..=u16::MAX {
            let (got, want) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:#x}: {got}, not {want}");
        }
    }

    #[test]
    fn narrowing_rounds_to_even_and_rejects_overflow() {
        assert_eq!(narrow(Dtype::BF16, &[1.0 + 2f32.powi(-8)], "w").expect("fits"), [0x80, 0x3f]);
        assert_eq!(narrow(Dtype::F16, &[65519.0], "w").expect("fits"), [0xff, 0x7b]);
        assert_eq!(narrow(Dtype::F16, &[f32::INFINITY], "w").expect("was infinite before"), [0x00, 0x7c]);
        let error = narrow(Dtype::F16, &[1.0, -65520.0], "w").expect_err("too large");
        assert_eq!(error.class(), "overflow");
        assert!(error.to_string().contains("-65520"), "{error}");
    }
}
