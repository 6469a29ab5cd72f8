//! The norm of the difference of two changes, which are not multiplied out.

use crate::linalg::{Dense, Factorization, Grams, Known, Matrix, norm, product_norm, product_norm_with};

/// A change at strength 1.
#[derive(Debug, Clone)]
pub(super) struct Scaled {
    /// The change over its scale.
    pub form: Factorization,
    /// Scale.
    pub scale: f32,
    /// Gram matrices of a product's factors, if they were computed.
    pub grams: Option<Grams>,
}

/// Returns ‖b − a‖; `None` if the sizes differ.
///
/// For products it is that of [L₂ − L₁, L₁] · [R₂; R₂ − R₁], with the scales in L: the differences of factors are computed
/// first, so that little is lost if the files are almost equal.
pub(super) fn difference_norm(before: &Scaled, after: &Scaled) -> Option<f64> {
    let (Scaled { form: a, scale: scale_a, grams: grams_a }, Scaled { form: b, scale: scale_b, grams: grams_b }) =
        (before, after);
    if a.size() != b.size() {
        return None;
    }
    Some(match (a, b) {
        (Factorization::Product(left_a, right_a), Factorization::Product(left_b, right_b))
            if left_a.columns == left_b.columns =>
        {
            let left = beside(left_a, *scale_a, left_b, *scale_b);
            let changed = right_b.data.iter().zip(&right_a.data).map(|(b, a)| b - a);
            let right: Vec<f32> = right_b.data.iter().copied().chain(changed).collect();
            let rank = left_a.columns;
            let known = grams_a.as_ref().zip(grams_b.as_ref()).map_or_else(
                || [Known::nothing(), Known::nothing()],
                |(a, b)| {
                    let scale = f64::from(*scale_a).powi(2);
                    let left = Matrix { data: a.left.data.iter().map(|x| x * scale).collect(), ..a.left };
                    [Known { first: rank, gram: left }, Known { first: 0, gram: b.right.clone() }]
                },
            );
            product_norm_with(&left, &right, 2 * rank, &known)
        }
        (a, b) if a.is_low_rank() && b.is_low_rank() => {
            let ((left_a, right_a), (left_b, right_b)) = (a.pair(), b.pair());
            let rank = left_a.columns + left_b.columns;
            let row = |row: usize| {
                let of = |left: &Dense, scale: f32| -> Vec<f32> {
                    left.data[row * left.columns..][..left.columns].iter().map(|x| x * scale).collect()
                };
                [of(&left_b, *scale_b), of(&left_a, -scale_a)].concat()
            };
            let left: Vec<f32> = (0..left_a.rows).flat_map(row).collect();
            product_norm(&left, &[right_b.data, right_a.data].concat(), rank)
        }
        (a, b) => {
            let (a, b) = (a.matrix(), b.matrix());
            let difference: Vec<f32> = a.data.iter().zip(&b.data).map(|(a, b)| b * scale_b - a * scale_a).collect();
            norm(&difference)
        }
    })
}

/// Returns [b·scale_b − a·scale_a, a·scale_a] for matrices of one size.
fn beside(a: &Dense, scale_a: f32, b: &Dense, scale_b: f32) -> Vec<f32> {
    let columns = a.columns.max(1);
    let mut out = Vec::with_capacity(2 * a.data.len());
    for (a, b) in a.data.chunks_exact(columns).zip(b.data.chunks_exact(columns)) {
        out.extend(a.iter().zip(b).map(|(a, b)| b * scale_b - a * scale_a));
        out.extend(a.iter().map(|a| a * scale_a));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(rows: usize, columns: usize, seed: usize) -> Dense {
        Dense::new((0..rows * columns).map(|i| ((i * seed % 17) as f32 - 8.0) / 8.0).collect(), columns)
    }

    /// Returns a change without its Gram matrices, and with them.
    fn both(form: &Factorization, scale: f32) -> [Scaled; 2] {
        let grams = form.singular_values_and_grams().1;
        [None, grams].map(|grams| Scaled { form: form.clone(), scale, grams })
    }

    #[test]
    fn the_norm_is_that_of_the_matrices() {
        let low = |rank, seed| Factorization::Product(dense(9, rank, seed), dense(rank, 11, seed + 2));
        let forms = [low(2, 3), low(2, 5), low(1, 7), Factorization::Whole(dense(9, 11, 5))];
        for a in &forms {
            for b in &forms {
                let elements = a.matrix().data.into_iter().zip(b.matrix().data);
                let want: Vec<f32> = elements.map(|(a, b)| b * 0.5 - a * 2.0).collect();
                for (a, b) in both(a, 2.0).iter().zip(&both(b, 0.5)) {
                    let got = difference_norm(a, b).expect("one size");
                    assert!((got - norm(&want)).abs() < 1e-5 * norm(&want), "{a:?} {b:?}");
                }
            }
        }
        let other = Factorization::Whole(dense(3, 3, 5));
        assert_eq!(difference_norm(&both(&low(2, 3), 1.0)[0], &both(&other, 1.0)[0]), None);
    }

    #[test]
    fn small_differences_are_exact() {
        let (left, right) = (dense(200, 4, 3), dense(4, 300, 5));
        let mut moved = left.clone();
        moved.data[17] += 1e-4;
        let step = f64::from(moved.data[17] - left.data[17]) * norm(&right.data[300..600]);
        let (first, second) = (Factorization::Product(left, right.clone()), Factorization::Product(moved, right));
        for (a, b) in both(&first, 1.0).iter().zip(&both(&second, 1.0)) {
            let got = difference_norm(a, b).expect("one size");
            assert!((got - step).abs() < 1e-3 * step, "{got} {step}");
            assert_eq!(difference_norm(a, a), Some(0.0));
        }
    }
}
