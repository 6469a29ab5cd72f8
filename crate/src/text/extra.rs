//! Extra networks in a prompt: `<lora:name:0.8>`.
//!
//! The grammar is that of AUTOMATIC1111's web UI: `<kind:argument:argument…>`. The arguments of a LoRA are
//! its name, its strength in the text encoder (default 1) and its strength in the UNet (default: that of
//! the text encoder); the last two may be named, `te=0.5:unet=1`.

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
    /// File name without extension.
    pub name: String,
    /// Strength in the text encoder.
    pub text_encoder: f32,
    /// Strength in the UNet.
    pub unet: f32,
    /// Block weights as sd-webui-lora-block-weight reads them: the text after `lbw=`.
    pub blocks: Option<String>,
    /// Arguments that were ignored: not a number, or of another extension.
    pub unread: Vec<String>,
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

fn network(keyword: &str, arguments: &str) -> ExtraNetwork {
    let (mut name, mut blocks, mut unread) = (None, None, Vec::new());
    let (mut text_encoder, mut unet, mut position) = (None, None, 0);
    let (mut named_text_encoder, mut named_unet) = (None, None);
    for argument in arguments.split(':') {
        let slot = match (argument.split_once('='), position) {
            (Some(("te", value)), _) => Some((&mut named_text_encoder, value)),
            (Some(("unet", value)), _) => Some((&mut named_unet, value)),
            (Some(("lbw", value)), _) => {
                blocks = Some(value.to_owned());
                continue;
            }
            (_, 0) => {
                (name, position) = (Some(argument), 1);
                continue;
            }
            (None, 1) => Some((&mut text_encoder, argument)),
            (None, 2) => Some((&mut unet, argument)),
            _ => None,
        };
        position += usize::from(!argument.contains('='));
        let number = slot.and_then(|(slot, value)| Some((slot, value.trim().parse::<f32>().ok()?)));
        match number.filter(|(_, value)| value.is_finite()) {
            Some((slot, value)) => *slot = Some(value),
            None => unread.push(argument.to_owned()),
        }
    }
    let name = name.unwrap_or_default().to_owned();
    let text_encoder = named_text_encoder.or(text_encoder).unwrap_or(1.0);
    let unet = named_unet.or(unet).unwrap_or(text_encoder);
    let kind = match keyword {
        "lora" | "lyco" => NetworkKind::Lora,
        other => NetworkKind::Unsupported(other.into()),
    };
    ExtraNetwork { kind, name, text_encoder, unet, blocks, unread }
}
