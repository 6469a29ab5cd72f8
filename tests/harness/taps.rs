//! Turns names of diffusers' modules into labels of plan steps.

/// The label of the step whose output is the module's; None for what a plan never forms by itself:
/// a resnet's norm without the SiLU that follows it, and the sinusoid, which is an input.
/// Blocks without a sampler at their end (the last one) have no label of their own either.
pub fn label(module: &str) -> Option<String> {
    let (parent, own) = module.rsplit_once('.').unwrap_or(("", module));
    let is_number = own.parse::<usize>().is_ok();
    Some(match (parent, own) {
        ("", "time_proj" | "conv_norm_out") => return None,
        (parent, "norm1" | "norm2") if parent.contains("resnets") => return None,
        ("", "conv_act") => "conv_norm_out".into(),
        ("", "time_embedding") => "time_embedding.linear_2".into(),
        (_, "mid_block") => format!("{module}.resnets.1"),
        ("decoder.mid_block.attentions", "0") => format!("{module}.add"),
        ("down_blocks", _) if is_number => format!("{module}.downsamplers.0.conv"),
        ("up_blocks" | "decoder.up_blocks", _) if is_number => format!("{module}.upsamplers.0.conv"),
        (parent, _) if is_number && parent.ends_with("samplers") => format!("{module}.conv"),
        (_, "attn1" | "attn2") => format!("{module}.to_out.0"),
        (_, "ff") => format!("{module}.net.2"),
        (parent, "0") if parent.ends_with("ff.net") => format!("{module}.proj"),
        _ => module.into(),
    })
}
