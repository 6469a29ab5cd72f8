//! The layering of ARCHITECTURE.md: modules use only what its table allows.

use lora_loupe_tests::golden;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Returns the allowed dependencies of each module, from the table under "Who may use whom".
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = golden::text("../ARCHITECTURE.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::trim).collect();
        let [modules, uses, _] = cells.as_slice() else { return None };
        Some((*modules, *uses))
    });
    let mut table = BTreeMap::new();
    for (modules, uses) in rows {
        for module in modules.split(", ").filter(|name| MODULES.contains(name)) {
            let uses = match uses {
                "all" => MODULES.iter().map(|name| (*name).to_owned()).collect(),
                _ => uses.split(", ").filter(|name| MODULES.contains(name)).map(str::to_owned).collect(),
            };
            table.insert(module.to_owned(), uses);
        }
    }
    table
}

const MODULES: [&str; 16] = [
    "num", "formats", "model", "ops", "plan", "adapters", "analysis", "edit", "gpu", "weights", "text", "samplers",
    "pipeline", "bench", "wasm", "bin",
];

fn sources(at: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(at).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the path below crate/src and the text without comments of every source file.
fn code() -> Vec<(String, String)> {
    let root = golden::path("../crate/src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let code = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
        (path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/"), code)
    };
    found.into_iter().map(read).collect()
}

fn module_of(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap_or(path)
}

/// Returns the modules that follow `crate::` or `lora_loupe::`, including lists in braces.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "lora_loupe::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            let names = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default(),
                None => rest.split([':', ';', ',', ' ', '\n', ')', '<', '(']).next().unwrap_or_default(),
            };
            found.extend(names.split([',', ':', ' ', '\n']).filter(|name| MODULES.contains(name)).map(str::to_owned));
        }
    }
    found
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let table = table();
    assert_eq!(table.len(), MODULES.len(), "the table has a row for every module: {:?}", table.keys());
    let mut count = 0;
    for (path, code) in code() {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let allowed = table.get(module).unwrap_or_else(|| panic!("{path}: `{module}` is not in the table"));
        for used in uses(&code) {
            count += 1;
            assert!(
                used == module || allowed.contains(&used),
                "{path} uses `{used}`, which the table does not allow in `{module}`"
            );
        }
    }
    assert!(count > 100, "only {count} uses were found: the parser is broken");
}

#[test]
fn external_crates_are_used_in_one_module_only() {
    for (path, code) in code() {
        for (name, home) in
            [("wgpu::", "gpu"), ("wasm_bindgen", "wasm"), ("js_sys", "wasm"), ("web_sys", "wasm"), ("clap::", "bin")]
        {
            assert!(
                !code.contains(name) || module_of(&path) == home,
                "{path} uses {name}, which is allowed only in {home}/"
            );
        }
    }
}

/// Returns lines that widen a product after computing it: `(a * b) as u64` overflows where `usize` has 32 bits.
fn widened_products(code: &str) -> Vec<&str> {
    let casts = [") as u64", ") as f64", ") as u128"];
    code.lines()
        .filter(|line| {
            casts.iter().flat_map(|cast| line.match_indices(cast)).any(|(end, _)| {
                let mut depth = 1;
                let start = line[..end].rfind(|letter| {
                    depth += i32::from(letter == ')') - i32::from(letter == '(');
                    depth == 0
                });
                let inner = start.map_or("", |start| &line[start + 1..end]);
                // Products in the arguments of a call are not checked.
                let is_call =
                    start.is_some_and(|start| line[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
                let is_wide = ["u64", "f64", "u128"].iter().any(|wide| inner.contains(wide));
                !is_call && !is_wide && inner.contains(" * ")
            })
        })
        .collect()
}

#[test]
fn products_are_not_widened_after_the_multiplication() {
    let sources = code();
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(path, code)| widened_products(code).into_iter().map(move |line| format!("{path}: {}", line.trim())))
        .collect();
    assert!(found.is_empty(), "compute these products from u64 or f64 factors (num.rs): {found:#?}");
}

#[test]
fn a_widened_product_is_detected() {
    assert_eq!(widened_products("let bytes = (height * width * 4) as u64;").len(), 1);
    assert_eq!(widened_products("let n = 2 * (rows * (a + b)) as f64;").len(), 1);
    assert!(widened_products("let n = rows as u64 * f(a * b) as u64;").is_empty());
    assert!(widened_products("let n = (a + b) as u64 * c;").is_empty());
}

#[test]
fn every_source_file_starts_with_a_module_comment() {
    let root = golden::path("../crate/src");
    for (path, _) in code() {
        let text = std::fs::read_to_string(root.join(&path)).expect("a source file");
        assert!(text.starts_with("//! "), "{path} does not start with a module comment");
    }
}

#[test]
fn a_forbidden_use_is_detected() {
    assert!(uses("use crate::gpu::Gpu;").contains("gpu"));
    assert!(uses("use crate::{ops::Op, gpu};").contains("gpu"));
    assert!(uses("let x: crate::weights::Weights").contains("weights"));
    assert!(!table()["gpu"].contains("weights"));
}

#[test]
fn only_the_worker_imports_the_engine() {
    let mut found = Vec::new();
    fn scripts(at: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(at).expect("web/").flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "public") {
                scripts(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "js") {
                found.push(path);
            }
        }
    }
    scripts(&golden::path("../web"), &mut found);
    assert!(found.len() > 10, "the page's scripts were not found");
    for path in found {
        let text = std::fs::read_to_string(&path).expect("a script");
        let name = path.to_string_lossy().replace('\\', "/");
        assert!(!text.contains("pkg/lora_loupe") || name.ends_with("engine/worker.js"), "{name} imports the engine");
        let is_view = name.contains("/views/") || name.contains("/elements/");
        let imports = text.lines().filter(|line| line.contains("from ") || line.contains("import("));
        let imports_engine =
            imports.into_iter().any(|line| line.contains("../engine/") && !line.contains("../engine/types.d.ts"));
        assert!(!(is_view && imports_engine), "{name}: a view imports the engine");
    }
}

#[test]
fn every_test_file_is_run() {
    let manifest = golden::text("Cargo.toml");
    for entry in std::fs::read_dir(golden::path("")).expect("tests/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rs") {
            assert!(
                manifest.contains(&format!("path = \"{name}\"")),
                "tests/Cargo.toml does not list {name}: it would never run"
            );
        }
    }
}
