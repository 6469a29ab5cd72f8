//! Headers of adapters for every network of tests/golden/loaders/module_lists.json.gz, as trainers write them.
//!
//! A list has the names and sizes of a network's weights, in its original names and in diffusers'. They come from the
//! model classes of ComfyUI and diffusers with the published configs, so they are independent of the tables in
//! model/architectures/.

use crate::golden;
use crate::loader_cases::{CaseFile, names};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;

/// Names and sizes of a network's matrices.
pub struct ModuleList {
    pub variant: String,
    pub family: String,
    original: Vec<Matrix>,
    diffusers: Vec<Matrix>,
}

#[derive(Clone)]
struct Matrix {
    path: String,
    outputs: usize,
    inputs: usize,
    /// Whether it is the kernel of a 1x1 convolution.
    is_kernel: bool,
}

/// The layers that were trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    All,
    Attention,
    Mlp,
    /// Attention and MLP of one block in the middle.
    Block,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Lora,
    Dora,
    /// Whole factors, as of ai-toolkit and SimpleTuner.
    Lokr,
    /// The second factor decomposed.
    FactoredLokr,
    /// kohya's OFT.
    Oft,
    /// OFT v2 of PEFT and OneTrainer.
    OftV2,
}

/// Where a trainer takes the names of layers from, and how it writes them.
struct Spelling {
    trainer: &'static str,
    is_diffusers: bool,
    prefix: &'static str,
    separator: &'static str,
    /// Suffixes of down and up.
    pair: [&'static str; 2],
    algorithms: &'static [Algorithm],
}

const KOHYA: [&str; 2] = ["lora_down.weight", "lora_up.weight"];
const PEFT: [&str; 2] = ["lora_A.weight", "lora_B.weight"];
use Algorithm::{Dora, FactoredLokr, Lokr, Lora, Oft, OftV2};

const SPELLINGS: [Spelling; 8] = [
    Spelling {
        trainer: "kohya",
        is_diffusers: false,
        prefix: "lora_unet_",
        separator: "_",
        pair: KOHYA,
        algorithms: &[Lora, FactoredLokr, Oft],
    },
    Spelling {
        trainer: "kohya_diffusers",
        is_diffusers: true,
        prefix: "lora_unet_",
        separator: "_",
        pair: KOHYA,
        algorithms: &[Lora],
    },
    Spelling {
        trainer: "ai_toolkit",
        is_diffusers: false,
        prefix: "diffusion_model.",
        separator: ".",
        pair: PEFT,
        algorithms: &[Lora, Lokr, Dora],
    },
    Spelling {
        trainer: "diffusers",
        is_diffusers: true,
        prefix: "transformer.",
        separator: ".",
        pair: PEFT,
        algorithms: &[Lora, Dora],
    },
    Spelling {
        trainer: "peft",
        is_diffusers: true,
        prefix: "base_model.model.",
        separator: ".",
        pair: PEFT,
        algorithms: &[Lora, OftV2],
    },
    Spelling {
        trainer: "diffsynth",
        is_diffusers: false,
        prefix: "",
        separator: ".",
        pair: ["lora_A.default.weight", "lora_B.default.weight"],
        algorithms: &[Lora],
    },
    Spelling {
        trainer: "onetrainer",
        is_diffusers: true,
        prefix: "lora_transformer_",
        separator: "_",
        pair: KOHYA,
        algorithms: &[Lora, OftV2],
    },
    Spelling {
        trainer: "simpletuner",
        is_diffusers: true,
        prefix: "lycoris_",
        separator: "_",
        pair: KOHYA,
        algorithms: &[Lokr],
    },
];

/// Tables of vectors, which trainers leave alone.
const EMBEDDINGS: [&str; 5] =
    ["embed_tokens", "visual.pos_embed", "llm_adapter.embed", "cond_type_embedding", "cond_type_embed"];

/// A file of one network.
pub struct MadeFile {
    pub name: String,
    pub family: String,
    pub part: Part,
    pub file: CaseFile,
}

/// Returns all lists.
pub fn kept() -> Vec<ModuleList> {
    let mut text = String::new();
    let packed = golden::bytes("golden/loaders/module_lists.json.gz");
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("a gzip file of text");
    let rows: Vec<Value> = serde_json::from_str(&text).expect("a list of networks");
    let word = |row: &Value, field: &str| row[field].as_str().expect("a text").to_owned();
    let list = |row: &Value| ModuleList {
        variant: word(row, "variant"),
        family: word(row, "family"),
        original: matrices(&row["original"]),
        diffusers: matrices(&row["diffusers"]),
    };
    rows.iter().map(list).collect()
}

fn matrices(patterns: &Value) -> Vec<Matrix> {
    let expanded = patterns.as_object().into_iter().flatten().flat_map(|(pattern, shape)| {
        let shape: Vec<usize> = serde_json::from_value(shape.clone()).expect("a shape");
        names(pattern).into_iter().map(move |path| (path, shape.clone()))
    });
    let matrix = |(path, shape): (String, Vec<usize>)| match shape[..] {
        [outputs, inputs] => Some(Matrix { path, outputs, inputs, is_kernel: false }),
        [outputs, inputs, 1, 1] => Some(Matrix { path, outputs, inputs, is_kernel: true }),
        _ => None,
    };
    let is_embedding = |matrix: &Matrix| EMBEDDINGS.iter().any(|name| matrix.path.ends_with(name));
    expanded.filter_map(matrix).filter(|matrix| !is_embedding(matrix)).collect()
}

impl ModuleList {
    /// Returns a file per spelling, algorithm and trained part.
    pub fn files(&self) -> Vec<MadeFile> {
        let is_unet = self.diffusers.iter().any(|matrix| matrix.path.starts_with("down_blocks."));
        let mut files = Vec::new();
        for spelling in &SPELLINGS {
            let matrices = if spelling.is_diffusers { &self.diffusers } else { &self.original };
            let prefix = match spelling.prefix {
                "transformer." if is_unet => "unet.",
                "lora_transformer_" if is_unet => "lora_unet_",
                prefix => prefix,
            };
            for part in [Part::All, Part::Attention, Part::Mlp, Part::Block] {
                let trained = part.of(matrices);
                if trained.is_empty() {
                    continue;
                }
                for &algorithm in spelling.algorithms {
                    let mut tensors = Map::new();
                    for matrix in &trained {
                        let stem = format!("{prefix}{}", matrix.path.replace('.', spelling.separator));
                        for (suffix, shape) in algorithm.factors(matrix, spelling.pair) {
                            tensors.insert(format!("{stem}.{suffix}"), json!(["F16", shape]));
                        }
                    }
                    let name = format!("{} {} {algorithm:?} {part:?}", self.variant, spelling.trainer);
                    let file = CaseFile::of(&json!({"tensors": tensors}));
                    files.push(MadeFile { name, family: self.family.clone(), part, file });
                }
            }
        }
        files
    }
}

impl Part {
    fn of(self, matrices: &[Matrix]) -> Vec<&Matrix> {
        let contains = |matrix: &Matrix, words: &[&str]| words.iter().any(|word| matrix.path.contains(word));
        let is_attention = |matrix: &Matrix| contains(matrix, &["attn", "attention", "Wqkv"]);
        let is_mlp = |matrix: &Matrix| {
            contains(matrix, &["mlp", "ff.", "ffn", "feed_forward", "ff_context"]) && !is_attention(matrix)
        };
        let block = middle_block(matrices);
        let is_part = |matrix: &&Matrix| match self {
            Part::All => true,
            Part::Attention => is_attention(matrix),
            Part::Mlp => is_mlp(matrix),
            Part::Block => {
                block.as_ref().is_some_and(|block| matrix.path.starts_with(block))
                    && (is_attention(matrix) || is_mlp(matrix))
            }
        };
        matrices.iter().filter(is_part).collect()
    }
}

/// Returns the path, with a final dot, of a block in the middle of the largest group of numbered blocks.
fn middle_block(matrices: &[Matrix]) -> Option<String> {
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for matrix in matrices {
        let parts = || matrix.path.split('.');
        let Some(number) = parts().find_map(|part| part.parse::<usize>().ok()) else { continue };
        let start: usize = parts().take_while(|part| part.parse::<usize>().is_err()).map(|part| part.len() + 1).sum();
        let (count, last) = groups.entry(&matrix.path[..start]).or_default();
        (*count, *last) = (*count + 1, number.max(*last));
    }
    let (group, (_, last)) = groups.into_iter().max_by_key(|(_, (count, _))| *count)?;
    Some(format!("{group}{}.", last / 2))
}

impl Algorithm {
    /// Returns suffixes and shapes of a matrix's tensors.
    fn factors(self, matrix: &Matrix, pair: [&'static str; 2]) -> Vec<(&'static str, Vec<usize>)> {
        let Matrix { outputs, inputs, .. } = *matrix;
        let kernel: &[usize] = if matrix.is_kernel { &[1, 1] } else { &[] };
        let lora =
            |rank| vec![(pair[0], [&[rank, inputs], kernel].concat()), (pair[1], [&[outputs, rank], kernel].concat())];
        match self {
            Algorithm::Lora if pair == KOHYA => [lora(16), vec![("alpha", vec![])]].concat(),
            Algorithm::Lora => lora(16),
            Algorithm::Dora if pair == KOHYA => [lora(16), vec![("dora_scale", vec![outputs, 1])]].concat(),
            Algorithm::Dora => [lora(16), vec![("lora_magnitude_vector", vec![outputs])]].concat(),
            Algorithm::Lokr | Algorithm::FactoredLokr => {
                let ((out_1, out_2), (in_1, in_2)) = (factorization(outputs, 16), factorization(inputs, 16));
                let second = match self {
                    Algorithm::Lokr => vec![("lokr_w2", vec![out_2, in_2])],
                    _ => vec![("lokr_w2_a", vec![out_2, 8]), ("lokr_w2_b", vec![8, in_2])],
                };
                [vec![("alpha", vec![]), ("lokr_w1", vec![out_1, in_1])], second].concat()
            }
            Algorithm::Oft => match outputs.is_multiple_of(4) {
                true => vec![("alpha", vec![]), ("oft_blocks", vec![4, outputs / 4, outputs / 4])],
                false => Vec::new(),
            },
            Algorithm::OftV2 => match inputs.is_multiple_of(32) {
                true => vec![("oft_R.weight", vec![inputs / 32, 32 * 31 / 2])],
                false => Vec::new(),
            },
        }
    }
}

/// Returns the two sizes whose product is a size, as LyCORIS chooses them.
fn factorization(size: usize, factor: usize) -> (usize, usize) {
    if size.is_multiple_of(factor) {
        return (factor.min(size / factor), factor.max(size / factor));
    }
    let near = (1..=factor).rev().find(|small| size.is_multiple_of(*small) && small * small <= size).unwrap_or(1);
    (near, size / near)
}
