//! Tells the binary which commit and compiler it is made of. No time: the same sources make the same binary.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../.git/refs/heads");
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=KPROMO_GIT_COMMIT={commit}");
    let compiler = output("rustc", &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=KPROMO_RUSTC={compiler}");
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
