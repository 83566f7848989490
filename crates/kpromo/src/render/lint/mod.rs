//! The results of `kpromo lint` (`docs/reference/lint.md`).

mod github;
mod json;
mod sarif;
mod text;

use std::path::Path;

use manifest::lint::Finding;

/// The results of `kpromo lint`.
pub(crate) struct LintResult {
    pub(crate) findings: Vec<Finding>,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    /// The number of files that were read.
    pub(crate) files: usize,
    /// The commits that the targets were compared with, each once.
    pub(crate) bases: Vec<String>,
    /// The files that were fixed, by their names in messages, with the number of corrections.
    pub(crate) fixed: Vec<(String, usize)>,
    pub(crate) exit_code: u8,
}

pub(crate) use github::lint_github;
#[cfg(debug_assertions)]
pub(crate) use json::Document as LintDocument;
pub(crate) use json::lint_json;
pub(crate) use sarif::lint_sarif;
pub(crate) use text::lint_text;

/// Returns the name of a file for tools that know only the repository: relative to the current directory if the file is below it.
fn relative<'f>(file: &'f str, directory: Option<&Path>) -> &'f str {
    let below =
        directory.and_then(|directory| file.strip_prefix(&*directory.to_string_lossy())?.strip_prefix('/'));
    let below = below.unwrap_or(file);
    below.strip_prefix("./").unwrap_or(below)
}

#[cfg(test)]
mod tests {
    use manifest::Severity;
    use manifest::lint::Rule;

    use super::*;

    #[test]
    fn the_reference_lists_the_rules_that_there_are_with_their_severities_and_no_others() {
        let reference = include_str!("../../../../../docs/reference/lint.md");
        let rows = reference.split("## Rules").nth(1).unwrap().split("\n- ").next().unwrap();
        let rows: Vec<&str> = rows.lines().filter(|line| line.starts_with("| `")).collect();
        let expected = Rule::ALL.map(|rule| {
            let severity = if rule.severity() == Severity::Error { "error" } else { "warning" };
            format!("| `{}` | {severity} | ", rule.name())
        });
        assert_eq!(rows.len(), expected.len());
        assert!(rows.iter().zip(&expected).all(|(row, start)| row.starts_with(start)), "{rows:#?}");
    }

    #[test]
    fn a_file_is_named_relative_to_the_current_directory_if_it_is_below_it() {
        let directory = Some(Path::new("/home/user/repo"));
        for (file, expected) in [
            ("/home/user/repo/images/a", "images/a"),
            ("./images/a", "images/a"),
            ("images/a", "images/a"),
            ("/home/user/repository/a", "/home/user/repository/a"),
            ("../a", "../a"),
        ] {
            assert_eq!(relative(file, directory), expected);
        }
    }
}
