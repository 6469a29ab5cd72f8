//! Walks through a graph against the direction of its links, and the values of inputs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::graph::{Graph, Link, Node};
use crate::pipeline::image_recipe::fields::parse_number;
use crate::pipeline::recipe_draft::{Leftover, RecipeDraft};

/// Maximum number of nodes that are visited, each as often as it is. It ends walks through circles.
const MAX_VISITS: u32 = 20_000;
/// Maximum number of reroutes and switches that follow each other.
const MAX_PASSED_ON: usize = 200;

/// A walk through a graph, with what it found.
pub(super) struct Trace<'g> {
    pub(super) graph: &'g Graph,
    pub(super) draft: RecipeDraft,
    named: BTreeSet<(String, &'static str)>,
    visits: u32,
}

impl<'g> Trace<'g> {
    pub(super) fn new(graph: &'g Graph, draft: RecipeDraft) -> Trace<'g> {
        Trace { graph, draft, named: BTreeSet::new(), visits: 0 }
    }

    /// Names a node that is not understood, once for each reason.
    pub(super) fn name(&mut self, node: &Node, reason: &'static str) {
        if self.named.insert((node.id.clone(), reason)) {
            let name = format!("node {}", node.id);
            self.draft.leftovers.push(Leftover { name, value: node.class.clone(), reason: reason.into() });
        }
    }

    /// Names a node that changes the image and has no counterpart here.
    pub(super) fn name_unsupported(&mut self, node: &Node) {
        self.name(node, "this node is not supported, and its effect is left out");
    }

    /// Counts a visit; returns `None` after too many.
    pub(super) fn visit(&mut self) -> Option<()> {
        self.visits += 1;
        if self.visits == MAX_VISITS {
            self.draft.push_leftover("graph", "", "it is too large: parts of it were not read");
        }
        (self.visits <= MAX_VISITS).then_some(())
    }

    /// Returns the node that a link leads to, through nodes that only pass on an input.
    pub(super) fn follow(&mut self, link: &'g Link) -> Option<&'g Node> {
        let mut link = link;
        for _ in 0..MAX_PASSED_ON {
            self.visit()?;
            let node = self.graph.nodes.get(&link.node)?;
            match self.passed_on(node) {
                PassedOn::Input(next) => link = next,
                PassedOn::Unknown => {
                    self.name(node, "which of its inputs it passes on cannot be told");
                    return None;
                }
                PassedOn::Nothing => return Some(node),
            }
        }
        let node = self.graph.nodes.get(&link.node)?;
        self.name(node, "it is part of a circle");
        None
    }

    /// The input that a node passes on: a reroute's only one, or the one that a switch selects.
    fn passed_on(&self, node: &'g Node) -> PassedOn<'g> {
        let only = |links: &[&'g Link]| match links {
            [link] => PassedOn::Input(link),
            _ => PassedOn::Unknown,
        };
        let links: Vec<&'g Link> = node.links.values().collect();
        if node.is("reroute") {
            return only(&links);
        }
        if !node.is("switch") {
            return PassedOn::Nothing;
        }
        if node.is("any switch (rgthree)") {
            // Its first connected input; those of nodes that did not run are not in the graph.
            return links.first().map_or(PassedOn::Unknown, |link| PassedOn::Input(link));
        }
        let selected = ["select", "Input", "input", "index", "switch", "boolean", "boolean_value"];
        let selected = selected.into_iter().find_map(|name| node.values.get(name));
        let chosen = match selected {
            Some(Value::Bool(true)) => node.link(&["on_true", "true", "input_true"]),
            Some(Value::Bool(false)) => node.link(&["on_false", "false", "input_false"]),
            Some(value) => parse_number::<u32>(value).and_then(|number| {
                let suffix = number.to_string();
                node.links
                    .iter()
                    .find(|(name, _)| name.trim_start_matches(|c: char| !c.is_ascii_digit()) == suffix)
                    .map(|(_, link)| link)
            }),
            None => None,
        };
        chosen.map_or_else(|| only(&links), PassedOn::Input)
    }

    /// Returns the value of an input: its own, or that of the node for constants that it is connected to.
    pub(super) fn value(&mut self, node: &'g Node, name: &str) -> Option<&'g Value> {
        let (mut node, mut is_first) = (node, true);
        loop {
            let candidates = [name, "value", "Value", "seed", "noise_seed", "int", "float", "number", "Number"];
            let candidates = if is_first { &candidates[..1] } else { &candidates[..] };
            if let Some(value) = candidates.iter().find_map(|name| node.values.get(*name)) {
                return Some(value);
            }
            let link = candidates.iter().find_map(|name| node.links.get(*name))?;
            node = self.follow(link)?;
            if !is_constant(node) {
                self.name(node, "the value that it computes cannot be told");
                return None;
            }
            is_first = false;
        }
    }

    /// Returns the number at an input.
    pub(super) fn number<T: std::str::FromStr>(&mut self, node: &'g Node, names: &[&str]) -> Option<T> {
        let name = names.iter().find(|name| node.has(name))?;
        parse_number(self.value(node, name)?)
    }

    /// Returns the name at an input: a text, or an object with a text, as some nodes write file names.
    pub(super) fn choice(&mut self, node: &'g Node, names: &[&str]) -> Option<&'g str> {
        let name = names.iter().find(|name| node.has(name))?;
        let value = self.value(node, name)?;
        value.as_str().or_else(|| value.get("content")?.as_str()).filter(|name| !matches!(*name, "" | "None"))
    }
}

enum PassedOn<'g> {
    Input(&'g Link),
    Unknown,
    /// The node does more than passing on an input.
    Nothing,
}

/// Returns whether a node holds a value instead of computing one.
fn is_constant(node: &Node) -> bool {
    const WORDS: [&str; 7] = ["primitive", "constant", "seed", "literal", "int", "float", "number"];
    const COMPUTING: [&str; 6] = ["math", "random", "operation", "expression", "switch", "convert"];
    WORDS.iter().any(|word| node.is(word)) && !COMPUTING.iter().any(|word| node.is(word))
}
