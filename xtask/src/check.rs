//! `cargo xtask check`: checks of the sources that do not run them.

use std::process::Command;

use crate::error::Error;
use crate::step::{say, step};
use crate::tools::{Build, Cache, Source, Tool};
use crate::workspace::Workspace;

/// Checks the dependencies against deny.toml.
const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", source: Source::Crate("cargo-deny") };

/// Checks formatting, lints, documentation and dependencies.
///
/// # Errors
/// At the first check that fails.
pub(crate) fn run(workspace: &Workspace, advisories: bool) -> Result<(), Error> {
    step("formatting", &mut workspace.cargo(["fmt", "--all", "--check"]))?;
    let mut clippy = workspace.cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
    step("lints", &mut clippy)?;
    // Release builds leave out code under `cfg(debug_assertions)`, and other code may be unused without it.
    let mut small = workspace.cargo(["clippy", "--release", "--package", "kpromo", "--bin", "kpromo"]);
    step(
        "lints of the release profile without optional features",
        small.args(["--no-default-features", "--", "--deny", "warnings"]),
    )?;
    // Including private items: developers read their documentation, and their links break too.
    let mut documentation = workspace.cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    step("documentation", documentation.env("RUSTDOCFLAGS", "--deny warnings"))?;
    dependencies(workspace, advisories)
}

fn dependencies(workspace: &Workspace, advisories: bool) -> Result<(), Error> {
    let mut deny = Command::new(Cache::open(Build::Fast)?.install(&CARGO_DENY)?);
    deny.current_dir(workspace.root()).args(["--workspace", "check"]);
    // The graphs for duplicates are pages long. `cargo tree --duplicates` shows them.
    deny.arg("--hide-inclusion-graph").args(["bans", "licenses", "sources"]);
    if advisories {
        deny.arg("advisories");
    } else {
        say("    advisories are not checked: their database comes from GitHub (`cargo xtask check \
             --advisories`)");
    }
    step("dependencies", &mut deny)?;
    Ok(())
}
