//! ComfyUI's names of samplers and schedulers, which SwarmUI and Fooocus use as well, and its names of embeddings.

use std::collections::BTreeSet;

use crate::pipeline::infotext::schedule_named;
use crate::pipeline::recipe::Rng;
use crate::pipeline::recipe_draft::{RecipeDraft, file_stem};
use crate::samplers::SamplerKind;

/// Sets sampler, schedule and the generator of the noise from ComfyUI's names. Those without an equal here are leftovers.
/// The images are taken to be made on an NVIDIA card, whose generator some samplers use for the noise of their steps.
pub(super) fn set_sampler(draft: &mut RecipeDraft, sampler: Option<&str>, scheduler: Option<&str>) {
    if let Some(name) = sampler {
        draft.sampler = SamplerKind::of_comfyui(name.strip_suffix("_gpu").unwrap_or(name));
        match draft.sampler {
            None => draft.push_leftover("sampler_name", name, "unsupported sampler"),
            Some(kind) if name.ends_with("_gpu") || kind.draws_on_device_in_comfyui() => {
                draft.rng = Some(Rng::TorchPhilox);
            }
            Some(_) => {}
        }
    }
    if let Some(name) = scheduler {
        let schedule = schedule_named(name, None).flatten().or_else(|| serde_json::from_value(name.into()).ok());
        draft.schedule = schedule;
        if schedule.is_none() {
            draft.push_leftover("scheduler", name, "unsupported schedule type");
        }
    }
}

/// Lists the embeddings that the prompts name as ComfyUI does: `embedding:name`.
pub(super) fn find_embeddings(draft: &mut RecipeDraft) {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ')' | '(' | ':' | '<' | '>');
    let mut names = BTreeSet::new();
    for text in [&draft.prompt, &draft.negative] {
        for part in text.split("embedding:").skip(1) {
            let name = part.split(ends).next().unwrap_or_default().trim_end_matches('.');
            names.insert(file_stem(name).to_owned());
        }
    }
    for name in names.iter().filter(|name| !name.is_empty()) {
        draft.push_embedding(name, None);
    }
}
