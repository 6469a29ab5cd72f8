//! Kernels: operation and shapes -> launches.
//!
//! `<op>.wgsl` is the kernel and `<op>.rs` its launch, both with the stem of `ops/<op>.rs`.

pub(super) mod add;
pub(super) mod attention;
pub(super) mod axpy;
pub(super) mod concat;
pub(super) mod conv2d;
pub(super) mod epilogue;
pub(super) mod geglu;
pub(super) mod group_norm;
pub(super) mod layer_norm;
pub(super) mod matmul;
pub(super) mod moments;
pub(super) mod narrow;
pub(super) mod normalize;
pub(super) mod pixel_shuffle;
pub(super) mod prelu;
pub(super) mod product;
pub(super) mod renorm;
pub(super) mod roofline;
pub(super) mod rotate;
pub(super) mod rows;
pub(super) mod scale;
pub(super) mod unary;
pub(super) mod upsample;
pub(super) mod widen;
pub(super) mod winograd;

use super::kernel::{Launch, LaunchError, Style};
use super::params::ParamsLayout;
use crate::ops::{Op, Storage};
use std::fmt;

macro_rules! kernels {
    ($($kernel:ident = $name:literal: [$($stem:literal),*], $params:ty;)*) => {
        /// A compute shader.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kernel {
            $(#[doc = concat!("`", $name, "`.")] $kernel,)*
        }

        impl Kernel {
            /// All kernels.
            pub const ALL: &[Kernel] = &[$(Kernel::$kernel),*];

            /// Returns the name, which is usually the stem of the WGSL file.
            pub fn name(self) -> &'static str {
                match self { $(Kernel::$kernel => $name,)* }
            }

            /// Returns the kernel's own WGSL; see [`source`](super::wgsl::source).
            pub fn body(self) -> &'static str {
                match self { $(Kernel::$kernel => concat!($(embedded!("gpu/kernels/", $stem, ".wgsl")),*),)* }
            }

            /// Returns the layout of the uniforms.
            pub fn params(self) -> ParamsLayout {
                match self { $(Kernel::$kernel => ParamsLayout::of::<$params>(),)* }
            }
        }
    };
}
// Name, WGSL files and uniforms.
kernels! {
    Add = "add": ["add"], add::AddParams;
    Attention = "attention": ["attention_no_state", "attention_vec4", "attention"], attention::AttentionParams;
    AttentionChunk = "attention_chunk": ["attention_state", "attention_vec4", "attention"], attention::AttentionParams;
    AttentionUnaligned = "attention_unaligned": ["attention_no_state", "attention_unaligned", "attention"], attention::AttentionParams;
    AttentionUntiled = "attention_untiled": ["attention_no_state", "attention_untiled"], attention::AttentionParams;
    AttentionUntiledChunk = "attention_untiled_chunk": ["attention_state", "attention_untiled"], attention::AttentionParams;
    Axpy = "axpy": ["axpy"], axpy::AxpyParams;
    Concat = "concat": ["concat"], concat::ConcatParams;
    Conv2d = "conv2d": ["epilogue", "product", "window", "tile", "conv2d"], epilogue::ProductParams;
    Conv2dUnaligned = "conv2d_unaligned": ["unaligned", "conv2d_unaligned"], conv2d::UnalignedConvParams;
    Conv2dUntiled = "conv2d_untiled": ["epilogue", "product", "window", "conv2d_untiled"], epilogue::ProductParams;
    Geglu = "geglu": ["geglu"], geglu::GegluParams;
    GroupNorm = "group_norm": ["workgroup_sum", "group_norm"], group_norm::GroupNormParams;
    GroupNormSubgroups = "group_norm_subgroups": ["workgroup_sum_subgroups", "group_norm"], group_norm::GroupNormParams;
    LayerNorm = "layer_norm": ["workgroup_sum", "layer_norm"], layer_norm::LayerNormParams;
    LayerNormSubgroups = "layer_norm_subgroups": ["workgroup_sum_subgroups", "layer_norm"], layer_norm::LayerNormParams;
    Matmul = "matmul": ["epilogue", "product", "prologue", "tile", "matmul"], epilogue::ProductParams;
    MatmulUnaligned = "matmul_unaligned": ["unaligned", "matmul_unaligned"], matmul::UnalignedMatmulParams;
    MatmulUntiled = "matmul_untiled": ["epilogue", "product", "prologue", "matmul_untiled"], epilogue::ProductParams;
    Moments = "moments": ["workgroup_sum", "moments"], moments::MomentsParams;
    MomentsSubgroups = "moments_subgroups": ["workgroup_sum_subgroups", "moments"], moments::MomentsParams;
    Narrow = "narrow": ["narrow"], narrow::NarrowParams;
    NarrowBlocks = "narrow_blocks": ["narrow_blocks"], narrow::NarrowParams;
    Normalize = "normalize": ["normalize"], normalize::NormalizeParams;
    PixelShuffle = "pixel_shuffle": ["pixel_shuffle"], pixel_shuffle::PixelShuffleParams;
    Prelu = "prelu": ["prelu"], prelu::PreluParams;
    Renorm = "renorm": ["renorm"], renorm::RenormParams;
    RooflineArithmetic = "roofline_arithmetic": ["roofline_arithmetic"], roofline::ArithmeticParams;
    RooflineCopy = "roofline_copy": ["roofline_copy"], ();
    Rotate = "rotate": ["rotate"], rotate::RotateParams;
    Rows = "rows": ["rows"], rows::RowsParams;
    Scale = "scale": ["scale"], scale::ScaleParams;
    Unary = "unary": ["unary"], unary::UnaryParams;
    Upsample = "upsample": ["upsample"], upsample::UpsampleParams;
    Widen = "widen": ["widen"], widen::WidenParams;
    WinogradMap = "winograd_map": ["winograd_tile", "winograd_map"], winograd::InputTransformParams;
    WinogradSums = "winograd_sums": ["epilogue", "winograd_sums"], epilogue::ProductParams;
    WinogradWeight = "winograd_weight": ["winograd_tile", "winograd_weight"], winograd::FilterTransformParams;
}

impl Kernel {
    /// Returns the variant that reduces with subgroup operations, if there is one.
    pub fn with_subgroups(self) -> Option<Kernel> {
        match self {
            Kernel::GroupNorm => Some(Kernel::GroupNormSubgroups),
            Kernel::LayerNorm => Some(Kernel::LayerNormSubgroups),
            Kernel::Moments => Some(Kernel::MomentsSubgroups),
            _ => None,
        }
    }

    /// Returns whether it requires the subgroups feature.
    pub fn requires_subgroups(self) -> bool {
        Kernel::ALL.iter().any(|kernel| kernel.with_subgroups() == Some(self))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the launch of `op` for these shapes in the given style. `stored` holds the storage type of each input.
pub fn launch(
    op: &Op,
    inputs: &[&[usize]],
    output: &[usize],
    stored: &[Storage],
    style: Style,
) -> Result<Launch, LaunchError> {
    // The other kernels would misinterpret it.
    let reads_stored = |input: usize| match op {
        Op::Matmul(op) => input == op.operand_indices().weight,
        Op::Conv2d(op) => input == op.operand_indices().weight,
        Op::Widen(_) => true,
        _ => false,
    };
    if let Some(input) = stored.iter().enumerate().position(|(i, stored)| *stored != Storage::F32 && !reads_stored(i)) {
        return Err(LaunchError {
            kernel: op.get().name(),
            reason: format!("cannot read data stored as {:?} as input {input}", stored[input]),
        });
    }
    let launch = match op {
        Op::Add(op) => add::launch(op, inputs, output),
        Op::Attention(op) => attention::launch(op, inputs, output, style),
        Op::Axpy(op) => axpy::launch(op, inputs, output),
        Op::Concat(op) => concat::launch(op, inputs, output),
        Op::Conv2d(op) => conv2d::launch(op, inputs, output, stored[op.operand_indices().weight], style),
        Op::Geglu(op) => geglu::launch(op, inputs, output),
        Op::GroupNorm(op) => group_norm::launch(op, inputs, output, style),
        Op::LayerNorm(op) => layer_norm::launch(op, inputs, output, style),
        Op::Matmul(op) => matmul::launch(op, inputs, stored[op.operand_indices().weight], style),
        Op::Moments(op) => moments::launch(op, inputs, style),
        Op::Normalize(op) => normalize::launch(op, inputs, output),
        Op::PixelShuffle(op) => pixel_shuffle::launch(op, inputs, output),
        Op::Prelu(op) => prelu::launch(op, inputs, output),
        Op::Renorm(op) => renorm::launch(op, inputs, output),
        Op::Rotate(op) => rotate::launch(op, inputs, output),
        Op::Rows(op) => rows::launch(op, inputs, output),
        Op::Scale(op) => scale::launch(op, inputs, output),
        Op::Narrow(op) => narrow::launch(op, output),
        Op::Unary(op) => unary::launch(op, inputs, output),
        Op::Upsample(op) => upsample::launch(op, inputs, output),
        Op::Widen(op) => widen::launch(op, output, stored[0]),
    };
    launch?.checked()
}
