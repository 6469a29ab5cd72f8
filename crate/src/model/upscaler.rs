//! Networks that enlarge images: the names and shapes of a file's tensors → layers in execution order.
//!
//! ESRGAN's RRDBNet (Wang et al. 2018) in the spellings of its first files, of its later ones and of BasicSR, with
//! Real-ESRGAN's pixel unshuffle and ESRGAN+'s 1x1 convolutions, and Real-ESRGAN's SRVGGNetCompact.

use super::module::{Kind, Module};
use crate::sorting;
use std::collections::BTreeMap;

/// Names of tensors that only one other architecture has.
const OTHERS: [(&str, &str); 22] = [
    ("am_list.0.fc.0.weight", "MM-RealSR"),
    ("layers.0.residual_group.td", "ATD"),
    ("layers.0.residual_group.hf_blocks.0.attn.temperature", "CRAFT"),
    ("layers.0.blocks.0.attn.attns.0.rpe_biases", "RGT"),
    ("layers.0.blocks.0.ffn.sg.norm.weight", "DAT"),
    ("layers.0.swin1.norm1.weight", "DRCT"),
    ("groups.0.blocks.0.inter.cg.1.weight", "FDAT"),
    ("layers.0.blocks.0.attn.window_attn.attn_transform.logit_scale", "GRL"),
    ("layers.0.residual_group.blocks.0.conv_block.cab.0.weight", "HAT"),
    ("layers.0.residual_group.blocks.0.attn.logit_scale", "Swin2SR"),
    ("layers.0.residual_group.blocks.0.attn.qkv.weight", "SwinIR"),
    ("UFONE.0.ITLs.0.attn.temperature", "DITN"),
    ("gblocks.1.conv.weight", "MoSR"),
    ("residual_layer.0.residual_layer.0.layer.0.fn.0.weight", "OmniSR"),
    ("feats.1.refine.weight", "PLKSR"),
    ("body.0.body.0.body.3.conv_du.0.weight", "RCAN"),
    ("unet1.conv2.seblock.conv1.weight", "Real-CUGAN"),
    ("feats.0.safm.aggr.weight", "SAFMN"),
    ("m_head.0.weight", "SCUNet"),
    ("block_1.c1_r.eval_conv.weight", "SPAN"),
    ("body.0.local_block.norm_1.weight", "SeemoRe"),
    ("initial.cnn.depthwise.weight", "Swift-SRGAN"),
];

/// Names of a first convolution and of another tensor, which together tell an architecture.
const KNOWN: [(&str, &str); 4] = [
    ("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"),
    ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight"),
    ("conv_first.weight", "body.0.rdb1.conv1.weight"),
    ("body.0.weight", "body.1.weight"),
];

/// A network that enlarges images.
#[derive(Debug, Clone, PartialEq)]
pub struct UpscalerNet {
    /// Factor of width and height.
    pub scale: usize,
    /// The layers.
    pub layers: UpscalerLayers,
}

/// Layers of an upscaler, in execution order. Their paths are the keys of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum UpscalerLayers {
    /// ESRGAN.
    Rrdb(Box<RrdbNet>),
    /// Real-ESRGAN's compact network: convolutions, each but the last with the key of its PReLU's slopes.
    Compact(Vec<(Module, Option<String>)>),
}

/// ESRGAN's network of residual-in-residual dense blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct RrdbNet {
    /// Height and width of the blocks of pixels that the first convolution reads as one.
    pub unshuffle: usize,
    /// First convolution.
    pub first: Module,
    /// Residual-in-residual blocks of three dense blocks.
    pub blocks: Vec<[DenseBlock; 3]>,
    /// Convolution after the blocks.
    pub trunk: Module,
    /// Convolutions after each doubling of the size.
    pub up: Vec<Module>,
    /// Convolution at full size.
    pub hr: Module,
    /// Last convolution.
    pub last: Module,
}

/// A dense block.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseBlock {
    /// Convolutions, each of which reads the results of all before it.
    pub convs: [Module; 5],
    /// ESRGAN+'s 1x1 convolution.
    pub skip: Option<Module>,
}

/// Why a file is no upscaler that can be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UpscalerError {
    /// Not an upscaler.
    #[error("this is no known upscaler: ESRGAN, ESRGAN+, Real-ESRGAN and Real-ESRGAN Compact are drawn")]
    Unknown,
    /// Another architecture.
    #[error(
        "this is an upscaler of the architecture {0}; only ESRGAN, ESRGAN+, Real-ESRGAN and Real-ESRGAN Compact are drawn"
    )]
    Other(&'static str),
    /// A tensor that is missing or of another shape.
    #[error("the upscaler's `{0}` is missing or has another shape than its architecture says")]
    Tensor(String),
}

/// The tensors of a file, without the prefix that all of the network's have.
struct Tensors<'a> {
    prefix: &'a str,
    shapes: BTreeMap<&'a str, &'a [usize]>,
}

impl UpscalerNet {
    /// Reads the network from the names and shapes of a file's tensors. Of several networks in it, the one with averaged
    /// weights (`params_ema`) counts.
    pub fn of<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Result<UpscalerNet, UpscalerError> {
        let shapes: BTreeMap<&str, &[usize]> = tensors.collect();
        let is_at_end = |name: &str, key: &str| {
            name.strip_suffix(key).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        };
        if let Some((_, name)) = OTHERS.iter().find(|(key, _)| shapes.keys().any(|name| is_at_end(name, key))) {
            return Err(UpscalerError::Other(name));
        }
        let of_kind = |(kind, (first, second)): (usize, &(&str, &str))| {
            let prefixes = shapes.keys().filter(|name| is_at_end(name, first));
            let prefixes = prefixes.map(|name| &name[..name.len() - first.len()]);
            let complete = prefixes.filter(|prefix| shapes.contains_key(format!("{prefix}{second}").as_str()));
            complete.min_by_key(|prefix| (!prefix.contains("ema"), prefix.len())).map(|prefix| (kind, prefix))
        };
        let (kind, prefix) = KNOWN.iter().enumerate().find_map(of_kind).ok_or(UpscalerError::Unknown)?;
        let own = shapes.iter().filter_map(|(name, shape)| Some((name.strip_prefix(prefix)?, *shape)));
        let tensors = Tensors { prefix, shapes: own.collect() };
        let (scale, layers) = match kind {
            0 => tensors.old_rrdb()?,
            1 => tensors.rrdb("RRDB_trunk.", "RDB", ["trunk_conv", "upconv", "HRconv"])?,
            2 => tensors.rrdb("body.", "rdb", ["conv_body", "conv_up", "conv_hr"])?,
            _ => tensors.compact()?,
        };
        Ok(UpscalerNet { scale, layers })
    }

    /// Returns the name of the architecture.
    pub fn architecture(&self) -> &'static str {
        match &self.layers {
            UpscalerLayers::Rrdb(net) if net.blocks.iter().flatten().any(|block| block.skip.is_some()) => "ESRGAN+",
            UpscalerLayers::Rrdb(_) => "ESRGAN",
            UpscalerLayers::Compact(_) => "Real-ESRGAN Compact",
        }
    }

    /// Returns the number that width and height of its input are multiples of.
    pub fn size_multiple(&self) -> usize {
        match &self.layers {
            UpscalerLayers::Rrdb(net) => net.unshuffle,
            UpscalerLayers::Compact(_) => 1,
        }
    }
}

impl Tensors<'_> {
    fn bad(&self, key: &str) -> UpscalerError {
        UpscalerError::Tensor(format!("{}{key}", self.prefix))
    }

    fn has(&self, stem: &str) -> bool {
        self.shapes.contains_key(format!("{stem}.weight").as_str())
    }

    /// Returns the convolution of this name, which has `inputs` inputs (any if 0).
    fn conv(&self, stem: &str, inputs: usize) -> Result<Module, UpscalerError> {
        let shape = self.shapes.get(format!("{stem}.weight").as_str()).copied();
        let &[outputs, read, kernel, columns] = shape.unwrap_or_default() else { return Err(self.bad(stem)) };
        let bias = self.shapes.get(format!("{stem}.bias").as_str()).copied();
        let is_odd = kernel == columns && matches!(kernel, 1 | 3);
        if outputs == 0
            || read == 0
            || !is_odd
            || (inputs != 0 && read != inputs)
            || bias.is_some_and(|b| b != [outputs])
        {
            return Err(self.bad(stem));
        }
        let kind = Kind::Conv { inputs: read, outputs, kernel, stride: 1, padding: kernel / 2 };
        let module = Module::new(format!("{}{stem}", self.prefix), "", kind);
        Ok(if bias.is_some() { module } else { module.without_bias() })
    }

    /// Returns the numbers N of the layers `{start}N.weight`, ascending.
    fn numbers(&self, start: &str) -> Vec<usize> {
        let number = |key: &&str| key.strip_prefix(start)?.strip_suffix(".weight")?.parse().ok();
        let mut numbers: Vec<usize> = self.shapes.keys().filter_map(number).collect();
        sorting::sort_by_key(&mut numbers, |&number| number);
        numbers
    }

    /// A dense block, of which `name` spells convolution 1 to 5.
    fn dense(&self, width: usize, name: &dyn Fn(&str) -> String) -> Result<DenseBlock, UpscalerError> {
        let mut inputs = width;
        let mut conv = |number: &str| {
            let conv = self.conv(&name(number), inputs)?;
            inputs += conv.weight_shape()[0];
            Ok(conv)
        };
        let convs = [conv("1")?, conv("2")?, conv("3")?, conv("4")?, conv("5")?];
        let skip = name("1x1");
        let skip = skip.strip_suffix(".0").unwrap_or(&skip);
        let skip = self.has(skip).then(|| self.conv(skip, width)).transpose()?;
        Ok(DenseBlock { convs, skip })
    }

    /// The network from its first convolution, blocks and last convolutions.
    fn network(
        &self,
        first: &str,
        count: usize,
        block: &dyn Fn(usize, usize, &str) -> String,
        trunk: &str,
        rest: &[String],
    ) -> Result<(usize, UpscalerLayers), UpscalerError> {
        let first = self.conv(first, 0)?;
        let (width, channels) = (first.weight_shape()[0], first.weight_shape()[1]);
        let unshuffle = [1, 2, 4].into_iter().find(|factor| 3 * factor * factor == channels);
        let unshuffle = unshuffle.ok_or_else(|| UpscalerError::Tensor(first.path.clone()))?;
        let dense = |index, number| self.dense(width, &|conv| block(index, number, conv));
        let blocks = (0..count).map(|index| Ok([dense(index, 1)?, dense(index, 2)?, dense(index, 3)?]));
        let rest: Vec<Module> = rest.iter().map(|name| self.conv(name, width)).collect::<Result<_, _>>()?;
        let [up @ .., hr, last] = rest.as_slice() else { return Err(self.bad("conv_last")) };
        let scale = 1 << up.len().min(8);
        if last.weight_shape()[0] != 3 || scale % unshuffle != 0 {
            return Err(UpscalerError::Tensor(last.path.clone()));
        }
        let net = RrdbNet {
            unshuffle,
            first,
            blocks: blocks.collect::<Result<_, _>>()?,
            trunk: self.conv(trunk, width)?,
            up: up.to_vec(),
            hr: hr.clone(),
            last: last.clone(),
        };
        Ok((scale / unshuffle, UpscalerLayers::Rrdb(Box::new(net))))
    }

    /// The first files' spelling, in which positions in a list are names.
    fn old_rrdb(&self) -> Result<(usize, UpscalerLayers), UpscalerError> {
        let count = self.numbers("model.1.sub.").last().copied().unwrap_or(0);
        let block = |index, number, conv: &str| format!("model.1.sub.{index}.RDB{number}.conv{conv}.0");
        let rest = self.numbers("model.").into_iter().filter(|&number| number > 1);
        let rest: Vec<String> = rest.map(|number| format!("model.{number}")).collect();
        self.network("model.0", count, &block, &format!("model.1.sub.{count}"), &rest)
    }

    /// The later spellings.
    fn rrdb(
        &self,
        body: &str,
        dense: &str,
        [trunk, up, hr]: [&str; 3],
    ) -> Result<(usize, UpscalerLayers), UpscalerError> {
        let block = |index: usize, number: usize, conv: &str| format!("{body}{index}.{dense}{number}.conv{conv}");
        let count = (0..).take_while(|&index| self.has(&block(index, 1, "1"))).count();
        let ups = self.numbers(up).into_iter().map(|number| format!("{up}{number}"));
        let rest: Vec<String> = ups.chain([hr.to_owned(), "conv_last".to_owned()]).collect();
        self.network("conv_first", count, &block, trunk, &rest)
    }

    fn compact(&self) -> Result<(usize, UpscalerLayers), UpscalerError> {
        let numbers = self.numbers("body.");
        let last = numbers.last().copied().unwrap_or(0);
        let (mut layers, mut width) = (Vec::new(), 3);
        for number in (0..=last).step_by(2) {
            let conv = self.conv(&format!("body.{number}"), width)?;
            width = conv.weight_shape()[0];
            let slopes = format!("body.{}.weight", number + 1);
            if number < last && self.shapes.get(slopes.as_str()).copied() != Some(&[width]) {
                return Err(self.bad(&slopes));
            }
            layers.push((conv, (number < last).then(|| format!("{}{slopes}", self.prefix))));
        }
        let scale = (1..=16).find(|scale| 3 * scale * scale == width);
        match scale.filter(|_| last > 0 && last % 2 == 0) {
            Some(scale) => Ok((scale, UpscalerLayers::Compact(layers))),
            None => Err(self.bad(&format!("body.{last}"))),
        }
    }
}
