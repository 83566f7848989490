//! Findings as workflow commands of GitHub Actions, which shows them at the changed lines
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>).

use std::fmt::Write as _;
use std::path::Path;

use super::{LintResult, relative};

/// Returns one annotation per finding.
pub(crate) fn lint_github(result: &LintResult, directory: Option<&Path>) -> String {
    let mut text = String::new();
    for finding in &result.findings {
        let level = if finding.is_error() { "error" } else { "warning" };
        let diagnostic = &finding.diagnostic;
        let file = property(relative(diagnostic.file(), directory));
        let place = match diagnostic.position() {
            Some(position) => format!(",line={},col={}", position.line, position.column),
            None => String::new(),
        };
        let title = property(&format!("kpromo lint: {}", finding.rule.name()));
        let help = diagnostic.advice().map(|advice| format!("\n{advice}")).unwrap_or_default();
        let message = data(&format!("{}{help}", diagnostic.message()));
        // Writing to a string does not fail.
        let _ = writeln!(text, "::{level} file={file}{place},title={title}::{message}");
    }
    text
}

/// Escapes the message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_property_or_a_command_is_escaped() {
        assert_eq!(property("a,b:c%\r\nd"), "a%2Cb%3Ac%25%0D%0Ad");
        assert_eq!(data("a,b::c\n%3A"), "a,b::c%0A%253A");
    }
}
