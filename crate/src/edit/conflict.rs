//! Conflicts between files that change the same layer: the angle between their changes, and the elements in which they
//! have opposite signs.

use crate::linalg::{Dense, Factorization};
use serde::Serialize;
use ts_rs::TS;

/// Rows of a layer in which signs are compared, evenly spaced.
const SAMPLED_ROWS: usize = 64;

/// How the changes of several files to one layer fit together, at their strengths.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Conflict {
    /// Layer path.
    pub path: String,
    /// Number of files that change the layer.
    pub files: usize,
    /// Cosine similarity of the two most different changes; null if one is zero.
    pub cosine: Option<f64>,
    /// Share of the elements, of those that more than one file changes, in which two files have opposite signs; half of them
    /// in unrelated files. From up to 64 rows of the layer.
    pub opposite: f64,
}

impl Conflict {
    /// Compares the changes of a layer, each a factorization and its strength.
    pub fn of(path: String, terms: &[(Factorization, f32)]) -> Conflict {
        let mut lowest: Option<f64> = None;
        for (index, first) in terms.iter().enumerate() {
            for second in &terms[index + 1..] {
                if let Some(cosine) = cosine(first, second) {
                    lowest = Some(lowest.map_or(cosine, |lowest| lowest.min(cosine)));
                }
            }
        }
        Conflict { path, files: terms.len(), cosine: lowest, opposite: opposite_signs(terms) }
    }
}

/// Returns the cosine similarity of two changes; `None` if one is zero or not finite.
pub(super) fn cosine((a, scale_a): &(Factorization, f32), (b, scale_b): &(Factorization, f32)) -> Option<f64> {
    let sign = f64::from(scale_a.signum() * scale_b.signum());
    let norms = (a.dot(a) * b.dot(b)).sqrt();
    (norms > 0.0 && norms.is_finite() && *scale_a != 0.0 && *scale_b != 0.0)
        .then(|| (sign * a.dot(b) / norms).clamp(-1.0, 1.0))
}

fn opposite_signs(terms: &[(Factorization, f32)]) -> f64 {
    let rows = terms.first().map_or(0, |(term, _)| term.size().0);
    let sampled: Vec<usize> = (0..rows.min(SAMPLED_ROWS)).map(|at| at * rows / rows.min(SAMPLED_ROWS)).collect();
    let signs = |(term, strength): &(Factorization, f32)| -> Vec<f32> {
        let Dense { data, .. } = term.rows(&sampled);
        data.into_iter().map(|x| x * strength).collect()
    };
    let changes: Vec<Vec<f32>> = terms.iter().map(signs).collect();
    let count = changes.first().map_or(0, Vec::len);
    let (mut shared, mut opposite) = (0.0, 0.0);
    for at in 0..count {
        let of_sign = |test: fn(f32) -> bool| changes.iter().filter(|change| test(change[at])).count();
        let (positive, negative) = (of_sign(|x| x > 0.0), of_sign(|x| x < 0.0));
        shared += f64::from(u8::from(positive + negative > 1));
        opposite += f64::from(u8::from(positive > 0 && negative > 0));
    }
    if shared > 0.0 { opposite / shared } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(data: &[f32], columns: usize) -> Factorization {
        Factorization::Whole(Dense::new(data.to_vec(), columns))
    }

    #[test]
    fn opposite_changes_conflict_in_every_element() {
        let (a, b) = (whole(&[1.0, -2.0, 0.0, 4.0], 2), whole(&[2.0, -4.0, 1.0, 8.0], 2));
        let agree = Conflict::of(String::new(), &[(a.clone(), 1.0), (b.clone(), 0.5)]);
        assert_eq!(agree.opposite, 0.0);
        assert!(agree.cosine.expect("a cosine") > 0.99);
        let oppose = Conflict::of(String::new(), &[(a.clone(), 1.0), (b, -0.5)]);
        assert_eq!(oppose.opposite, 1.0, "the element that only one changes does not count");
        assert!(oppose.cosine.expect("a cosine") < -0.99);
        let zero = Conflict::of(String::new(), &[(a, 1.0), (whole(&[0.0; 4], 2), 1.0)]);
        assert_eq!((zero.cosine, zero.opposite), (None, 0.0));
    }
}
