//! Findings for a person.

use std::fmt::Write as _;

use super::super::human::{count, counted};
use super::LintResult;

/// Returns the findings with their lines of at most `width` columns, and a summary.
pub(crate) fn lint_text(result: &LintResult, width: usize, color: bool) -> String {
    let mut text = String::new();
    for finding in &result.findings {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}\n", finding.render(width, color));
    }
    let hidden = (result.errors + result.warnings).saturating_sub(result.findings.len());
    if hidden > 0 {
        let _ = writeln!(text, "and {} more\n", count(hidden as u64));
    }
    for (file, fixed) in &result.fixed {
        let _ = writeln!(text, "fixed {file} ({})", counted(*fixed, "correction"));
    }
    text.push_str(&summary(result));
    text
}

fn summary(result: &LintResult) -> String {
    let files = counted(result.files, "file");
    if result.errors + result.warnings == 0 {
        return format!("{files} checked: no findings\n");
    }
    let (errors, warnings) = (counted(result.errors, "error"), counted(result.warnings, "warning"));
    let fixable = result.findings.iter().filter(|finding| !finding.fix.is_empty()).count();
    let fixable = match fixable {
        0 => String::new(),
        fixable => format!("; `--fix` corrects {}", count(fixable as u64)),
    };
    format!("{files} checked: {errors}, {warnings}{fixable}\n")
}
