//! Parts of reports.

use lora_loupe::analysis::Report;

/// Returns the classes of a report's problems.
pub fn classes(report: &Report) -> Vec<&str> {
    report.problems.iter().map(|problem| problem.class.name()).collect()
}
