//! Labels of plan steps by diffusers module name.

/// Returns the label of the step with the module's output, or `None` if no step computes it alone: a resnet's norm
/// without the SiLU that follows it, and the sinusoidal timestep embedding, which is an input. The labels of blocks are
/// those of their samplers; the last block has none, so no step has its label.
pub fn label(module: &str) -> Option<String> {
    let (parent, name) = module.rsplit_once('.').unwrap_or(("", module));
    let is_index = name.parse::<usize>().is_ok();
    Some(match (parent, name) {
        ("", "time_proj" | "conv_norm_out") => return None,
        (parent, "norm1" | "norm2") if parent.contains("resnets") => return None,
        ("", "conv_act") => "conv_norm_out".into(),
        ("", "time_embedding") => "time_embedding.linear_2".into(),
        (_, "mid_block") => format!("{module}.resnets.1"),
        ("decoder.mid_block.attentions", "0") => format!("{module}.add"),
        ("down_blocks", _) if is_index => format!("{module}.downsamplers.0.conv"),
        ("up_blocks" | "decoder.up_blocks", _) if is_index => format!("{module}.upsamplers.0.conv"),
        (parent, _) if is_index && parent.ends_with("samplers") => format!("{module}.conv"),
        (_, "attn1" | "attn2") => format!("{module}.to_out.0"),
        (_, "ff") => format!("{module}.net.2"),
        (parent, "0") if parent.ends_with("ff.net") => format!("{module}.proj"),
        _ => module.into(),
    })
}
