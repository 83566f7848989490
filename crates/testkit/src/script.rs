//! Scripts that tests run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes an executable shell script.
///
/// Another process writes it. If this process did, a program that another test starts at the same moment would inherit the open
/// file, and Linux does not run a file that is open for writing.
///
/// # Panics
/// If the file cannot be written.
pub fn write_script(file: &Path, script: &str) {
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(file).stdin(Stdio::piped());
    let mut child = install.spawn().expect("install runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).expect("the script is written");
    drop(input);
    assert!(child.wait().expect("install ends").success(), "{} cannot be written", file.display());
}
