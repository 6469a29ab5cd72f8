//! Prompts: from a sampler's `positive` and `negative` to the nodes that encode texts.

use super::graph::{Link, Node};
use super::trace::Trace;

/// Maximum number of conditioning nodes that follow each other.
const MAX_DEPTH: usize = 200;
/// Inputs of nodes that hold both prompts.
const PIPES: [&str; 5] = ["pipe", "basic_pipe", "optional_pipe", "sdxl_tuple", "context"];

/// A prompt, and where the text encoder comes from.
#[derive(Default)]
pub(super) struct Prompt<'g> {
    pub(super) text: String,
    pub(super) clip: Option<&'g Link>,
}

impl<'g> Trace<'g> {
    /// Returns the prompt behind a link; `role` is `positive` or `negative`.
    pub(super) fn prompt(&mut self, link: &'g Link, role: &'static str) -> Option<Prompt<'g>> {
        self.prompt_at(link, role, 0)
    }

    fn prompt_at(&mut self, link: &'g Link, role: &'static str, depth: usize) -> Option<Prompt<'g>> {
        let node = self.follow(link)?;
        if depth == MAX_DEPTH {
            self.name(node, "it is part of a circle, or of too long a chain");
            return None;
        }
        let depth = depth + 1;
        if node.class == "ConditioningConcat" {
            return self.concatenated(node, role, depth);
        }
        if node.class == "ConditioningZeroOut" {
            self.name(node, "zeros instead of a prompt are not supported: an empty prompt is used");
            return Some(Prompt::default());
        }
        let is_encoder = node.is("textencode") || (node.has("clip") && node.is("encode"));
        if is_encoder {
            return self.encoded(node);
        }
        let is_loader = ["ckpt_name", "base_ckpt_name"].iter().any(|name| node.has(name));
        if is_loader && node.has(role) {
            let text = self.text(node, &[role])?;
            return Some(Prompt { text, clip: None });
        }
        let is_pipe = node.is("pipe") || node.is("presampling") || node.is("context");
        if !is_pipe {
            let is_average = node.is("conditioningcombine") || node.is("conditioningaverage");
            let reason = "the average of several prompts is not supported: only the first is used";
            if is_average { self.name(node, reason) } else { self.name_unsupported(node) }
        }
        let inputs = [role, "conditioning", "conditioning_1", "conditioning_to"];
        let next = node.link(&inputs).or_else(|| node.link(&PIPES))?;
        self.prompt_at(next, role, depth)
    }

    /// A text that a node encodes.
    fn encoded(&mut self, node: &'g Node) -> Option<Prompt<'g>> {
        let text =
            self.text(node, &["populated_text", "text", "text_g", "prompt", "text_positive"]).unwrap_or_default();
        if node.has("text_l") && node.has("text_g") {
            let other = self.text(node, &["text_l"]);
            if other.is_some_and(|other| other != text) {
                self.name(node, "its second text is not supported: only `text_g` is used");
            }
        }
        let setting = |name: &str| node.values.get(name).and_then(|value| value.as_str());
        let parser = setting("parser").or_else(|| setting("weight_interpretation"));
        match parser {
            Some("comfy") | None => {}
            Some(_) => self.name(node, "its way to weigh words is not supported: ComfyUI's own is used"),
        }
        Some(Prompt { text, clip: node.link(&["clip"]) })
    }

    /// Two texts that are encoded each by itself, which a prompt of ComfyUI cannot say.
    fn concatenated(&mut self, node: &'g Node, role: &'static str, depth: usize) -> Option<Prompt<'g>> {
        let first = self.prompt_at(node.links.get("conditioning_to")?, role, depth)?;
        let second = self.prompt_at(node.links.get("conditioning_from")?, role, depth)?;
        self.name(node, "it encodes its texts each by itself; here they are one text, so the image differs");
        Some(Prompt { text: format!("{}\n{}", first.text, second.text), clip: first.clip })
    }
}
