//! Singular values of changes, and statistics of them.

use crate::adapters::{Delta, FactorData};
use crate::linalg::Factorization;
use serde::Serialize;
use ts_rs::TS;

/// Singular values of one change.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Spectrum {
    /// Values at strength 1, largest first.
    pub values: Vec<f64>,
}

impl Spectrum {
    /// Computes the singular values of a factorized matrix times `scale`.
    pub fn of(form: &Factorization, scale: f64) -> Spectrum {
        Spectrum::scaled(form.singular_values(), scale)
    }

    /// Returns the spectrum of a matrix with these singular values times `scale`.
    pub fn scaled(mut values: Vec<f64>, scale: f64) -> Spectrum {
        values.iter_mut().for_each(|value| *value *= scale.abs());
        Spectrum { values }
    }

    /// Computes those of a delta at strength 1; `None` if it depends on the base weight or is not a matrix.
    pub fn of_delta(delta: &Delta, numbers: &FactorData) -> Option<Spectrum> {
        Some(Spectrum::of(&delta.change.form(numbers)?, f64::from(delta.scale)))
    }

    /// Returns the Frobenius norm.
    pub fn frobenius(&self) -> f64 {
        self.energy().sqrt()
    }

    /// Returns the largest singular value, the spectral norm.
    pub fn spectral(&self) -> f64 {
        self.values.first().copied().unwrap_or(0.0)
    }

    /// Returns the stable rank ‖·‖²_F / ‖·‖²₂ (Rudelson and Vershynin 2007); 0 for a zero change.
    pub fn stable_rank(&self) -> f64 {
        let largest = self.spectral();
        if largest > 0.0 { self.energy() / (largest * largest) } else { 0.0 }
    }

    /// Returns the effective rank, exp of the entropy of the normalized singular values (Roy and
    /// Vetterli 2007); 0 for a zero change.
    pub fn effective_rank(&self) -> f64 {
        let sum: f64 = self.values.iter().sum();
        if sum.is_nan() || sum <= 0.0 {
            return 0.0;
        }
        let shares = self.values.iter().map(|value| value / sum).filter(|&share| share > 0.0);
        (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
    }

    /// Returns Σσ² of the first `rank` values over that of all; 1 for a zero change.
    pub fn energy_kept(&self, rank: usize) -> f64 {
        let (all, kept) = (self.energy(), self.values.iter().take(rank).map(|value| value * value).sum::<f64>());
        if all > 0.0 { kept / all } else { 1.0 }
    }

    /// Returns the smallest rank, at least 1, that keeps this fraction of the energy.
    pub fn rank_for_energy(&self, share: f64) -> usize {
        let wanted = share * self.energy();
        let mut kept = 0.0;
        let enough = self.values.iter().position(|value| {
            kept += value * value;
            kept >= wanted
        });
        enough.map_or(self.values.len(), |index| index + 1).max(1)
    }

    /// Returns the number of values that are at least `ratio` of the largest, at least 1.
    pub fn rank_for_ratio(&self, ratio: f64) -> usize {
        let threshold = ratio * self.spectral();
        self.values.iter().take_while(|&&value| value >= threshold).count().max(1)
    }

    fn energy(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_known_spectrum() {
        let spectrum = Spectrum { values: vec![2.0, 1.0, 1.0, 0.0] };
        assert_eq!((spectrum.frobenius(), spectrum.spectral(), spectrum.stable_rank()), (6f64.sqrt(), 2.0, 1.5));
        assert!((spectrum.effective_rank() - 8f64.sqrt()).abs() < 1e-12, "{}", spectrum.effective_rank());
        assert_eq!((spectrum.energy_kept(1), spectrum.energy_kept(9)), (4.0 / 6.0, 1.0));
        assert_eq!(
            (spectrum.rank_for_energy(0.66), spectrum.rank_for_energy(0.9), spectrum.rank_for_ratio(0.5)),
            (1, 3, 3)
        );
        let nothing = Spectrum { values: vec![0.0; 3] };
        assert_eq!((nothing.stable_rank(), nothing.effective_rank(), nothing.energy_kept(1)), (0.0, 0.0, 1.0));
        assert_eq!(nothing.rank_for_energy(0.9), 1);
    }
}
