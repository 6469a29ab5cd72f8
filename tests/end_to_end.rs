//! Images of SDXL and of SD 2.1 (v-prediction) compared with diffusers: samplers, sizes, image to image, LoRAs. On the
//! CPU all cases, on the GPU some.

#![cfg(not(target_os = "wasi"))] // the native runs compare these

use lora_loupe::device::Device;
use lora_loupe::gpu::{Gpu, KernelConfig};
use lora_loupe_tests::compare::LATENTS;
use lora_loupe_tests::end_to_end::EndToEnd;
use lora_loupe_tests::golden;
use std::rc::Rc;

/// Compares the cases of a pipeline whose names `is_chosen` accepts and returns their number.
async fn compare(mut opened: EndToEnd, is_chosen: impl Fn(&str) -> bool) -> usize {
    let cases: Vec<_> =
        opened.cases().into_iter().filter(|case| is_chosen(case["name"].as_str().unwrap_or(""))).collect();
    for case in &cases {
        let distance = opened.distance(case).await.unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
        assert!(distance <= LATENTS, "{}: {distance:.1e}", case["name"]);
    }
    cases.len()
}

#[test]
fn sdxl_and_sd21_on_the_cpu() {
    pollster::block_on(async {
        for (name, count) in [("mini-sdxl", 21), ("mini-sd21", 19)] {
            let opened = EndToEnd::open(&golden::path("golden"), name, Device::cpu(), KernelConfig::CPU).await;
            assert_eq!(compare(opened, |_| true).await, count, "{name}");
        }
    });
}

#[test]
fn sdxl_on_the_gpu() {
    pollster::block_on(async {
        let gpu = Gpu::open().await.expect("a Vulkan device; software Vulkan counts");
        let config = gpu.default_config();
        let opened = EndToEnd::open(&golden::path("golden"), "mini-sdxl", Rc::new(gpu), config).await;
        let chosen = ["euler", "img2img_ddim_s0.6", "lora_a_0.7_plus_b_0.4_dpmpp_2m_karras"];
        assert_eq!(compare(opened, |name| chosen.contains(&name)).await, chosen.len());
    });
}
