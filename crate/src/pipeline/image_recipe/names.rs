//! ComfyUI's names of samplers and schedulers, which SwarmUI and Fooocus use as well, and its names of embeddings.

use std::collections::BTreeSet;

use crate::pipeline::infotext::schedule_named;
use crate::pipeline::recipe_draft::{RecipeDraft, file_stem};
use crate::samplers::SamplerKind;

/// Sets sampler and schedule from ComfyUI's names. Those without an equal here are leftovers.
pub(super) fn set_sampler(draft: &mut RecipeDraft, sampler: Option<&str>, scheduler: Option<&str>) {
    if let Some(name) = sampler {
        draft.sampler = sampler_named(name);
        match draft.sampler {
            None => draft.push_leftover("sampler_name", name, "unsupported sampler"),
            Some(_) if name.ends_with("_gpu") => {
                let reason = "it draws noise on the graphics card, which differs from the processor's";
                draft.push_leftover("sampler_name", name, reason);
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

/// Returns the sampler that computes what ComfyUI's of this name does.
fn sampler_named(name: &str) -> Option<SamplerKind> {
    let name = name.strip_suffix("_gpu").unwrap_or(name);
    let own = match name {
        "euler_ancestral" => "euler_a",
        "dpm_2" => "dpm2",
        "dpm_2_ancestral" => "dpm2_a",
        "dpmpp_2s_ancestral" => "dpmpp_2s_a",
        // ComfyUI's DDIM is Euler's method on the noise levels of the schedule.
        "ddim" => "euler",
        // Of order 3, while UniPC here is of order 2.
        "uni_pc" | "uni_pc_bh2" => return None,
        // Names of samplers here that ComfyUI does not have.
        "pndm" | "plms" | "unipc" | "tcd" => return None,
        other => other,
    };
    own.parse().ok()
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
