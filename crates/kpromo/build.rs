//! Tells the binary which commit and compiler it is made of. No time: the same sources make the same binary.

use std::path::Path;
use std::process::Command;

fn main() {
    // The commit is that of this repository, not of one that an unpacked archive happens to lie in. A path that is not
    // there would have this run at every build.
    let repository = Path::new("../../.git");
    let commit = repository.exists().then(|| {
        println!("cargo::rerun-if-changed=../../.git/HEAD");
        println!("cargo::rerun-if-changed=../../.git/refs/heads");
        output("git", &["rev-parse", "--short=12", "HEAD"])
    });
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=KPROMO_GIT_COMMIT={}", named(commit.flatten()));

    #[expect(
        clippy::disallowed_methods,
        reason = "cargo names its compiler to build scripts in this way alone"
    )]
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!("cargo::rustc-env=KPROMO_RUSTC={}", named(output(&rustc, &["--version"])));
}

fn named(text: Option<String>) -> String {
    text.unwrap_or_else(|| "unknown".to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
