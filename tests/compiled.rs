//! The kernels through the compiler of AMD's cards: nothing spills, and inner loops mostly multiply. Without Mesa's RADV
//! driver nothing is checked, which the output says; it has no test harness, which would count that as a pass.

#[cfg(target_family = "wasm")]
fn main() {}

#[cfg(not(target_family = "wasm"))]
fn main() {
    use lora_loupe::ops::Storage;
    use lora_loupe_tests::radv;
    use serde_json::Value;
    use std::process::{Command, Stdio};

    if radv::manifest().is_none() {
        println!("compiled kernels: NOT CHECKED, since Mesa's RADV driver is not installed (mesa-vulkan-drivers)");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_tools")).arg("compiled").stderr(Stdio::inherit()).output();
    let output = output.expect("the tool runs");
    assert!(output.status.success(), "the kernels are compiled");
    let table: Value = serde_json::from_slice(&output.stdout).expect("a table");
    let rows = table["rows"].as_array().expect("rows");
    // Mesa 22 gives RDNA3, which was new, at most 132 registers; Mesa 25 gives as many as are needed.
    let is_judged = |row: &&Value| row["device"] != "RDNA3" || table["mesa"].as_u64() > Some(22);
    let judged: Vec<&Value> = rows.iter().filter(is_judged).collect();
    let failed: Vec<String> = judged.iter().filter_map(|row| failure(row)).collect();
    let checked = |kernel: &str| rows.iter().any(|row| row["kernel"] == kernel);
    for kernel in ["matmul", "matmul_untiled", "conv2d", "conv2d_untiled", "attention", "group_norm", "layer_norm"] {
        assert!(checked(kernel), "{kernel} is among the {} compiled kernels", rows.len());
    }
    assert!(failed.is_empty(), "{} of {} compiled kernels:\n{}", failed.len(), judged.len(), failed.join("\n"));
    println!("compiled kernels: {} of {} checked, by {}", judged.len(), rows.len(), table["adapter"]);

    /// Returns what is wrong with a compiled kernel, if anything.
    fn failure(row: &Value) -> Option<String> {
        let kernel = row["kernel"].as_str().expect("a name");
        let variant = row["variant"].as_str().expect("a variant");
        let is_f16 = variant.ends_with("f16");
        let is_quantized = [Storage::Q8, Storage::Q4]
            .iter()
            .any(|storage| variant.starts_with(&format!("STORAGE {}", storage.code())));
        // Smallest allowed share of multiply-adds in the inner loop.
        let share = match kernel {
            "attention" => 0.6,
            "matmul" | "conv2d" if is_f16 => 0.5,
            "matmul" | "conv2d" => 0.7,
            // Each invocation decodes the blocks that it multiplies.
            "matmul_untiled" | "conv2d_untiled" if is_quantized => 0.2,
            "matmul_untiled" | "conv2d_untiled" => 0.3,
            _ => 0.0,
        };
        // Fewest allowed subgroups per SIMD unit; a Vega's registers hold few of any kernel with large tiles.
        let waves = match kernel {
            _ if row["device"] == "Vega" => 1,
            "matmul_untiled" | "conv2d_untiled" => 4,
            _ => 6,
        };
        let is_good = row["spilled"] == 0
            && row["fma"].as_f64().expect("a share") >= share
            && row["waves"].as_u64().expect("a count") >= waves;
        (!is_good).then(|| format!("{row}, with a share of {share} and {waves} waves wanted"))
    }
}
