//! Extra networks in a prompt: `<lora:name:0.8>`.
//!
//! The grammar is that of AUTOMATIC1111's web UI: `<kind:argument:argument…>`. The arguments of a LoRA are
//! its name, its strength in the text encoder (default 1) and its strength in the UNet (default: that of
//! the text encoder); the last two may be named, `te=0.5:unet=1`. Extensions add strengths that change with the steps,
//! strengths of the second pass, and block weights.

use super::{ActiveSteps, StrengthCurve};

/// Kind of an extra network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkKind {
    /// `<lora:…>`, or `<lyco:…>`, which older web UIs required for LoHa, LoKr and others.
    Lora,
    /// Any other kind, by its keyword: `hypernet` and those of extensions.
    Unsupported(String),
}

/// An extra network in a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtraNetwork {
    /// Kind of the network.
    pub kind: NetworkKind,
    /// The whole tag, `<…>`.
    pub tag: String,
    /// File name without extension.
    pub name: String,
    /// Strength in the text encoder.
    pub text_encoder: StrengthCurve,
    /// Strength in the UNet.
    pub unet: StrengthCurve,
    /// Strengths in text encoder and UNet in a second pass, if others (`hr=`, `hrte=`, `hrunet=` of sd-webui-loractl).
    pub second_pass: (Option<StrengthCurve>, Option<StrengthCurve>),
    /// Steps in which it acts (`start=`, `stop=`, `step=5-10` of sd-webui-lora-block-weight).
    pub active: ActiveSteps,
    /// Block weights as sd-webui-lora-block-weight reads them: the text after `lbw=`, or the third argument.
    pub blocks: Option<String>,
    /// Arguments that are not understood, such as a strength that is not a number.
    pub unread: Vec<String>,
}

impl ExtraNetwork {
    /// Returns the strengths in text encoder and UNet, if they are the same in all steps and passes.
    pub fn constant(&self) -> Option<(f32, f32)> {
        let is_constant = self.text_encoder.is_constant()
            && self.unet.is_constant()
            && self.second_pass == (None, None)
            && self.active == ActiveSteps::default();
        is_constant.then(|| (self.text_encoder.at(0, 1), self.unet.at(0, 1)))
    }
}

/// Removes extra networks from a prompt and returns both, the networks in order.
///
/// Spaces around a network are kept, as in the web UI. Networks of other kinds than LoRA are removed as well.
pub fn extra_networks(prompt: &str) -> (String, Vec<ExtraNetwork>) {
    let (mut clean, mut networks) = (String::with_capacity(prompt.len()), Vec::new());
    let mut rest = prompt;
    while let Some((before, tag)) = rest.split_once('<') {
        clean.push_str(before);
        let keyword_len = tag.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tag.len());
        let arguments = tag[keyword_len..].strip_prefix(':').filter(|_| keyword_len > 0);
        match arguments.and_then(|arguments| arguments.split_once('>')) {
            Some((arguments, tail)) if !arguments.is_empty() => {
                networks.push(network(&tag[..keyword_len], arguments));
                rest = tail;
            }
            end => {
                clean.push('<');
                rest = tag;
                if arguments.is_some() && end.is_none() {
                    // Without another closing bracket no further network can follow.
                    break;
                }
            }
        }
    }
    clean.push_str(rest);
    (clean, networks)
}

/// Arguments of a LoRA by their names.
#[derive(Default)]
struct Arguments {
    text_encoder: Option<StrengthCurve>,
    unet: Option<StrengthCurve>,
    second_pass: Option<StrengthCurve>,
    second_text_encoder: Option<StrengthCurve>,
    second_unet: Option<StrengthCurve>,
    active: ActiveSteps,
    blocks: Option<String>,
}

impl Arguments {
    /// Sets a named argument; `None` if it is unknown or its value invalid.
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let curve = || value.parse::<StrengthCurve>().ok();
        let step = |text: &str| text.trim().parse::<f64>().ok().filter(|step| step.is_finite() && *step >= 0.0);
        match name {
            "te" => self.text_encoder = Some(curve()?),
            "unet" => self.unet = Some(curve()?),
            "hr" => self.second_pass = Some(curve()?),
            "hrte" => self.second_text_encoder = Some(curve()?),
            "hrunet" => self.second_unet = Some(curve()?),
            "start" => self.active.start = Some(step(value)?),
            "stop" => self.active.stop = Some(step(value)?),
            "step" => {
                let (start, stop) = value.split_once('-')?;
                self.active = ActiveSteps { start: Some(step(start)?), stop: Some(step(stop)?) };
            }
            "lbw" => self.blocks = Some(value.to_owned()),
            _ => return None,
        }
        Some(())
    }
}

fn network(keyword: &str, arguments: &str) -> ExtraNetwork {
    let mut parts = arguments.split(':');
    let name = parts.next().unwrap_or_default().to_owned();
    let (mut found, mut unread) = (Arguments::default(), Vec::new());
    let (mut text_encoder, mut unet, mut position) = (None, None, 0);
    for argument in parts {
        let is_read = match argument.split_once('=') {
            Some((name, value)) => found.set(name.trim(), value).is_some(),
            None => {
                position += 1;
                let curve = argument.parse::<StrengthCurve>().ok();
                match position {
                    1 => {
                        text_encoder = curve;
                        text_encoder.is_some()
                    }
                    2 if curve.is_some() => {
                        unet = curve;
                        true
                    }
                    // Block weights, as a list or by name, came here before `lbw=`.
                    2 if argument.contains(',') || argument.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                        found.blocks = Some(argument.to_owned());
                        true
                    }
                    _ => false,
                }
            }
        };
        if !is_read {
            unread.push(argument.to_owned());
        }
    }
    let text_encoder = found.text_encoder.or(text_encoder).unwrap_or(StrengthCurve::from(1.0));
    let unet = found.unet.or(unet).unwrap_or_else(|| text_encoder.clone());
    let tag = format!("<{keyword}:{arguments}>");
    let kind = match keyword {
        "lora" | "lyco" => NetworkKind::Lora,
        other => NetworkKind::Unsupported(other.into()),
    };
    let second_pass =
        (found.second_text_encoder.or_else(|| found.second_pass.clone()), found.second_unet.or(found.second_pass));
    let Arguments { active, blocks, .. } = found;
    ExtraNetwork { kind, tag, name, text_encoder, unet, second_pass, active, blocks, unread }
}
