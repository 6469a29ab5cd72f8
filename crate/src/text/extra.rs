//! Turns the `<lora:name:0.8>` of a prompt into a list, and the prompt into one without them.
//!
//! The grammar is that of AUTOMATIC1111's web UI: `<kind:argument:argument…>`. Of a LoRA the
//! arguments are its name, its strength in the text encoder (1 if left out) and its strength in the
//! UNet (that of the text encoder if left out); the last two may be named, `te=0.5:unet=1`.

/// What a mark in angle brackets asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkKind {
    /// `<lora:…>`, or `<lyco:…>`, which older web UIs wanted for LoHa, LoKr and others.
    Lora,
    /// Anything else, by its word: `hypernet` and what extensions add.
    Unsupported(String),
}

/// A network that the prompt asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtraNetwork {
    /// What it is.
    pub kind: NetworkKind,
    /// Its file's name without the ending.
    pub name: String,
    /// Strength in the text encoder.
    pub text_encoder: f32,
    /// Strength in the UNet.
    pub unet: f32,
    /// Strengths of blocks, `lbw=…`, as sd-webui-lora-block-weight reads them: the text behind the sign.
    pub blocks: Option<String>,
    /// Arguments that mean nothing here: no numbers, or of another extension.
    pub unread: Vec<String>,
}

/// The prompt without marks in angle brackets, and what the marks ask for, in their order.
///
/// Spaces around a mark stay, as in the web UI. Marks of other kinds than LoRA go as well.
pub fn extra_networks(prompt: &str) -> (String, Vec<ExtraNetwork>) {
    let (mut clean, mut networks) = (String::with_capacity(prompt.len()), Vec::new());
    let mut rest = prompt;
    while let Some((before, mark)) = rest.split_once('<') {
        clean.push_str(before);
        let word = mark.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(mark.len());
        let arguments = mark[word..].strip_prefix(':').filter(|_| word > 0);
        match arguments.and_then(|arguments| arguments.split_once('>')) {
            Some((arguments, tail)) if !arguments.is_empty() => {
                networks.push(network(&mark[..word], arguments));
                rest = tail;
            }
            end => {
                clean.push('<');
                rest = mark;
                if arguments.is_some() && end.is_none() {
                    // Without another closing bracket there is no further mark.
                    break;
                }
            }
        }
    }
    clean.push_str(rest);
    (clean, networks)
}

fn network(word: &str, arguments: &str) -> ExtraNetwork {
    let (mut name, mut blocks, mut unread) = (None, None, Vec::new());
    let (mut text_encoder, mut unet, mut place) = (None, None, 0);
    let (mut named_text_encoder, mut named_unet) = (None, None);
    for argument in arguments.split(':') {
        let slot = match (argument.split_once('='), place) {
            (Some(("te", value)), _) => Some((&mut named_text_encoder, value)),
            (Some(("unet", value)), _) => Some((&mut named_unet, value)),
            (Some(("lbw", value)), _) => {
                blocks = Some(value.to_owned());
                continue;
            }
            (_, 0) => {
                (name, place) = (Some(argument), 1);
                continue;
            }
            (None, 1) => Some((&mut text_encoder, argument)),
            (None, 2) => Some((&mut unet, argument)),
            _ => None,
        };
        place += usize::from(!argument.contains('='));
        let number = slot.and_then(|(slot, value)| Some((slot, value.trim().parse::<f32>().ok()?)));
        match number.filter(|(_, value)| value.is_finite()) {
            Some((slot, value)) => *slot = Some(value),
            None => unread.push(argument.to_owned()),
        }
    }
    let name = name.unwrap_or_default().to_owned();
    let text_encoder = named_text_encoder.or(text_encoder).unwrap_or(1.0);
    let unet = named_unet.or(unet).unwrap_or(text_encoder);
    let kind = match word {
        "lora" | "lyco" => NetworkKind::Lora,
        other => NetworkKind::Unsupported(other.into()),
    };
    ExtraNetwork { kind, name, text_encoder, unet, blocks, unread }
}
