//! A ComfyUI graph: nodes by id, whose inputs are values or links to other nodes' outputs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Maximum number of nodes of a graph that is read.
pub(super) const MAX_NODES: usize = 20_000;

/// A graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: BTreeMap<String, Node>,
}

/// A node.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) id: String,
    /// Class, as the program registers it: `KSampler`.
    pub(super) class: String,
    /// Inputs with a value of their own.
    pub(super) values: Map<String, Value>,
    /// Inputs that are connected.
    pub(super) links: BTreeMap<String, Link>,
}

/// An output of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) node: String,
    pub(super) slot: u64,
}

impl Node {
    /// Returns whether the class contains a word, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        self.class.to_lowercase().contains(word)
    }

    /// Returns the link of the first of these inputs that is connected.
    pub(super) fn link(&self, names: &[&str]) -> Option<&Link> {
        names.iter().find_map(|name| self.links.get(*name))
    }

    /// Returns whether an input of this name exists.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.links.contains_key(name)
    }
}

impl Graph {
    /// Parses the graph that ComfyUI ran, `{id: {"class_type", "inputs"}}`; `None` for other objects.
    pub(super) fn of_prompt(map: &Map<String, Value>) -> Option<Graph> {
        let class_of = |node: &Value| node.get("class_type").and_then(Value::as_str).map(str::to_owned);
        let mut graph = Graph::default();
        for (id, node) in map.iter().take(MAX_NODES) {
            let Some(class) = class_of(node) else { continue };
            let mut parsed = Node { id: id.clone(), class, ..Node::default() };
            for (name, value) in node.get("inputs").and_then(Value::as_object).into_iter().flatten() {
                match link_of(map, value) {
                    Some(link) => _ = parsed.links.insert(name.clone(), link),
                    None => _ = parsed.values.insert(name.clone(), value.clone()),
                }
            }
            graph.nodes.insert(id.clone(), parsed);
        }
        Some(graph).filter(|graph| !graph.nodes.is_empty())
    }
}

/// `[id, slot]` of a node of the graph.
fn link_of(map: &Map<String, Value>, value: &Value) -> Option<Link> {
    let [id, slot] = value.as_array()?.as_slice() else { return None };
    let node = id.as_str().map(str::to_owned).or_else(|| Some(id.as_u64()?.to_string()))?;
    let slot = slot.as_u64()?;
    map.contains_key(&node).then_some(Link { node, slot })
}
