//! The graph of ComfyUI's editor, `{"nodes": […], "links": […]}`, which names widgets by position only.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::graph::{Graph, Link, MAX_NODES, Node};

/// Widgets of common nodes, in order, for files whose nodes do not name them.
const WIDGETS: &[(&str, &[&str])] = &[
    ("KSampler", &["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"]),
    ("KSampler (Efficient)", &["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise", "preview_method"]),
    (
        "KSamplerAdvanced",
        &[
            "add_noise",
            "noise_seed",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "start_at_step",
            "end_at_step",
            "return_with_leftover_noise",
        ],
    ),
    ("SamplerCustom", &["add_noise", "noise_seed", "cfg"]),
    ("RandomNoise", &["noise_seed"]),
    ("KSamplerSelect", &["sampler_name"]),
    ("BasicScheduler", &["scheduler", "steps", "denoise"]),
    ("CFGGuider", &["cfg"]),
    ("CheckpointLoaderSimple", &["ckpt_name"]),
    ("LoraLoader", &["lora_name", "strength_model", "strength_clip"]),
    ("LoraLoaderModelOnly", &["lora_name", "strength_model"]),
    ("CLIPTextEncode", &["text"]),
    (
        "CLIPTextEncodeSDXL",
        &["width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"],
    ),
    ("CLIPSetLastLayer", &["stop_at_clip_layer"]),
    ("EmptyLatentImage", &["width", "height", "batch_size"]),
    ("LatentUpscale", &["upscale_method", "width", "height", "crop"]),
    ("LatentUpscaleBy", &["upscale_method", "scale_by"]),
    ("ImageScale", &["upscale_method", "width", "height", "crop"]),
    ("ImageScaleBy", &["upscale_method", "scale_by"]),
    ("UpscaleModelLoader", &["model_name"]),
    ("PrimitiveNode", &["value"]),
    ("Text Multiline", &["text"]),
    ("Text Concatenate", &["delimiter", "clean_whitespace"]),
    ("StringConcatenate", &["string_a", "string_b", "delimiter"]),
    (
        "Efficient Loader",
        &[
            "ckpt_name",
            "vae_name",
            "clip_skip",
            "lora_name",
            "lora_model_strength",
            "lora_clip_strength",
            "positive",
            "negative",
            "token_normalization",
            "weight_interpretation",
            "empty_latent_width",
            "empty_latent_height",
            "batch_size",
        ],
    ),
];

/// Values of the widget that the editor puts behind each seed.
const SEED_CONTROLS: [&str; 4] = ["fixed", "increment", "decrement", "randomize"];
/// Modes of nodes that do not run, and of nodes that pass their input on.
const MUTED: u64 = 2;
const BYPASSED: u64 = 4;

impl Graph {
    /// Parses the editor's graph; `None` for other objects.
    pub(super) fn of_workflow(map: &Map<String, Value>) -> Option<Graph> {
        let nodes = map.get("nodes")?.as_array()?;
        let links = map.get("links")?.as_array()?;
        let sources: HashMap<u64, (Link, String)> = links.iter().take(10 * MAX_NODES).filter_map(source_of).collect();
        let mut graph = Graph::default();
        let mut bypassed: HashMap<String, &Value> = HashMap::new();
        for node in nodes.iter().take(MAX_NODES) {
            let Some((id, class)) = id_of(node).zip(node.get("type").and_then(Value::as_str)) else { continue };
            match node.get("mode").and_then(Value::as_u64) {
                Some(MUTED) => {}
                Some(BYPASSED) => _ = bypassed.insert(id, node),
                _ => {
                    let values = widgets(class, node);
                    graph.nodes.insert(id.clone(), Node { id, class: class.into(), values, ..Node::default() });
                }
            }
        }
        for node in nodes.iter().take(MAX_NODES) {
            let Some(parsed) = id_of(node).and_then(|id| graph.nodes.get_mut(&id)) else { continue };
            for (name, link, kind) in connected(node, &sources) {
                if let Some(link) = through_bypassed(link, &kind, &bypassed, &sources) {
                    parsed.values.shift_remove(&name);
                    parsed.links.insert(name, link);
                }
            }
        }
        Some(graph).filter(|graph| !graph.nodes.is_empty())
    }
}

fn id_of(node: &Value) -> Option<String> {
    let id = node.get("id")?;
    id.as_u64().map(|id| id.to_string()).or_else(|| id.as_str().map(str::to_owned))
}

/// `[link, node, slot, node, slot, type]`, or an object with these names.
fn source_of(link: &Value) -> Option<(u64, (Link, String))> {
    let part = |at: usize, name: &str| link.get(at).or_else(|| link.get(name));
    let node = part(1, "origin_id")?;
    let node = node.as_u64().map(|id| id.to_string()).or_else(|| node.as_str().map(str::to_owned))?;
    let slot = part(2, "origin_slot")?.as_u64()?;
    let kind = part(5, "type").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some((part(0, "id")?.as_u64()?, (Link { node, slot }, kind)))
}

/// The connected inputs of a node with their sources and types.
fn connected<'a>(node: &'a Value, sources: &HashMap<u64, (Link, String)>) -> Vec<(String, Link, String)> {
    let inputs = node.get("inputs").and_then(Value::as_array).into_iter().flatten();
    let found = inputs.filter_map(|input: &'a Value| {
        let (link, kind) = sources.get(&input.get("link")?.as_u64()?)?;
        Some((input.get("name")?.as_str()?.to_owned(), link.clone(), kind.clone()))
    });
    found.collect()
}

/// Follows a link through nodes that are bypassed: to their first input of the same type.
fn through_bypassed(
    mut link: Link,
    kind: &str,
    bypassed: &HashMap<String, &Value>,
    sources: &HashMap<u64, (Link, String)>,
) -> Option<Link> {
    // A circle of bypassed nodes has at most as many nodes as there are.
    for _ in 0..=bypassed.len() {
        let Some(node) = bypassed.get(&link.node) else { return Some(link) };
        link = connected(node, sources).into_iter().find(|(_, _, other)| other == kind)?.1;
    }
    None
}

/// The values of a node's widgets by name.
fn widgets(class: &str, node: &Value) -> Map<String, Value> {
    let values = match node.get("widgets_values") {
        Some(Value::Object(values)) => return values.clone(),
        Some(Value::Array(values)) => values.as_slice(),
        _ => return Map::new(),
    };
    if class.starts_with("Power Lora Loader") {
        let loras = values.iter().filter(|value| value.get("lora").is_some()).enumerate();
        return loras.map(|(at, value)| (format!("lora_{}", at + 1), value.clone())).collect();
    }
    let inputs = node.get("inputs").and_then(Value::as_array).into_iter().flatten();
    let named = inputs.filter_map(|input| input.get("widget")?.get("name")?.as_str());
    let named: Vec<&str> = named.collect();
    let known = WIDGETS.iter().find(|(known, _)| *known == class).map(|(_, names)| *names);
    let names = known.filter(|known| named.len() < known.len()).unwrap_or(&named);
    let is_control = |value: &&Value| value.as_str().is_some_and(|text| SEED_CONTROLS.contains(&text));
    let mut values = values.iter().peekable();
    let mut found = Map::new();
    for name in names {
        let Some(value) = values.next() else { break };
        found.insert((*name).to_owned(), value.clone());
        if matches!(*name, "seed" | "noise_seed") {
            values.next_if(is_control);
        }
    }
    found
}
