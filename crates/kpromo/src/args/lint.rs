//! Flags of `kpromo lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use manifest::Severity;
use manifest::lint::Rule;

use super::value::path;

const EXAMPLES: &str = "\
Examples:
  kpromo lint registry.k8s.io                          # all thin manifests
  kpromo lint --base \"$PULL_BASE_SHA\" registry.k8s.io  # and what has changed
  kpromo lint --fix images/coredns/images.yaml         # correct one project
  kpromo lint --output sarif --output-file lint.sarif manifest.yaml

Exit codes:
  0    no errors; with --strict, no warnings either
  1    a file cannot be written
  2    usage
  10   errors, or the base cannot be determined; with --strict also warnings";

/// The flags of `kpromo lint`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct LintFlags {
    /// Directories with thin manifests, plain manifests, or single files of thin manifests to check only their project.
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Compare with this git revision, and report tags that would move and edges that were removed.
    #[arg(long, help_heading = "What to check", value_name = "REV", value_parser = revision)]
    base: Option<String>,
    /// Do not report warnings of these rules. Repeatable, or separated by commas.
    #[arg(long, help_heading = "What to check", value_name = "RULE", value_delimiter = ',', value_parser = allowed)]
    allow: Vec<Rule>,
    /// Treat warnings as errors.
    #[arg(long, help_heading = "What to check")]
    strict: bool,
    /// Fix findings in the files if the fix does not change what the manifests promote.
    #[arg(long, help_heading = "What to do")]
    fix: bool,
    /// Format of the result.
    #[arg(long, help_heading = "Output", value_enum, default_value_t = LintForm::Text, value_name = "FORM")]
    output: LintForm,
    /// Write the result to this file instead of standard output.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = clap::builder::OsStringValueParser::new())]
    output_file: Option<std::ffi::OsString>,
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LintForm {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
}

/// The checked arguments of `kpromo lint`.
#[derive(Clone, Debug)]
pub(crate) struct LintArgs {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) base: Option<String>,
    pub(crate) allow: Vec<Rule>,
    pub(crate) strict: bool,
    pub(crate) fix: bool,
    pub(crate) output: LintForm,
    pub(crate) output_file: Option<PathBuf>,
}

impl LintFlags {
    /// Returns the checked arguments.
    pub(crate) fn resolve(self) -> LintArgs {
        let Self { paths, base, allow, strict, fix, output, output_file } = self;
        LintArgs { paths, base, allow, strict, fix, output, output_file: path(output_file) }
    }
}

/// Parses a git revision. An empty one is an error, because a check without a base would silently pass.
pub(super) fn revision(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("expected a git revision, but the value is empty; is the variable set?".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses the name of a rule whose findings are warnings.
fn allowed(name: &str) -> Result<Rule, String> {
    let rules = || Rule::ALL.into_iter().filter(|rule| rule.severity() == Severity::Warning);
    rules().find(|rule| rule.name() == name).ok_or_else(|| match Rule::find(name) {
        Some(_) => format!("findings of `{name}` are errors and cannot be allowed"),
        None => {
            let names: Vec<&str> = rules().map(Rule::name).collect();
            format!("the rules that can be allowed are {}", names.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn lint(flags: &str) -> Result<LintArgs, String> {
        let words = ["kpromo", "lint"].into_iter().chain(flags.split(' '));
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Lint(flags) = cli.command else { panic!("lint was asked for") };
        Ok(flags.resolve())
    }

    #[test]
    fn warnings_can_be_allowed_and_errors_cannot() {
        let args = lint("--allow unsorted-tags,suspicious a --allow=edge-removed b").unwrap();
        assert_eq!(args.allow, [Rule::UnsortedTags, Rule::Suspicious, Rule::EdgeRemoved]);
        assert_eq!(args.paths, [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(lint("a --allow tag-moved").unwrap_err().contains("cannot be allowed"));
        assert!(lint("a --allow nonsense").unwrap_err().contains("unsorted-images, unsorted-digests"));
    }

    #[test]
    fn an_empty_base_is_no_missing_base() {
        assert_eq!(lint("a").unwrap().base, None);
        assert_eq!(lint("a --base HEAD^").unwrap().base.as_deref(), Some("HEAD^"));
        assert!(lint("a --base=").unwrap_err().contains("is the variable set"));
    }

    #[test]
    fn a_path_is_needed() {
        assert!(lint("--fix").is_err());
    }
}
