//! The resources that civitai.com's generator lists in an infotext: base model, LoRAs and embeddings by the number of
//! their version on the site.

use serde::Deserialize;

use crate::pipeline::recipe_draft::{EmbeddingMention, Mention};

/// A resource of `Civitai resources`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    #[serde(rename = "type")]
    kind: Option<String>,
    weight: Option<f32>,
    strength: Option<f32>,
    model_version_id: Option<u64>,
    model_name: Option<String>,
    #[serde(alias = "versionName")]
    model_version_name: Option<String>,
    /// `urn:air:sd1:lora:civitai:MODEL@VERSION`
    air: Option<String>,
}

/// The resources of a text.
#[derive(Default)]
pub(super) struct Resources {
    pub(super) models: Vec<String>,
    pub(super) adapters: Vec<Mention>,
    pub(super) embeddings: Vec<EmbeddingMention>,
    /// Names of resources of other kinds, with the kind.
    pub(super) others: Vec<(String, String)>,
}

impl Resource {
    fn air_part(&self, index: usize) -> Option<&str> {
        self.air.as_ref()?.split(':').nth(index)
    }

    fn version(&self) -> Option<u64> {
        self.model_version_id.or_else(|| self.air_part(5)?.split_once('@')?.1.parse().ok())
    }

    fn name(&self) -> String {
        let names = [&self.model_name, &self.model_version_name];
        let name = names.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
        match self.version() {
            Some(version) if name.is_empty() => format!("Civitai version {version}"),
            _ => name,
        }
    }
}

/// Parses the JSON list of `Civitai resources`.
pub(super) fn resources(json: &str) -> Option<Resources> {
    let list: Vec<Resource> = serde_json::from_str(json).ok()?;
    let mut found = Resources::default();
    for resource in list {
        let name = resource.name();
        let kind = resource.kind.as_deref().or_else(|| resource.air_part(3)).unwrap_or_default().to_lowercase();
        match kind.as_str() {
            "checkpoint" | "model" => found.models.push(name),
            "lora" | "lycoris" | "locon" | "dora" => {
                let strength = resource.weight.or(resource.strength).unwrap_or(1.0);
                let civitai_version = resource.version();
                found.adapters.push(Mention {
                    name,
                    text_encoder: strength,
                    unet: strength,
                    civitai_version,
                    ..Mention::default()
                });
            }
            "embed" | "embedding" | "textualinversion" => {
                found.embeddings.push(EmbeddingMention { name, hash: None });
            }
            _ => found.others.push((kind, name)),
        }
    }
    Some(found)
}
