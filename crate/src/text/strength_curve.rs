//! The strength of a LoRA over the steps of a run: `0.0@0.6,0.8@0.7`, `start=5`, `stop=10`.

use crate::num::to_f32;
use std::str::FromStr;

/// A strength that may change with the steps.
///
/// Parsed from a number, or from `strength@position` pairs in the syntax of sd-webui-loractl, between which the
/// strength is linear. Positions up to 1 are fractions of the steps, others are steps.
#[derive(Debug, Clone, PartialEq)]
pub struct StrengthCurve {
    /// Positions in ascending order with their strengths, at least one.
    points: Vec<(f64, f64)>,
}

impl From<f32> for StrengthCurve {
    fn from(strength: f32) -> StrengthCurve {
        StrengthCurve { points: vec![(0.0, f64::from(strength))] }
    }
}

impl FromStr for StrengthCurve {
    type Err = ();

    fn from_str(text: &str) -> Result<StrengthCurve, ()> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).ok_or(());
        if !text.contains('@') {
            return Ok(StrengthCurve::from(to_f32(number(text)?)));
        }
        let point = |pair: &str| match pair.split_once('@') {
            Some((strength, position)) => Ok((number(position)?, number(strength)?)),
            None => Ok((1.0, number(pair)?)),
        };
        let mut points = text.split([',', ';']).map(point).collect::<Result<Vec<_>, ()>>()?;
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(StrengthCurve { points })
    }
}

impl StrengthCurve {
    /// Returns whether the strength is the same in all steps.
    pub fn is_constant(&self) -> bool {
        self.points.iter().all(|point| point.1 == self.points[0].1)
    }

    /// Returns the strength after `step` of `steps` steps, as the web UI counts them: it is 0 in the first two steps, and
    /// `steps` - 2 in the last.
    pub fn at(&self, step: usize, steps: usize) -> f32 {
        let is_fraction = self.points.last().is_some_and(|last| last.0 <= 1.0);
        let scale = if is_fraction { steps.saturating_sub(2).max(1) } else { 1 };
        let position = step as f64 / scale as f64;
        let after = self.points.partition_point(|point| point.0 <= position);
        let strength = match (after.checked_sub(1).map(|at| self.points[at]), self.points.get(after)) {
            (Some((from, a)), Some((to, b))) => a + (b - a) * (position - from) / (to - from),
            (Some((_, only)), None) | (None, Some(&(_, only))) => only,
            (None, None) => 0.0,
        };
        to_f32(strength)
    }
}

/// Steps in which a LoRA acts, as in sd-webui-lora-block-weight. Values between 0 and 1 are fractions of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ActiveSteps {
    /// Step from which it acts.
    pub start: Option<f64>,
    /// Step from which it no longer acts.
    pub stop: Option<f64>,
}

impl ActiveSteps {
    /// Returns whether the LoRA acts after `step` of `steps` steps, as the web UI counts them.
    pub fn contains(self, step: usize, steps: usize) -> bool {
        let is_reached = |limit: f64| {
            let is_fraction = limit > 0.0 && limit < 1.0;
            let limit = if is_fraction { (limit * steps as f64).round_ties_even().max(1.0) } else { limit.trunc() };
            (step + 1) as f64 >= limit
        };
        self.start.is_none_or(is_reached) && !self.stop.is_some_and(is_reached)
    }
}
