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

const MODULES: [&str; 24] = [
    "num", "program", "sentence", "sorting", "twister", "formats", "model", "linalg", "simd", "ops", "plan",
    "adapters", "analysis", "edit", "gpu", "cpu", "device", "weights", "text", "samplers", "pipeline", "bench", "wasm",
    "bin",
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

/// Returns the path below crate/src and the text of every source file; linalg and simd, crates of their own, as if they
/// were modules there.
fn files() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (root, prefix) in [("../crate/src", ""), ("../linalg/src", "linalg/"), ("../simd/src", "simd/")] {
        let (root, mut found) = (golden::path(root), Vec::new());
        sources(&root, &mut found);
        for path in found {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
            let path = if prefix.is_empty() { path } else { path.replace("lib.rs", "mod.rs") };
            all.push((format!("{prefix}{path}"), text));
        }
    }
    all
}

/// Returns the files without comments.
fn code() -> Vec<(String, String)> {
    let uncommented = |line: &str| line.split("//").next().unwrap_or("").to_owned();
    let code = |text: String| text.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    files().into_iter().map(|(path, text)| (path, code(text))).collect()
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

/// The modules that each module uses.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The modules of the crate: one per file, and one per folder, which is its mod.rs.
struct Modules {
    /// Text without comments and tests, by path: `analysis::loaders::judge`.
    code: BTreeMap<String, String>,
    /// Paths of the folders.
    folders: BTreeSet<String>,
    /// The paths of the names that each module imports.
    imports: BTreeMap<String, BTreeMap<String, String>>,
}

impl Modules {
    /// Reads modules from files, given by their paths below crate/src and their texts without comments.
    fn of(files: Vec<(String, String)>) -> Modules {
        let path = |file: &str| match file.strip_suffix(".rs").unwrap_or(file) {
            "lib" => String::new(),
            path => path.strip_suffix("/mod").unwrap_or(path).replace('/', "::"),
        };
        let code: BTreeMap<String, String> =
            files.iter().map(|(file, text)| (path(file), without_tests(text))).collect();
        let folders = code.keys().flat_map(|path| path.match_indices("::").map(|(at, _)| path[..at].to_owned()));
        let folders = folders.chain([String::new()]).collect();
        let mut modules = Modules { code, folders, imports: BTreeMap::new() };
        for (path, text) in &modules.code {
            let names =
                use_items(text).into_iter().filter_map(|(name, item)| Some((name, modules.absolute(path, &item)?)));
            let names: BTreeMap<String, String> = names.collect();
            assert!(!names.contains_key("*"), "{path}: a glob import hides what the file uses");
            modules.imports.insert(path.clone(), names);
        }
        modules
    }

    /// Returns an item's path from the root of the library, or of the command line; `None` if it is not from there.
    /// `item` is its path in `module`.
    fn absolute(&self, module: &str, item: &str) -> Option<String> {
        let (first, rest) = item.split_once("::").unwrap_or((item, ""));
        match first {
            "crate" if module.starts_with(COMMAND_LINE) => Some(join(COMMAND_LINE, rest)),
            "crate" | "lora_loupe" => Some(rest.to_owned()),
            "" => None,
            "self" => Some(join(module, rest)),
            "super" => {
                let (mut parent, mut rest) = (parent(module), rest);
                while let Some(above) = rest.strip_prefix("super::") {
                    (parent, rest) = (self::parent(parent), above);
                }
                Some(join(parent, rest))
            }
            _ => {
                let imported = self.imports.get(module).and_then(|names| names.get(first));
                let child = || Some(join(module, first)).filter(|child| self.code.contains_key(child));
                Some(join(&imported.cloned().or_else(child)?, rest))
            }
        }
    }

    /// Returns the file that defines an item, following imports of mod.rs files; `None` if that is a mod.rs.
    fn definition(&self, item: &str) -> Option<String> {
        let (mut folder, mut rest) = (String::new(), item);
        while !rest.is_empty() {
            let (name, after) = rest.split_once("::").unwrap_or((rest, ""));
            let child = join(&folder, name);
            if !self.folders.contains(&child) {
                return match self.code.contains_key(&child) {
                    true => Some(child),
                    false => self.definition(&join(self.imports.get(&folder)?.get(name)?, after)),
                };
            }
            (folder, rest) = (child, after);
        }
        None
    }

    /// Returns the files that each file uses, without mod.rs files.
    fn graph(&self) -> Graph {
        let files = self.code.iter().filter(|(path, _)| !self.folders.contains(*path));
        let used = |(path, text): (&String, &String)| {
            let imported = self.imports[path].values().cloned();
            let inline = paths(text).into_iter().filter_map(|item| self.absolute(path, item));
            let used = imported.chain(inline).filter_map(|item| self.definition(&item)).filter(|used| used != path);
            (path.clone(), used.collect::<BTreeSet<String>>())
        };
        files.map(used).collect()
    }
}

/// The root module of the command line.
const COMMAND_LINE: &str = "bin::lora-loupe";

fn join(path: &str, rest: &str) -> String {
    if path.is_empty() || rest.is_empty() { format!("{path}{rest}") } else { format!("{path}::{rest}") }
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

/// Removes the items under `#[cfg(test)]`, which end with `}` or `;` at the indentation at which they start.
fn without_tests(code: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push(line);
            continue;
        }
        let indentation = &line[..line.len() - line.trim_start().len()];
        let is_last = |line: &str| {
            let text = line.strip_prefix(indentation).unwrap_or_default();
            text.starts_with('}') || !text.starts_with(' ') && text.trim_end().ends_with([';', '}'])
        };
        for line in lines.by_ref() {
            if is_last(line) {
                break;
            }
        }
    }
    kept.join("\n")
}

/// Returns the names and paths of all use declarations: `use a::{b, c as d}` has b = `a::b` and d = `a::c`.
fn use_items(code: &str) -> Vec<(String, String)> {
    fn expand(prefix: &str, tree: &str, items: &mut Vec<(String, String)>) {
        let tree = tree.trim();
        if let Some((path, list)) = tree.split_once('{') {
            let prefix = join(prefix, path.trim_end_matches(':'));
            let list = list.trim_end().strip_suffix('}').unwrap_or(list);
            let mut depth = 0;
            let separator = |letter: char| {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                depth == 0 && letter == ','
            };
            list.split(separator).filter(|tree| !tree.trim().is_empty()).for_each(|tree| expand(&prefix, tree, items));
            return;
        }
        let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
        let path = match path {
            "self" => prefix.to_owned(),
            path => join(prefix, path),
        };
        let name = alias.unwrap_or(path.rsplit("::").next().unwrap_or_default());
        items.push((name.to_owned(), path));
    }
    let mut items = Vec::new();
    for (at, keyword) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        if before.is_empty() || before == "pub" || before.starts_with("pub(") {
            expand("", code[at + keyword.len()..].split(';').next().unwrap_or_default(), &mut items);
        }
    }
    items
}

/// Returns the paths of at least two names: `super::rules::all`, `Vec::new`.
fn paths(code: &str) -> Vec<&str> {
    let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':');
    words.map(|word| word.trim_end_matches(':')).filter(|word| !word.starts_with(':') && word.contains("::")).collect()
}

/// Returns modules that use each other in a circle, the first one again at the end.
fn circle(graph: &Graph) -> Option<Vec<&str>> {
    fn visit<'a>(
        module: &'a str,
        graph: &'a Graph,
        chain: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<&'a str>> {
        if let Some(start) = chain.iter().position(|other| *other == module) {
            return Some(chain[start..].iter().copied().chain([module]).collect());
        }
        if !done.contains(module) {
            chain.push(module);
            for used in graph.get(module).into_iter().flatten() {
                if let Some(circle) = visit(used, graph, chain, done) {
                    return Some(circle);
                }
            }
            chain.pop();
            done.insert(module);
        }
        None
    }
    let (mut chain, mut done) = (Vec::new(), BTreeSet::new());
    graph.keys().find_map(|module| visit(module, graph, &mut chain, &mut done))
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    let graph = Modules::of(code()).graph();
    let count: usize = graph.values().map(BTreeSet::len).sum();
    assert!(count > 800, "only {count} uses of files were found: the parser is broken");
    let uses = |file: &str, used: &str| graph.get(file).is_some_and(|all| all.contains(used));
    assert!(uses("analysis::weigh", "analysis::compare"), "a direct import was not found");
    assert!(uses("samplers::kind", "samplers::spacing"), "an import through mod.rs was not found");
    assert!(uses("analysis::packed", "formats::archive"), "an import from another module was not found");
    assert!(uses("bin::lora-loupe::merge", "bin::lora-loupe::lora"), "an import of the command line was not found");
    let circle = circle(&graph).unwrap_or_default().join(" -> ");
    assert!(
        circle.is_empty(),
        "files import each other: {circle}; move what they share to the file that owns it, or to one of its own"
    );
}

#[test]
fn a_circle_of_files_is_detected() {
    let found = |y: &str, more: &[(&str, &str)]| {
        let files =
            [("a/mod.rs", "mod x;\nmod y;\npub use y::{Y as Z, f};"), ("a/x.rs", "use super::Z;"), ("a/y.rs", y)];
        let files = files.iter().chain(more).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let graph = Modules::of(files).graph();
        circle(&graph).map(|circle| circle.join(" -> "))
    };
    let expect = Some("a::x -> a::y -> a::x");
    assert_eq!(found("use super::x::{self, X};", &[]).as_deref(), expect);
    assert_eq!(found("fn f() {\n    crate::a::x::g(1);\n}", &[]).as_deref(), expect);
    assert_eq!(found("pub struct Y;", &[]), None);
    assert_eq!(found("#[cfg(test)]\nmod tests {\n    use super::super::x::X;\n}\npub struct Y;", &[]), None);
    assert_eq!(found("#[cfg(test)]\nuse super::x::X;\npub struct Y;", &[]), None);
    // A name of a folder's mod.rs leads to no file, a folder's file to itself.
    let inner = [("a/b/mod.rs", "mod c;\npub struct B;"), ("a/b/c.rs", "use super::B;\nuse crate::a::f;")];
    assert_eq!(found("use super::b::B;", &inner), None);
    let expect = Some("a::b::c -> a::y -> a::b::c");
    assert_eq!(found("use super::b;\nfn f() -> b::c::C {}", &inner).as_deref(), expect);
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
    for (path, text) in files() {
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
        let is_worker = ["engine-worker.js", "inspector-worker.js"].iter().any(|worker| name.ends_with(worker));
        assert!(!text.contains("/pkg/") || is_worker, "{name} imports a module of WebAssembly");
        let is_view = name.contains("/views/") || name.contains("/elements/");
        let imports = text.lines().filter(|line| line.contains("from ") || line.contains("import("));
        let imports_engine =
            imports.into_iter().any(|line| line.contains("../engine/") && !line.contains("../engine/types.d.ts"));
        assert!(!(is_view && imports_engine), "{name}: a view imports the engine");
    }
}

#[test]
fn every_test_file_is_run() {
    let lists = golden::text("Cargo.toml") + &golden::text("suite.rs");
    for entry in std::fs::read_dir(golden::path("")).expect("tests/").flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".rs") else { continue };
        let is_listed = lists.contains(&format!("path = \"{file}\"")) || lists.contains(&format!("mod {name};"));
        assert!(is_listed, "neither tests/suite.rs nor tests/Cargo.toml lists {name}: it would never run");
    }
}
