//! Half of the denoiser's batch, which another session with the same model computes, a partner: in a browser, that of a second
//! worker.

use super::error::PipelineError;
use super::shape::Shape;
use super::spec::LocalFuture;
use crate::device::{Arena, Runner};
use crate::weights::{LoadedAdapter, Strength};
use serde::{Deserialize, Serialize};

/// An input of the denoiser: its name, and the values of all items.
pub type Input = (String, Vec<f32>);

/// The second half of a batch. It says all that its predictions depend on besides the model: the partner does again what
/// differs from the last half.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Half {
    /// Where it belongs.
    pub of: HalfOf,
    /// Inputs that depend on the prompts; none of a half that is only prepared.
    pub texts: Vec<Input>,
    /// Inputs of this call; none of a half that is only prepared.
    pub call: Vec<Input>,
}

/// The image that a half belongs to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HalfOf {
    /// Shape of the image, with both halves.
    pub shape: Shape,
    /// Ids of adapters, and their strengths in this call.
    pub adapters: Vec<(String, Strength)>,
}

/// A session that computes halves.
pub trait Partner {
    /// Starts to compute a half, after those that were started before; returns its predictions, none if it is only
    /// prepared.
    fn start(&self, half: Half) -> LocalFuture<'static, Result<Vec<f32>, PipelineError>>;
}

/// Runners of a half.
pub(super) struct HalfRunners {
    pub shape: Shape,
    pub arena: Arena,
    pub texts: Runner,
    pub denoiser: Runner,
    /// What `texts` was last run with.
    pub bound: Option<(Vec<(String, Strength)>, Vec<Input>)>,
}

impl HalfOf {
    pub(super) fn new(shape: Shape, adapters: &[(&LoadedAdapter, Strength)]) -> HalfOf {
        let adapters = adapters.iter().map(|(adapter, strength)| (adapter.id.clone(), strength.clone()));
        HalfOf { shape, adapters: adapters.collect() }
    }
}
