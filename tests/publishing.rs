//! GitHub workflows: a job that publishes depends on one that runs all tests.

use lora_loupe_tests::golden;
use std::collections::BTreeMap;

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

/// Returns the jobs that publish without depending on a job that runs all tests.
fn untested(workflow: &str) -> Vec<&str> {
    let jobs = jobs(workflow);
    let publishes = |lines: &[&str]| lines.iter().any(|line| line.contains("actions/deploy-pages"));
    let tests = |name: &str| jobs.get(name).is_some_and(|lines| lines.contains(&"- run: cargo xtask test"));
    let is_tested = |lines: &[&str]| lines.iter().any(|line| line.strip_prefix("needs: ").is_some_and(tests));
    jobs.iter().filter(|(_, lines)| publishes(lines) && !is_tested(lines)).map(|(name, _)| *name).collect()
}

#[test]
fn publishing_jobs_depend_on_the_tests() {
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
fn an_untested_publishing_job_is_detected() {
    let with = |needs: &str, run: &str| {
        format!(
            "on: push\njobs:\n  test:\n    steps:\n      - run: {run}\n  publish:\n{needs}    steps:\n      - uses: actions/deploy-pages@v4\n"
        )
    };
    assert!(untested(&with("    needs: test\n", "cargo xtask test")).is_empty());
    assert_eq!(untested(&with("", "cargo xtask test")), ["publish"]);
    assert_eq!(untested(&with("    needs: test\n", "cargo xtask test types")), ["publish"], "only a part of the tests");
    assert_eq!(untested(&with("    needs: other\n", "cargo xtask test")), ["publish"]);
}
