//! The build of the published binary: with the profile `dist`, and without paths of the build machine.

use std::fs;
use std::path::{Path, PathBuf};

use crate::environment;
use crate::error::Error;
use crate::sources::{DIRTY, Stamp};
use crate::step::{output, step};
use crate::workspace::Workspace;

/// The features of the binary to build.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Features {
    /// Do not build the default features.
    #[arg(long)]
    no_default_features: bool,
    /// Features to build, separated by commas.
    #[arg(long, value_name = "FEATURES")]
    features: Option<String>,
}

impl Features {
    /// Returns the arguments that select the features in cargo, and in tools with cargo's arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let without = self.no_default_features.then(|| "--no-default-features".to_owned());
        let with = self.features.as_ref().map(|features| format!("--features={features}"));
        without.into_iter().chain(with).collect()
    }
}

/// Where a build happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The sources.
    pub(crate) sources: &'a Path,
    /// The directory for build output.
    pub(crate) target: &'a Path,
}

/// Builds the binary and returns its path.
///
/// # Errors
/// If it cannot be built, or if it contains a path of this machine.
pub(crate) fn build(
    workspace: &Workspace,
    place: Place<'_>,
    features: &Features,
    stamp: &Stamp,
) -> Result<PathBuf, Error> {
    let renamed = renamed(place);
    let mut build = workspace.cargo(["build", "--profile=dist", "--locked", "--package=kpromo"]);
    build.args(features.arguments()).current_dir(place.sources).arg("--target-dir").arg(place.target);
    // Flags of the user would change the binary.
    for name in ["RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS", "CARGO_INCREMENTAL"] {
        build.env_remove(name);
    }
    build
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&renamed, "--remap-path-prefix", "\u{1f}"))
        .env("CFLAGS", flags(&renamed, "-ffile-prefix-map", " "))
        .env("CXXFLAGS", flags(&renamed, "-ffile-prefix-map", " "))
        .env("SOURCE_DATE_EPOCH", stamp.epoch.to_string())
        .env("KPROMO_GIT_COMMIT", stamp.commit.trim_end_matches(DIRTY))
        .env("KPROMO_COMMIT_TIME", stamp.time())
        .env("KPROMO_TREE_STATE", if stamp.commit.ends_with(DIRTY) { "dirty" } else { "clean" });
    step("building the release", &mut build)?;
    let binary = place.target.join("dist").join("kpromo");
    let content = fs::read(&binary).map_err(Error::file("reading", &binary))?;
    match renamed.iter().find(|(path, _)| contains(&content, path)) {
        Some((path, _)) => Err(Error::PathInBinary { path: path.clone() }),
        None => Ok(binary),
    }
}

/// Returns the directories of this machine that compilers would write into the binary, each with its replacement. Later entries
/// take precedence.
fn renamed(place: Place<'_>) -> Vec<(String, &'static str)> {
    let cargo = environment::cargo_home().map(|path| (path, "/cargo"));
    let own = [(place.sources.to_owned(), "/kpromo"), (place.target.to_owned(), "/target")];
    let all = cargo.into_iter().chain(own);
    all.map(|(path, name)| (path.to_string_lossy().into_owned(), name)).collect()
}

fn flags(renamed: &[(String, &str)], flag: &str, separator: &str) -> String {
    let all: Vec<_> = renamed.iter().map(|(path, name)| format!("{flag}={path}={name}")).collect();
    all.join(separator)
}

fn contains(content: &[u8], path: &str) -> bool {
    content.windows(path.len()).any(|window| window == path.as_bytes())
}

/// Returns the platform that the compiler builds for, such as `x86_64-unknown-linux-gnu`.
///
/// # Errors
/// If cargo does not report it.
pub(crate) fn platform(workspace: &Workspace) -> Result<String, Error> {
    let mut rustc = workspace.cargo(["--version", "--verbose"]);
    let answer = output("querying the platform of cargo", &mut rustc)?;
    let host = answer.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or(Error::NoPlatform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_directory_is_renamed_after_the_sources_that_may_contain_it() {
        let place =
            Place { sources: Path::new("/home/me/kpromo"), target: Path::new("/home/me/kpromo/target") };
        let renamed = renamed(place);
        let ours = flags(&renamed[renamed.len() - 2..], "--remap-path-prefix", "\u{1f}");
        let expected = "--remap-path-prefix=/home/me/kpromo=/kpromo\u{1f}\
                        --remap-path-prefix=/home/me/kpromo/target=/target";
        assert_eq!(ours, expected);
    }

    #[test]
    fn a_path_in_a_binary_is_found() {
        assert!(contains(b"\0/home/me/kpromo/src/main.rs\0", "/home/me/kpromo"));
        assert!(!contains(b"\0/kpromo/src/main.rs\0", "/home/me/kpromo"));
    }

    #[test]
    fn features_are_passed_as_flags_of_cargo() {
        assert_eq!(Features::default().arguments(), [""; 0]);
        let few = Features { no_default_features: true, features: Some("files".to_owned()) };
        assert_eq!(few.arguments(), ["--no-default-features", "--features=files"]);
    }
}
