//! ComfyUI: the graph that it ran under `prompt`, the graph of its editor under `workflow`.
//!
//! The walk begins at the node that saves the image and goes against the links: to the sampler, and from it to model,
//! prompts and latents. Nodes on these ways that are not understood are named one by one.

mod conditioning;
mod graph;
mod latents;
mod models;
mod samplers;
mod texts;
mod trace;
mod workflow;

use std::collections::HashSet;

use super::names::{find_embeddings, set_sampler};
use super::objects::Objects;
use crate::pipeline::recipe::{Hires, Rng, Upscaler};
use crate::pipeline::recipe_draft::{Origin, RecipeDraft};
use crate::program::Program;
use graph::{Graph, Node};
use latents::{IMAGES, Source};
use samplers::Sampling;
use trace::Trace;

/// Maximum number of samplers that work on each other's results.
const MAX_PASSES: usize = 8;

/// Reads the graph that ComfyUI ran or, without it, that of its editor.
pub(super) fn read(objects: &Objects) -> Option<RecipeDraft> {
    let of_prompt =
        || objects.find(|object| Graph::of_prompt(&object.map).is_some()).and_then(|o| Graph::of_prompt(&o.map));
    let of_workflow =
        || objects.find(|object| object.map.contains_key("nodes")).and_then(|o| Graph::of_workflow(&o.map));
    let graph = of_prompt().or_else(of_workflow)?;
    Some(draft(&graph))
}

fn draft(graph: &Graph) -> RecipeDraft {
    let draft = RecipeDraft {
        origin: Some(Origin::Comfyui),
        program: Program::Comfyui,
        rng: Some(Rng::Torch),
        ..RecipeDraft::default()
    };
    let mut trace = Trace::new(graph, draft);
    match trace.sampler_of_image() {
        Some(sampler) => trace.compose(sampler),
        None => trace.draft.push_leftover("graph", "", "no node that saves an image leads to a sampler"),
    }
    let mut draft = trace.draft;
    find_embeddings(&mut draft);
    draft
}

/// A pass of a sampler, from the last to the first.
struct Pass<'g> {
    node: &'g Node,
    sampling: Sampling<'g>,
    source: Source<'g>,
}

impl<'g> Trace<'g> {
    /// Returns the sampler of the saved image. Images that are only shown count where none is saved.
    fn sampler_of_image(&mut self) -> Option<&'g Node> {
        let graph = self.graph;
        let outputs =
            |word: &'static str| graph.nodes.values().filter(move |node| node.is(word) && node.link(&IMAGES).is_some());
        for word in ["save", "preview"] {
            let nodes: Vec<&Node> = outputs(word).collect();
            let mut found: Vec<&Node> = Vec::new();
            for node in &nodes {
                if let Some(sampler) = self.sampler_before(node)
                    && !found.iter().any(|other| other.id == sampler.id)
                {
                    found.push(sampler);
                }
            }
            // Of several, the one whose image the others do not go into.
            let last = found.iter().copied().max_by_key(|sampler| self.depth(sampler));
            if let Some(sampler) = last {
                if found.len() > 1 {
                    self.name(sampler, "the graph saves images of several samplers: this one is taken");
                }
                return Some(sampler);
            }
        }
        let samplers: Vec<&Node> = graph.nodes.values().filter(|node| self.is_sampler(node)).collect();
        let last = samplers.into_iter().max_by_key(|sampler| self.depth(sampler))?;
        self.name(last, "the graph does not say how its image was saved: it is likely this sampler's");
        Some(last)
    }

    /// Walks from a node that has an image to the sampler that drew it.
    fn sampler_before(&mut self, output: &'g Node) -> Option<&'g Node> {
        let mut seen = HashSet::new();
        let mut node = output;
        loop {
            if self.is_sampler(node) {
                return Some(node);
            }
            if !seen.insert(&node.id) {
                return None;
            }
            let next = self.follow(node.link(&IMAGES)?)?;
            let is_known = next.is("vaedecode") || next.is("preview") || next.is("save") || self.is_sampler(next);
            if !is_known {
                self.name(next, "it changes the image after the last sampler, which is not supported");
            }
            node = next;
        }
    }

    /// Returns how many samplers worked on the image before.
    fn depth(&mut self, sampler: &'g Node) -> usize {
        let (mut node, mut depth, mut seen) = (sampler, 0, HashSet::new());
        while seen.insert(&node.id) && depth < MAX_PASSES {
            let Some(next) = node.link(&IMAGES).and_then(|link| self.follow(link)) else { break };
            depth += usize::from(self.is_sampler(next));
            node = next;
        }
        depth
    }

    /// Makes a recipe of a sampler and those before it.
    fn compose(&mut self, last: &'g Node) {
        let mut passes = Vec::new();
        let mut next = Some(last);
        while let Some(node) = next.filter(|_| passes.len() < MAX_PASSES) {
            if passes.iter().any(|pass: &Pass<'_>| pass.node.id == node.id) {
                self.name(node, "it is part of a circle");
                break;
            }
            let sampling = self.sampling(node);
            let source = sampling.latent.map(|link| self.source(link)).unwrap_or_default();
            next = source.sampler;
            passes.push(Pass { node, sampling, source });
        }
        let Some(first) = passes.pop() else { return };
        self.first_pass(&first);
        if let Some(second) = passes.pop() {
            self.second_pass(&first, &second);
        }
        for pass in &passes {
            self.name(pass.node, "more than two passes are not supported: this one is left out");
        }
    }

    fn first_pass(&mut self, pass: &Pass<'g>) {
        let Pass { node, sampling, source } = pass;
        self.draft.seed = sampling.seed;
        self.draft.steps = sampling.steps;
        self.draft.guidance = sampling.guidance;
        self.draft.eta = sampling.eta;
        self.draft.size = source.size;
        set_sampler(&mut self.draft, sampling.sampler.as_deref(), sampling.scheduler.as_deref());
        let denoise = sampling.denoise.unwrap_or(1.0);
        if source.image.is_some() {
            self.draft.denoise = Some(denoise);
        } else if denoise < 1.0 {
            self.name(node, "a denoising strength below 1 without an image to start from is not supported");
        }
        if source.network.is_some() {
            self.name(node, "a network that enlarges the image to start from is not supported");
        }
        if self.choice(node, &["noise_mode"]).is_some_and(|mode| mode.starts_with("GPU")) {
            self.draft.rng = Some(Rng::Philox);
        }
        let settings = [
            ("seed", sampling.seed.is_some()),
            ("steps", sampling.steps.is_some()),
            ("cfg", sampling.guidance.is_some()),
        ];
        for (name, is_known) in settings {
            if !is_known {
                self.draft.push_leftover(format!("node {}", node.id), name, "this setting could not be found");
            }
        }
        let positive = sampling.positive.and_then(|link| self.prompt(link, "positive")).unwrap_or_default();
        let negative = sampling.negative.and_then(|link| self.prompt(link, "negative")).unwrap_or_default();
        let clip = positive.clip.or(sampling.positive);
        self.models(sampling.model, clip);
        self.draft.prompt = positive.text;
        self.draft.negative = negative.text;
    }

    /// A second sampler on the enlarged image of the first: Hires. fix.
    fn second_pass(&mut self, first: &Pass<'g>, second: &Pass<'g>) {
        let source = &second.source;
        let by_size = source.target.zip(first.source.size).map(|(target, size)| target.0 as f64 / size.0 as f64);
        let Some(scale) = by_size.or(source.scale).filter(|scale| *scale > 1.0) else {
            return self.name(
                second.node,
                "a second pass that does not enlarge the image by a known factor is not supported: it is left out",
            );
        };
        let upscaler = if source.is_of_pixels { Upscaler::Pixels } else { Upscaler::Latent };
        let denoise = second.sampling.denoise.unwrap_or(1.0);
        let (steps, network) = (second.sampling.steps.unwrap_or(0), source.network.clone());
        self.draft.hires = Some(Hires { scale, denoise, steps, upscaler, network });
        let (a, b) = (&first.sampling, &second.sampling);
        let differs =
            a.guidance != b.guidance || a.sampler != b.sampler || a.scheduler != b.scheduler || a.seed != b.seed;
        if differs {
            self.name(
                second.node,
                "its seed, CFG scale, sampler or scheduler differs from the first pass, which is not supported",
            );
        }
        if a.positive != b.positive || a.negative != b.negative || a.model != b.model {
            self.name(second.node, "its prompt or model differs from the first pass, which is not supported");
        }
    }
}
