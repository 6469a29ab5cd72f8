//! GitHub workflows: a job that publishes depends on one that runs all tests.

use lora_loupe::model::UnetConfig;
use lora_loupe_tests::golden;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

/// Returns the lines of each job of a workflow. Parses only the two levels of YAML that the workflows here use.
fn jobs(workflow: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut jobs = BTreeMap::new();
    let mut current = "";
    for line in workflow.lines().skip_while(|line| *line != "jobs:").skip(1) {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match (line.len() - line.trim_start().len(), text.strip_suffix(':')) {
            (0, _) => break,
            (2, Some(name)) => current = name,
            _ => jobs.entry(current).or_insert_with(Vec::new).push(text),
        }
    }
    jobs
}

/// What publishes the page, crates, wheels and the npm package.
const PUBLISHING: [&str; 4] = ["actions/deploy-pages", "cargo publish", "pypi-publish", "npm publish"];

fn publishes(lines: &[&str]) -> bool {
    lines.iter().any(|line| PUBLISHING.iter().any(|words| line.contains(words)))
}

/// Returns the jobs that publish without depending on a job that runs all tests.
fn untested(workflow: &str) -> Vec<&str> {
    let jobs = jobs(workflow);
    let tests = |name: &str| jobs.get(name).is_some_and(|lines| lines.contains(&"- run: cargo xtask test"));
    let is_tested = |lines: &[&str]| {
        let needs = lines.iter().find_map(|line| line.strip_prefix("needs: ")).unwrap_or_default();
        needs.trim_matches(['[', ']']).split(", ").any(tests)
    };
    jobs.iter().filter(|(_, lines)| publishes(lines) && !is_tested(lines)).map(|(name, _)| *name).collect()
}

#[test]
fn publishing_jobs_depend_on_the_tests() {
    let folder = golden::path("../.github/workflows");
    let mut published = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect(".github/workflows/").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a workflow");
        assert!(untested(&text).is_empty(), "{:?} publishes without tests: {:?}", entry.file_name(), untested(&text));
        published.extend(PUBLISHING.into_iter().filter(|words| text.contains(words)));
    }
    assert_eq!(published.len(), PUBLISHING.len(), "only {published:?}");
}

#[test]
fn an_untested_publishing_job_is_detected() {
    let with = |needs: &str, run: &str| {
        format!(
            "on: push\njobs:\n  test:\n    steps:\n      - run: {run}\n  publish:\n{needs}    steps:\n      - uses: actions/deploy-pages@v4\n"
        )
    };
    assert!(untested(&with("    needs: test\n", "cargo xtask test")).is_empty());
    assert_eq!(untested(&with("", "cargo xtask test")), ["publish"]);
    assert_eq!(untested(&with("    needs: test\n", "cargo xtask test types")), ["publish"], "only a part of the tests");
    assert!(untested(&with("    needs: [other, test]\n", "cargo xtask test")).is_empty());
    assert_eq!(untested(&with("    needs: other\n", "cargo xtask test")), ["publish"]);
}

/// The version is written in Cargo.toml; the packages take it from there, and the other files agree.
#[test]
fn all_files_name_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    let read = |path: &str| std::fs::read_to_string(golden::path(&format!("../{path}"))).expect(path);
    let json = |path: &str| serde_json::from_str::<serde_json::Value>(&read(path)).expect(path);
    assert_eq!(json("package.json")["version"], version);
    assert_eq!(json("npm/package.json")["version"], "0.0.0", "packing writes the version");
    assert!(read("python/pyproject.toml").contains("dynamic = [\"version\"]"));
    let changes = read("CHANGELOG.md");
    let latest = changes.lines().find_map(|line| line.strip_prefix("## ")).expect("a version");
    assert!(latest.starts_with(version), "CHANGELOG.md begins with {latest}");
    let workspace = read("Cargo.toml");
    for folder in ["linalg", "simd"] {
        let dependency = format!("lora-loupe-{folder} = {{ path = \"{folder}\", version = \"{version}\" }}");
        assert!(workspace.contains(&dependency), "Cargo.toml: {dependency}");
    }
    let action = format!("uses: OWNER/lora-loupe@v{version} ");
    assert!(read("README.md").contains(&action), "README.md: {action}");
}

/// Returns the paths that the sources of a folder embed and that lie above `depth` folders.
fn outside(folder: &Path, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(outside(&path, depth + 1));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let embedded = text.split("include_").skip(1).filter_map(|rest| rest.split('"').nth(1));
            let ups = |path: &str| Path::new(path).components().filter(|part| *part == Component::ParentDir).count();
            found.extend(embedded.filter(|path| ups(path) > depth).map(|file| format!("{}: {file}", path.display())));
        }
    }
    found
}

/// A crate is published with the files of its folder alone.
#[test]
fn published_crates_embed_only_their_own_files() {
    for folder in ["crate", "linalg", "simd"] {
        let sources = golden::path(&format!("../{folder}/src"));
        assert_eq!(outside(&sources, 1), [""; 0], "{folder}");
    }
    let config = |path: &str| UnetConfig::parse(&golden::text(path)).expect("a config");
    let demo = config("../web/public/demo/model/unet/config.json");
    assert_eq!(config("../crate/src/bench/demo_unet.json"), demo, "the config that benchmarks embed");
}
