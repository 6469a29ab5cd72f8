//! Compares generated images with a folder of goldens (pipelines/, e2e/ and loras/ with diffusers' outputs):
//! `cargo run -p lora-loupe-tests -- goldens DIR [NAME…]`.

use lora_loupe::gpu::Gpu;
use lora_loupe_tests::end_to_end::EndToEnd;
use std::path::Path;
use std::rc::Rc;

/// The goldens' tolerance for latents in f32.
const LIMIT: f64 = 2e-4;

pub fn run(arguments: &[&str]) {
    let [root, only @ ..] = arguments else {
        eprintln!("usage: goldens FOLDER [NAME ...]");
        std::process::exit(2);
    };
    let root = Path::new(root);
    let (mut passed, mut failed) = (0, 0);
    for entry in std::fs::read_dir(root.join("e2e")).expect("e2e/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if only.is_empty() || only.contains(&name.as_str()) {
            let (ok, bad) = pollster::block_on(pipeline(root, &name));
            passed += ok;
            failed += bad;
        }
    }
    println!("{passed} passed, {failed} failed");
    std::process::exit(i32::from(failed > 0 || passed == 0));
}

async fn pipeline(root: &Path, name: &str) -> (usize, usize) {
    let gpu = Gpu::open().await.expect("a device");
    let config = gpu.default_config();
    let mut opened = EndToEnd::open(root, name, Rc::new(gpu), config).await;
    let (mut passed, mut failed) = (0, 0);
    for case in opened.cases() {
        let distance = opened.distance(&case).await;
        let ok = distance.as_ref().is_ok_and(|distance| *distance <= LIMIT);
        let distance = distance.map_or_else(|error| error, |distance| format!("{distance:.1e}"));
        println!("{name} {}: {distance}{}", case["name"], if ok { "" } else { "  FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    (passed, failed)
}
