//! PyTorch = definition = kernel, for every operation at production shapes and odd ones.

use lora_loupe::gpu::{Gpu, Runner, Scalar, Style, kernel, kernels};
use lora_loupe::plan::interpret;
use lora_loupe_tests::compare::{close, rel_rms};
use lora_loupe_tests::ops::{Case, cases};

/// The definitions sum in f64 and round once, as the golden does.
const DEFINITION: f64 = 3e-7;
/// Kernels sum in f32, in another order, with a 1.5e-7 erf. The worst is a dot product of 1000
/// numbers under a softmax, 3.4e-6 on software Vulkan; the others stay under 2e-6.
const KERNEL: f64 = 5e-6;

fn define(case: &Case) -> Vec<f32> {
    let mut give = |name: &str| name[1..].parse::<usize>().ok().map(|i| case.inputs[i].clone());
    interpret(&case.plan, &mut give, &case.scalars).expect("the definition runs").remove("y").expect("an output")
}

#[test]
fn definitions_agree_with_pytorch() {
    for case in cases() {
        close(&case.name, &case.sample(&define(&case)), &case.golden, DEFINITION);
    }
}

fn agree(style: Style) {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        gpu.set_style(style);
        println!("on {:?}", gpu.info());
        for case in cases() {
            let runner =
                Runner::new(&gpu, &case.plan, &|_| None).await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
            for (i, data) in case.inputs.iter().enumerate() {
                runner.set(&gpu, &format!("x{i}"), data).expect("an input");
            }
            runner.set_scalars(&gpu, &case.scalars);
            let got = runner.compute(&gpu, "y").await.unwrap_or_else(|e| panic!("{}: {e}", case.name));
            close(&case.name, &got, &define(&case), KERNEL);
        }
    });
}

#[test]
fn tiled_kernels_agree_with_definitions() {
    agree(Style::Tiled);
}

#[test]
fn direct_kernels_agree_with_definitions() {
    agree(Style::Direct);
}

#[test]
fn a_broken_definition_would_be_seen() {
    let case = cases().into_iter().find(|case| case.name.contains("conv2d")).expect("a convolution");
    let mut output = define(&case);
    let last = output.len() - 1;
    output[last] += 0.5;
    assert!(rel_rms(&case.sample(&output), &case.golden) > DEFINITION);
}

#[test]
fn every_kernel_is_valid_wgsl_in_both_storages() {
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16;
    for (name, _) in kernels::ALL {
        for scalar in [Scalar::F32, Scalar::F16] {
            let text = kernel::text(name, scalar).expect("a text");
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name} {scalar:?}: {}", error.emit_to_string(&text)));
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name} {scalar:?}: {}", error.emit_to_string(&text)));
        }
    }
}
