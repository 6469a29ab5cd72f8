//! Samplers: the nodes that draw an image, alone or with nodes for noise, guidance, method and noise levels.

use super::graph::{Link, Node};
use super::trace::Trace;

/// The settings of a sampler.
#[derive(Default)]
pub(super) struct Sampling<'g> {
    pub(super) seed: Option<u64>,
    pub(super) steps: Option<usize>,
    pub(super) guidance: Option<f32>,
    pub(super) sampler: Option<String>,
    pub(super) scheduler: Option<String>,
    pub(super) denoise: Option<f64>,
    pub(super) eta: Option<f64>,
    pub(super) model: Option<&'g Link>,
    pub(super) positive: Option<&'g Link>,
    pub(super) negative: Option<&'g Link>,
    pub(super) latent: Option<&'g Link>,
}

/// Nodes for a method, and its name.
const METHODS: [(&str, &str); 6] = [
    ("SamplerEulerAncestral", "euler_ancestral"),
    ("SamplerDPMPP_2S_Ancestral", "dpmpp_2s_ancestral"),
    ("SamplerDPMPP_2M_SDE", "dpmpp_2m_sde"),
    ("SamplerDPMPP_3M_SDE", "dpmpp_3m_sde"),
    ("SamplerDPMPP_SDE", "dpmpp_sde"),
    ("SamplerLMS", "lms"),
];
/// Nodes for noise levels, and the name of the scheduler.
const SCHEDULES: [(&str, &str); 4] = [
    ("KarrasScheduler", "karras"),
    ("ExponentialScheduler", "exponential"),
    ("BetaSamplingScheduler", "beta"),
    ("AlignYourStepsScheduler", "align_your_steps"),
];
const PIPES: [&str; 4] = ["pipe", "basic_pipe", "optional_pipe", "sdxl_tuple"];

impl<'g> Trace<'g> {
    /// Returns whether a node is a sampler: by its class, or by its settings.
    pub(super) fn is_sampler(&self, node: &Node) -> bool {
        let is_part = ["select", "config", "presampling", "provider"].iter().any(|word| node.is(word));
        let has_settings = ["steps", "sampler_name"].iter().all(|name| node.has(name));
        let is_named = node.is("ksampler") || matches!(node.class.as_str(), "SamplerCustom" | "SamplerCustomAdvanced");
        !is_part && (is_named || (has_settings && node.link(&["latent_image", "latent", "samples"]).is_some()))
    }

    /// Reads a sampler's settings.
    pub(super) fn sampling(&mut self, node: &'g Node) -> Sampling<'g> {
        let mut sampling = Sampling {
            positive: node.link(&["positive"]),
            negative: node.link(&["negative"]),
            model: node.link(&["model"]),
            latent: node.link(&["latent_image", "latent", "samples", "optional_latent"]),
            ..Sampling::default()
        };
        self.settings(node, &mut sampling);
        self.noise(node, &mut sampling);
        self.guider(node, &mut sampling);
        self.method(node, &mut sampling);
        self.levels(node, &mut sampling);
        self.pipe(node, &mut sampling);
        self.steps_of_advanced(node, &mut sampling);
        sampling
    }

    /// The settings of one node, for those that are not known yet.
    fn settings(&mut self, node: &'g Node, sampling: &mut Sampling<'g>) {
        sampling.seed = sampling.seed.or_else(|| self.number(node, &["seed", "noise_seed"]));
        sampling.steps = sampling.steps.or_else(|| self.number(node, &["steps"]));
        sampling.guidance = sampling.guidance.or_else(|| self.number(node, &["cfg"]));
        sampling.denoise = sampling.denoise.or_else(|| self.number(node, &["denoise"]));
        let mut choice = |name| self.choice(node, &[name]).map(str::to_owned);
        sampling.sampler = sampling.sampler.take().or_else(|| choice("sampler_name"));
        sampling.scheduler = sampling.scheduler.take().or_else(|| choice("scheduler"));
    }

    /// `RandomNoise`
    fn noise(&mut self, node: &'g Node, sampling: &mut Sampling<'g>) {
        let Some(noise) = node.link(&["noise"]).and_then(|link| self.follow(link)) else { return };
        sampling.seed = self.number(noise, &["noise_seed", "seed"]);
        if sampling.seed.is_none() {
            self.name_unsupported(noise);
        }
    }

    /// `CFGGuider`, or `BasicGuider`, which has no guidance.
    fn guider(&mut self, node: &'g Node, sampling: &mut Sampling<'g>) {
        let Some(guider) = node.link(&["guider"]).and_then(|link| self.follow(link)) else { return };
        if !matches!(guider.class.as_str(), "CFGGuider" | "BasicGuider") {
            self.name_unsupported(guider);
        }
        sampling.model = guider.link(&["model"]);
        sampling.positive = guider.link(&["positive", "conditioning", "cond1"]);
        sampling.negative = guider.link(&["negative"]);
        let is_basic = guider.class == "BasicGuider";
        sampling.guidance = if is_basic { Some(1.0) } else { self.number(guider, &["cfg", "cfg_conds"]) };
    }

    /// `KSamplerSelect`, or a node for one method with its settings.
    fn method(&mut self, node: &'g Node, sampling: &mut Sampling<'g>) {
        let Some(method) = node.link(&["sampler"]).and_then(|link| self.follow(link)) else { return };
        let known = METHODS.iter().find(|(class, _)| *class == method.class).map(|(_, name)| (*name).to_owned());
        sampling.sampler = known.or_else(|| self.choice(method, &["sampler_name"]).map(str::to_owned));
        sampling.eta = self.number(method, &["eta"]);
        if sampling.sampler.is_none() {
            self.name_unsupported(method);
        }
    }

    /// `BasicScheduler`, or a node for one schedule.
    fn levels(&mut self, node: &'g Node, sampling: &mut Sampling<'g>) {
        let Some(levels) = node.link(&["sigmas"]).and_then(|link| self.follow(link)) else { return };
        let known = SCHEDULES.iter().find(|(class, _)| *class == levels.class).map(|(_, name)| (*name).to_owned());
        sampling.scheduler = known.or_else(|| self.choice(levels, &["scheduler"]).map(str::to_owned));
        sampling.steps = self.number(levels, &["steps"]);
        sampling.denoise = self.number(levels, &["denoise"]);
        if sampling.scheduler.is_none() || sampling.steps.is_none() {
            self.name_unsupported(levels);
        }
    }

    /// Settings and links of nodes before a sampler, which pass all of them in one link.
    fn pipe(&mut self, node: &'g Node, sampling: &mut Sampling<'g>) {
        let mut next = node.link(&PIPES);
        while let Some(node) = next.and_then(|link| self.follow(link)) {
            self.settings(node, sampling);
            sampling.model = sampling.model.or(node.link(&["model"]));
            sampling.positive = sampling.positive.or(node.link(&["positive"]));
            sampling.negative = sampling.negative.or(node.link(&["negative"]));
            sampling.latent = sampling.latent.or(node.link(&["latent", "samples"]));
            next = node.link(&PIPES);
        }
        // The loader at the end of the pipe holds what no node replaced.
        let whole = node.link(&PIPES);
        sampling.model = sampling.model.or(whole);
        sampling.positive = sampling.positive.or(whole);
        sampling.negative = sampling.negative.or(whole);
        sampling.latent = sampling.latent.or(whole);
    }

    /// `KSamplerAdvanced` makes a part of the steps: those from a step to the end are those of a denoising strength.
    fn steps_of_advanced(&mut self, node: &'g Node, sampling: &mut Sampling<'g>) {
        let Some(steps) = sampling.steps else { return };
        let start = self.number(node, &["start_at_step"]).unwrap_or(0usize).min(steps);
        let end = self.number(node, &["end_at_step"]).unwrap_or(steps).min(steps);
        if end < steps {
            self.name(node, "it ends before the last step, which is not supported: all steps are made");
        }
        if start > 0 && steps > start {
            sampling.steps = Some(steps - start);
            sampling.denoise = Some((steps - start) as f64 / steps as f64);
        }
    }
}
