//! Tells the binary which commit and compiler it is made of, and whether its sources are those of the commit. No time but that of
//! the commit: the same sources make the same binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that the binary is not made of.
const OTHERS: &[&str] = &["bench", "testkit"];

fn main() {
    // The commit is that of this repository, not of one that an unpacked archive happens to lie in. A path that is not
    // there would have this run at every build.
    let is_repository = Path::new("../../.git").exists();
    let sources = sources();
    if is_repository {
        println!("cargo::rerun-if-changed=../../.git/HEAD");
        println!("cargo::rerun-if-changed=../../.git/refs/heads");
        sources.iter().for_each(|source| println!("cargo::rerun-if-changed={}", source.display()));
    }
    println!("cargo::rerun-if-changed=build.rs");
    let git = |words: &[&str]| if is_repository { output(Command::new("git").args(words)) } else { None };
    // Who builds from sources that are no repository says which commit they are.
    let given = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        variable(name)
    };
    let commit = given("KPROMO_GIT_COMMIT").or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env=KPROMO_GIT_COMMIT={}", named(commit));
    let time = ["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"];
    let time = if is_repository { output(Command::new("git").args(time).env("TZ", "UTC")) } else { None };
    println!("cargo::rustc-env=KPROMO_COMMIT_TIME={}", named(given("KPROMO_COMMIT_TIME").or(time)));
    let mut status = Command::new("git");
    status.args(["status", "--porcelain", "--"]).args(&sources);
    let status = if is_repository { output(&mut status) } else { None };
    let state = status.map(|status| if status.is_empty() { "clean" } else { "dirty" }.to_owned());
    println!("cargo::rustc-env=KPROMO_TREE_STATE={}", named(given("KPROMO_TREE_STATE").or(state)));

    let rustc = variable("RUSTC").unwrap_or_else(|| "rustc".to_owned());
    println!("cargo::rustc-env=KPROMO_RUSTC={}", named(output(Command::new(rustc).arg("--version"))));
}

/// Returns what the binary is made of. A change of any of it compiles the binary anew anyway.
fn sources() -> Vec<PathBuf> {
    let crates = fs::read_dir("..").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut crates: Vec<PathBuf> = crates
        .filter(|directory| {
            directory.join("src").is_dir() && !OTHERS.iter().any(|other| directory.ends_with(other))
        })
        .collect();
    crates.sort();
    let of_crates = crates.iter().flat_map(|directory| [directory.join("src"), directory.join("Cargo.toml")]);
    of_crates.chain(["../../Cargo.toml", "../../Cargo.lock", "build.rs"].map(PathBuf::from)).collect()
}

#[expect(clippy::disallowed_methods, reason = "cargo and packagers speak to build scripts in this way alone")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn named(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    output.status.success().then_some(text)
}
