//! Programs built from source, each at a pinned version, in a cache that all checkouts share.
//!
//! The name of a cached file includes the version. A new pin therefore triggers a build, and two checkouts with different pins
//! do not affect each other. A program is built in a temporary directory and renamed, so an interrupted build leaves no file in
//! the cache.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment;
use crate::error::Error;
use crate::python;
use crate::step::{output, step};

/// A program to build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// Its name in the cache.
    pub(crate) name: &'static str,
    /// The version, in the form that its source uses.
    pub(crate) version: &'static str,
    /// Where its source comes from.
    pub(crate) source: Source,
}

/// Where the source of a program comes from, and what builds it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A Go package, built by `go install`.
    Go(&'static str),
    /// A Go package by its module and its directory there. It is built in a copy of the module, with the module's own checksums.
    /// Unlike `go install`, this does not ask the proxy for all versions of the module, which not every proxy answers.
    GoModule {
        /// The module.
        module: &'static str,
        /// The directory of the package in the module.
        package: &'static str,
        /// Files of the module to replace, with the new content.
        replaced: &'static [(&'static str, &'static str)],
    },
    /// A crate, built by `cargo install`.
    Crate(&'static str),
    /// A Python module, installed by pip.
    Python {
        /// The module to run.
        module: &'static str,
        /// Its package and all its dependencies, each with its version: `name==1.0`.
        packages: &'static [&'static str],
    },
    /// A crate, built by `cargo install` with these features, separated by commas, instead of its default features.
    CrateWith {
        /// The crate.
        name: &'static str,
        /// The features.
        features: &'static str,
    },
}

impl Source {
    /// Returns whether the program is compiled, so that it can be built in different ways.
    const fn is_compiled(self) -> bool {
        !matches!(self, Self::Python { .. })
    }

    /// Returns the file name of the built program: the last component of a Go package, or the name of a crate.
    fn program(self) -> &'static str {
        match self {
            Self::Go(name)
            | Self::GoModule { package: name, .. }
            | Self::Crate(name)
            | Self::CrateWith { name, .. }
            | Self::Python { module: name, .. } => {
                // The last component of a Go module's path may be its major version.
                let is_version = |part: &&str| {
                    part.strip_prefix('v')
                        .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                };
                name.rsplit('/').find(|part| !is_version(part)).unwrap_or(name)
            }
        }
    }
}

/// How programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// As fast as possible, without optimisation, for programs whose speed does not matter.
    Fast,
    /// As their authors release them, for programs that are measured.
    Optimised,
}

/// The directory of built programs.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    build: Build,
}

impl Cache {
    /// Opens the cache of this user, and creates it if necessary. Missing programs are built in this way.
    ///
    /// # Errors
    /// If there is no location for it.
    pub(crate) fn open(build: Build) -> Result<Self, Error> {
        let directory = environment::tools_cache().ok_or(Error::NoCache)?;
        fs::create_dir_all(&directory).map_err(Error::file("making the directory of tools", &directory))?;
        Ok(Self { directory, build })
    }

    /// Returns the path of the program. Builds it first if it is not in the cache. An optimised program is also used where its
    /// speed does not matter.
    ///
    /// # Errors
    /// If it cannot be built.
    pub(crate) fn install(&self, tool: &Tool) -> Result<PathBuf, Error> {
        self.install_with(tool, |directory| build(tool, self.build, directory))
    }

    /// As [`Cache::install`], with `build` as the builder. It gets an empty directory and returns the path of the program
    /// there.
    fn install_with(
        &self,
        tool: &Tool,
        build: impl FnOnce(&Path) -> Result<PathBuf, Error>,
    ) -> Result<PathBuf, Error> {
        let optimised = self.directory.join(format!("{}-{}", tool.name, tool.version));
        let is_optimised = optimised.exists() || self.build == Build::Optimised || !tool.source.is_compiled();
        let file = if is_optimised { optimised } else { optimised.with_added_extension("fast") };
        if !file.exists() {
            // In the cache itself, because a rename works only within one file system.
            let building = tempfile::Builder::new()
                .prefix(".building-")
                .tempdir_in(&self.directory)
                .map_err(Error::file("making a directory to build in below", &self.directory))?;
            let built = build(building.path())?;
            fs::rename(&built, &file).map_err(Error::file("moving into place", &file))?;
        }
        // Programs in Python are directories.
        Ok(if file.is_dir() { file.join(python::RUN) } else { file })
    }

    /// Installs `tools` and links each under its name in `directory`, which then serves as a search path.
    ///
    /// # Errors
    /// If a tool cannot be built or linked.
    pub(crate) fn link(&self, tools: &[Tool], directory: &Path) -> Result<(), Error> {
        fs::create_dir_all(directory).map_err(Error::file("making the directory of links", directory))?;
        tools.iter().try_for_each(|tool| replace_link(&self.install(tool)?, directory, tool.name))
    }
}

/// Links `file` as `name`. The link is renamed into place, so a reader sees either the old or the new one.
fn replace_link(file: &Path, directory: &Path, name: &str) -> Result<(), Error> {
    let beside = directory.join(format!(".{name}-{}", std::process::id()));
    let link = directory.join(name);
    symlink(file, &beside).map_err(Error::file("linking", &beside))?;
    fs::rename(&beside, &link).map_err(Error::file("moving into place", link))
}

/// Builds a program in `directory` and returns its path.
fn build(tool: &Tool, build: Build, directory: &Path) -> Result<PathBuf, Error> {
    // Never in the checkout: its toolchain and settings do not apply to the tool.
    let (mut command, binaries) = match tool.source {
        Source::Go(package) => (go_install(tool, package, build, directory)?, directory.to_owned()),
        Source::GoModule { module, package, replaced } => {
            let source = directory.join("source");
            copy(&go_module(tool.name, module, tool.version)?, &source)?;
            for (file, content) in replaced {
                let file = source.join(file);
                fs::write(&file, content).map_err(Error::file("replacing", &file))?;
            }
            (go_build(tool.name, &source.join(package), build, directory)?, directory.to_owned())
        }
        Source::Crate(name) => (cargo_install(tool, name, build, directory), directory.join("bin")),
        Source::Python { module, packages } => {
            return python::install(tool.name, module, packages, directory);
        }
        Source::CrateWith { name, features } => {
            let mut command = cargo_install(tool, name, build, directory);
            command.args(["--no-default-features", "--features", features]);
            (command, directory.join("bin"))
        }
    };
    step(&format!("building {} {}", tool.name, tool.version), &mut command)?;
    let path = binaries.join(tool.source.program());
    if path.is_file() { Ok(path) } else { Err(Error::NothingBuilt { tool: tool.name.to_owned(), path }) }
}

impl Build {
    /// Returns the flags of Go. Without optimisation and debug information, it takes two thirds of the processor time.
    const fn go_flags(self) -> &'static [&'static str] {
        match self {
            Self::Fast => &["-gcflags=all=-N -l -dwarf=false", "-ldflags=-s -w"],
            Self::Optimised => &[],
        }
    }
}

fn go_install(tool: &Tool, package: &str, build: Build, directory: &Path) -> Result<Command, Error> {
    let mut command = go(tool.name)?;
    command
        .arg("install")
        .args(build.go_flags())
        .arg(format!("{package}@{}", tool.version))
        .current_dir(directory)
        .env("GOBIN", directory)
        .env("GOFLAGS", "-mod=mod");
    Ok(command)
}

/// Returns the command that builds the package in the directory `package` into `directory`, in a file with the name of the
/// package's directory.
///
/// # Errors
/// If Go is not installed.
pub(crate) fn go_build(
    tool: &'static str,
    package: &Path,
    build: Build,
    directory: &Path,
) -> Result<Command, Error> {
    let mut command = go(tool)?;
    command
        .args(["build", "-buildvcs=false"])
        .args(build.go_flags())
        .arg("-o")
        .arg(directory)
        .arg(".")
        .current_dir(package)
        .env("GOFLAGS", "");
    Ok(command)
}

/// Returns the read-only directory of a Go module's source at a version. Fetches the module if it is not in Go's cache.
///
/// # Errors
/// If Go is not installed, or if it cannot fetch the module.
pub(crate) fn go_module(tool: &'static str, module: &str, version: &str) -> Result<PathBuf, Error> {
    let modules = output("finding the modules of Go", go(tool)?.args(["env", "GOMODCACHE"]))?;
    let source = Path::new(modules.trim_end()).join(format!("{module}@{version}"));
    if !source.is_dir() {
        let mut download = go(tool)?;
        download.args(["mod", "download", &format!("{module}@{version}")]).current_dir("/");
        step(&format!("fetching {module} {version}"), &mut download)?;
    }
    Ok(source)
}

/// Copies a read-only directory of Go to a writable one. Links are omitted.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir(to).map_err(Error::file("making the directory", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("listing", from))? {
        let entry = entry.map_err(Error::file("listing", from))?;
        let (source, copied) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::file("reading", &source))?;
        if kind.is_dir() {
            copy(&source, &copied)?;
        } else if kind.is_file() {
            let content = fs::read(&source).map_err(Error::file("reading", &source))?;
            fs::write(&copied, content).map_err(Error::file("writing", &copied))?;
        }
    }
    Ok(())
}

fn go(tool: &'static str) -> Result<Command, Error> {
    if !environment::on_path("go") {
        return Err(Error::NoGo { tool });
    }
    let mut command = Command::new("go");
    // Cross-compiled programs go to another directory and do not run here.
    command.env("CGO_ENABLED", "0").env_remove("GOOS").env_remove("GOARCH");
    Ok(command)
}

fn cargo_install(tool: &Tool, name: &str, build: Build, directory: &Path) -> Command {
    let mut command = Command::new(environment::cargo());
    command
        .args(["install", "--locked", "--root"])
        .arg(directory)
        .arg(format!("{name}@{}", tool.version))
        .current_dir(directory)
        // The workspace does not need the intermediate files.
        .env_remove("CARGO_TARGET_DIR");
    if build == Build::Fast {
        command.arg("--debug").env("CARGO_PROFILE_DEV_DEBUG", "none");
    }
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TOOL: Tool =
        Tool { name: "tool", version: "v1", source: Source::Go("example.com/no/such/cmd/program") };

    fn cache() -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { directory: directory.path().to_owned(), build: Build::Fast };
        (directory, cache)
    }

    #[test]
    fn a_program_has_the_name_that_its_builder_gives_it() {
        assert_eq!(TOOL.source.program(), "program");
        let module = Source::GoModule { module: "example.com/module", package: "cmd/other", replaced: &[] };
        assert_eq!(module.program(), "other");
        assert_eq!(Source::Go("example.com/module/v5").program(), "module", "the version is not a name");
        assert_eq!(Source::Crate("cargo-deny").program(), "cargo-deny");
    }

    #[test]
    fn a_cached_version_is_not_built_again() {
        let (directory, cache) = cache();
        let file = directory.path().join("tool-v1");
        fs::write(&file, "built before").unwrap();
        assert_eq!(cache.install(&TOOL).unwrap(), file);
        assert_eq!(fs::read_to_string(file).unwrap(), "built before");
    }

    #[test]
    fn a_build_that_fails_leaves_nothing_and_is_repeated() {
        let (directory, cache) = cache();
        let begun = |building: &Path| {
            let file = building.join("program");
            fs::write(&file, "half").unwrap();
            file
        };
        let fails = |building: &Path| Err(Error::NothingBuilt { tool: "tool".into(), path: begun(building) });
        cache.install_with(&TOOL, fails).unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let built = cache.install_with(&TOOL, |building| Ok(begun(building))).unwrap();
        assert_eq!(built, directory.path().join("tool-v1.fast"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "the build directory is removed");
    }

    #[test]
    fn a_program_that_is_a_directory_is_linked_by_its_script() {
        let (directory, cache) = cache();
        fs::create_dir(directory.path().join("tool-v1")).unwrap();
        assert_eq!(cache.install(&TOOL).unwrap(), directory.path().join("tool-v1").join(python::RUN));
    }

    #[test]
    fn a_copy_of_a_module_of_go_is_writable() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::write(from.join("deep/main.go"), "package main").unwrap();
        fs::set_permissions(from.join("deep/main.go"), PermissionsExt::from_mode(0o444)).unwrap();
        copy(&from, &to).unwrap();
        let copied = to.join("deep/main.go");
        assert_eq!(fs::read_to_string(&copied).unwrap(), "package main");
        assert!(!copied.metadata().unwrap().permissions().readonly());
    }

    #[test]
    fn a_link_follows_the_pin() {
        let (directory, cache) = cache();
        let links = directory.path().join("links");
        let newer = Tool { version: "v2", ..TOOL };
        for tool in [TOOL, newer, newer] {
            fs::write(directory.path().join(format!("tool-{}", tool.version)), tool.version).unwrap();
            cache.link(&[tool], &links).unwrap();
            assert_eq!(fs::read_to_string(links.join("tool")).unwrap(), tool.version);
        }
        assert_eq!(fs::read_dir(&links).unwrap().count(), 1, "nothing is left beside the link");
    }
}
