//! What is published has passed all tests: a workflow's job that publishes needs one that runs them.

use lora_loupe_tests::golden;
use std::collections::BTreeMap;

/// A workflow's jobs by name, each with its lines. Reads the two levels of YAML that workflows are written in here.
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

/// Jobs that publish and need no job that runs every test.
fn untested(workflow: &str) -> Vec<&str> {
    let jobs = jobs(workflow);
    let publishes = |lines: &[&str]| lines.iter().any(|line| line.contains("actions/deploy-pages"));
    let tests = |name: &str| jobs.get(name).is_some_and(|lines| lines.contains(&"- run: cargo xtask test"));
    let is_tested = |lines: &[&str]| lines.iter().any(|line| line.strip_prefix("needs: ").is_some_and(tests));
    jobs.iter().filter(|(_, lines)| publishes(lines) && !is_tested(lines)).map(|(name, _)| *name).collect()
}

#[test]
fn a_job_that_publishes_needs_the_tests() {
    let folder = golden::path("../.github/workflows");
    let mut publishing = 0;
    for entry in std::fs::read_dir(folder).expect(".github/workflows/").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a workflow");
        assert!(untested(&text).is_empty(), "{:?} publishes without tests: {:?}", entry.file_name(), untested(&text));
        publishing += usize::from(text.contains("actions/deploy-pages"));
    }
    assert!(publishing > 0, "no workflow publishes the page");
}

#[test]
fn a_job_that_publishes_untested_would_be_seen() {
    let with = |needs: &str, run: &str| {
        format!(
            "on: push\njobs:\n  test:\n    steps:\n      - run: {run}\n  publish:\n{needs}    steps:\n      - uses: actions/deploy-pages@v4\n"
        )
    };
    assert!(untested(&with("    needs: test\n", "cargo xtask test")).is_empty());
    assert_eq!(untested(&with("", "cargo xtask test")), ["publish"]);
    assert_eq!(untested(&with("    needs: test\n", "cargo xtask test types")), ["publish"], "a part is not all");
    assert_eq!(untested(&with("    needs: other\n", "cargo xtask test")), ["publish"]);
}
