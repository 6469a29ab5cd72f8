//! Turns stored numbers of any type into f32, and f32 into the types that base models are stored in.
//!
//! f8 values follow PyTorch: E4M3 is the "FN" form (no infinity, NaN at all ones), the two FNUZ
//! forms have one more exponent bias and NaN in the place of negative zero.

use super::{Dtype, FormatError};
use crate::num::to_f32;
use half::{bf16, f16};

/// Every number of `bytes`, little-endian, as f32.
///
/// Integers above 2^24 and f64 are rounded to the nearest f32. Complex numbers, F4, F6 and
/// scale-only E8M0 are refused: no adapter or base model holds them.
pub fn widen(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, FormatError> {
    macro_rules! each {
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
        Dtype::F32 => each!(f32, |x| x),
        Dtype::F16 => each!(u16, half_float),
        Dtype::BF16 => each!(u16, |bits| f32::from_bits(u32::from(bits) << 16)),
        Dtype::F64 => each!(f64, to_f32),
        Dtype::F8_E4M3 => table(bytes, |byte| small_float(byte, 3, 7, Special::OnlyNan)),
        Dtype::F8_E5M2 => table(bytes, |byte| small_float(byte, 2, 15, Special::Ieee)),
        Dtype::F8_E4M3FNUZ => table(bytes, |byte| small_float(byte, 3, 8, Special::NegativeZeroIsNan)),
        Dtype::F8_E5M2FNUZ => table(bytes, |byte| small_float(byte, 2, 16, Special::NegativeZeroIsNan)),
        Dtype::BOOL => bytes.iter().map(|&byte| f32::from(byte != 0)).collect(),
        Dtype::U8 => each!(u8, f32::from),
        Dtype::I8 => each!(i8, f32::from),
        Dtype::U16 => each!(u16, f32::from),
        Dtype::I16 => each!(i16, f32::from),
        Dtype::U32 => each!(u32, |x| x as f32),
        Dtype::I32 => each!(i32, |x| x as f32),
        Dtype::U64 => each!(u64, |x| x as f32),
        Dtype::I64 => each!(i64, |x| x as f32),
        other => return Err(FormatError::NoNumbers(other)),
    })
}

/// `numbers` in `dtype` (F32, F16, BF16 or F64), rounded to nearest, ties to even.
///
/// A finite number that would become infinite is an error that names tensor `name` and the number.
pub fn narrow(dtype: Dtype, numbers: &[f32], name: &str) -> Result<Vec<u8>, FormatError> {
    // The first numbers that round to infinity lie half a step above the largest finite ones.
    let largest = match dtype {
        Dtype::F16 => 65520f32.next_down(),
        Dtype::BF16 => f32::from_bits(0x7f7f_8000).next_down(),
        Dtype::F32 | Dtype::F64 => f32::MAX,
        other => return Err(FormatError::NoNumbers(other)),
    };
    if let Some(&value) = numbers.iter().find(|x| x.is_finite() && x.abs() > largest) {
        return Err(FormatError::Overflow { name: name.into(), value, dtype });
    }
    Ok(match dtype {
        Dtype::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        Dtype::BF16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        Dtype::F64 => numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

/// An IEEE half by its bits. Without branches, so that compilers do several at once; subnormal ones
/// are made of normal numbers, since arithmetic on subnormal f32 is slow.
fn half_float(bits: u16) -> f32 {
    const SMALLEST_NORMAL: u32 = 113 << 23; // 2^-14
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let normal = magnitude + (112 << 23);
    let special = magnitude | 0xff << 23;
    let tiny = (f32::from_bits(magnitude + SMALLEST_NORMAL) - f32::from_bits(SMALLEST_NORMAL)).to_bits();
    let number = if magnitude < 1 << 23 { tiny } else { normal };
    let number = if magnitude >= 31 << 23 { special } else { number };
    f32::from_bits(number | sign)
}

fn table(bytes: &[u8], value: impl Fn(u8) -> f32) -> Vec<f32> {
    let values: Vec<f32> = (0..=255).map(value).collect();
    bytes.iter().map(|&byte| values[usize::from(byte)]).collect()
}

/// What an 8-bit float keeps its highest exponent or its negative zero for.
#[derive(PartialEq)]
enum Special {
    Ieee,
    OnlyNan,
    NegativeZeroIsNan,
}

fn small_float(byte: u8, mantissa_bits: u32, bias: i32, special: Special) -> f32 {
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

    /// Landmarks of the OCP 8-bit floating point specification (table 2) and of the FNUZ paper.
    #[test]
    fn eight_bit_floats_have_their_published_landmarks() {
        let check = |dtype, byte: u8, expect: f32| {
            let got = widen(dtype, &[byte]).expect("a number type")[0];
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
    fn integers_and_halves_keep_their_values() {
        assert_eq!(widen(Dtype::I64, &(-3i64).to_le_bytes()).expect("ints"), [-3.0]);
        assert_eq!(widen(Dtype::BOOL, &[0, 1, 7]).expect("bools"), [0.0, 1.0, 1.0]);
        assert_eq!(widen(Dtype::BF16, &[0x80, 0x3f]).expect("bf16"), [1.0]);
        assert_eq!(widen(Dtype::F16, &[0x01, 0x00]).expect("f16"), [2f32.powi(-24)]);
        assert!(widen(Dtype::C64, &[0; 8]).is_err());
    }

    #[test]
    fn every_half_is_what_the_half_crate_says() {
        for bits in 0..=u16::MAX {
            let (got, want) = (half_float(bits), f16::from_bits(bits).to_f32());
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:#x}: {got}, not {want}");
        }
    }

    #[test]
    fn narrowing_rounds_to_even_and_refuses_what_does_not_fit() {
        assert_eq!(narrow(Dtype::BF16, &[1.0 + 2f32.powi(-8)], "w").expect("fits"), [0x80, 0x3f]);
        assert_eq!(narrow(Dtype::F16, &[65519.0], "w").expect("fits"), [0xff, 0x7b]);
        assert_eq!(narrow(Dtype::F16, &[f32::INFINITY], "w").expect("was infinite before"), [0x00, 0x7c]);
        let error = narrow(Dtype::F16, &[1.0, -65520.0], "w").expect_err("too large");
        assert_eq!(error.class(), "overflow");
        assert!(error.to_string().contains("-65520"), "{error}");
    }
}
