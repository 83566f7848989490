//! `kpromo lint`: checks manifests offline, for presubmits and editors.

use std::collections::BTreeSet;
use std::fs;

use manifest::Base;
use manifest::lint::{FixedFile, Linted, Target, lint, targets};

use crate::args::{LintArgs, LintForm};
use crate::color;
use crate::exit::Exit;
use crate::output::{check_file, write_file};
use crate::render::{LintResult, lint_github, lint_json, lint_sarif, lint_text};
use crate::terminal::{print, print_error, result_width};

/// The width of findings where they are not read on a terminal, in columns.
const WIDTH: usize = 100;

/// Checks manifests.
pub(crate) fn run(args: &LintArgs) -> Exit {
    if let Some(path) = &args.output_file
        && let Err(problem) = check_file(path, "result")
    {
        print_error(&problem);
        return Exit::Invalid;
    }
    let targets = targets(args.paths.iter().map(std::path::PathBuf::as_path));
    let base = args.base.clone().map(Base::Revision);
    let mut result = LintResult {
        findings: Vec::new(),
        errors: 0,
        warnings: 0,
        files: 0,
        bases: Vec::new(),
        fixed: Vec::new(),
        exit_code: 0,
    };
    let mut bases = BTreeSet::new();
    let mut is_refused = false;
    for target in &targets {
        let linted = match checked(target, base.as_ref(), args, &mut result, &mut is_refused) {
            Ok(linted) => linted,
            Err(problem) => {
                print_error(&problem);
                return Exit::Invalid;
            }
        };
        bases.extend(linted.base.clone());
        add(&mut result, linted);
    }
    result.bases = bases.into_iter().collect();
    result.bases.iter().for_each(|commit| tracing::info!("compared with commit {commit}"));
    let exit = match result {
        _ if is_refused => Exit::Failure,
        LintResult { errors: 1.., .. } => Exit::Invalid,
        LintResult { warnings: 1.., .. } if args.strict => Exit::Invalid,
        _ => Exit::Success,
    };
    result.exit_code = exit.code();
    tell(&result, args).map_or_else(
        |problem| {
            print_error(&problem);
            Exit::Failure
        },
        |()| exit,
    )
}

/// Checks a target. With `--fix`, corrects its files and checks it again.
fn checked(
    target: &Target,
    base: Option<&Base>,
    args: &LintArgs,
    result: &mut LintResult,
    is_refused: &mut bool,
) -> Result<Linted, String> {
    let check = || lint(target, base, &args.allow).map_err(|error| error.to_string());
    let linted = check()?;
    if !args.fix {
        return Ok(linted);
    }
    let before = result.fixed.len();
    for fixed in linted.fixed() {
        let written = fixed.and_then(|file| write(&file).map(|()| (file.file.to_string(), file.fixed)));
        match written {
            Ok(written) => result.fixed.push(written),
            Err(problem) => {
                print_error(&problem);
                *is_refused = true;
            }
        }
    }
    if result.fixed.len() == before { Ok(linted) } else { check() }
}

/// Replaces a file in one step, unless it has changed since it was read.
fn write(file: &FixedFile) -> Result<(), String> {
    let FixedFile { path, before, after, .. } = file;
    let now = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if now != *before {
        return Err(format!("{} changed while it was checked and was not fixed: run again", path.display()));
    }
    write_file(path, "fixed manifest", |to| to.write_all(after))
}

/// Adds the findings of a target.
fn add(result: &mut LintResult, linted: Linted) {
    result.files += linted.files;
    result.errors += linted.errors();
    result.warnings += linted.warnings();
    result.findings.extend(linted.findings);
}

/// Prints or writes the result.
fn tell(result: &LintResult, args: &LintArgs) -> Result<(), String> {
    let directory = std::env::current_dir().ok();
    let color = args.output_file.is_none() && color::on_stdout();
    let text = match args.output {
        LintForm::Text => lint_text(result, result_width().unwrap_or(WIDTH), color),
        LintForm::Json => lint_json(result),
        LintForm::Sarif => lint_sarif(result, directory.as_deref()),
        LintForm::Github => lint_github(result, directory.as_deref()),
    };
    match &args.output_file {
        Some(path) => write_file(path, "result", |to| to.write_all(text.as_bytes())),
        None => {
            print(&text);
            Ok(())
        }
    }
}
