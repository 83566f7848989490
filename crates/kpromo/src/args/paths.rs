//! The files that a command line names: those of all commands, found in the grammar, so that a new flag is not forgotten.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::Cli;
use super::obsolete::descend;
use crate::named_files::{Content, NamedFiles};

/// The arguments that name a file to write.
const WRITTEN: [&str; 7] =
    ["report", "metrics", "output_plan", "inventory_cache", "files_manifest", "output_file", "output"];
/// The arguments that name an output directory, or something other than a local file.
const DIRECTORIES: [&str; 5] = ["spool_dir", "output_dir", "storage", "directory", "manifest_root"];
/// The arguments whose value `-` is standard input.
const READ_FROM_STANDARD_INPUT: [&str; 11] = [
    "manifest",
    "config",
    "registry_config",
    "identity_token",
    "signing_key",
    "signing_config",
    "verification_key",
    "trusted_root",
    "tuf_root",
    "vuln_policy",
    "reports",
];

/// What a command does with the file that an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It reads it. `-` is standard input if the flag is set.
    Read { from_standard_input: bool },
    /// It writes it.
    Written,
}

/// Returns what a command does with the file that an argument names. `None`: the argument names no file.
fn use_of(command: &str, arg: &Arg) -> Option<Use> {
    let (id, kind) = (arg.get_id().as_str(), arg.get_value_parser().type_id());
    let is_path = kind == TypeId::of::<OsString>() || kind == TypeId::of::<PathBuf>() || id == "vuln_source";
    if !is_path || DIRECTORIES.contains(&id) {
        return None;
    }
    if WRITTEN.contains(&id) {
        return Some(Use::Written);
    }
    // The file of `kpromo gh --config` lists releases.
    let is_list_of_releases = command == "gh" && id == "config";
    let from_standard_input = READ_FROM_STANDARD_INPUT.contains(&id) && !is_list_of_releases;
    Some(Use::Read { from_standard_input })
}

/// Returns an argument as messages name it.
fn name(arg: &Arg) -> String {
    let value = || arg.get_value_names().and_then(<[_]>::first).map_or("FILE", |name| name.as_str());
    arg.get_long().map_or_else(|| value().to_owned(), |long| format!("--{long}"))
}

/// Returns the files that a command line names. `config` is the configuration of commands without a flag for it.
///
/// # Errors
/// If a flag for an output has an empty value, or `-` is the value of a flag that does not read standard input.
pub(crate) fn named_files(matches: &ArgMatches, config: Option<&Path>) -> Result<NamedFiles, String> {
    let (mut names, mut level) = (Vec::new(), matches);
    while let Some((name, next)) = level.subcommand() {
        names.push(name);
        level = next;
    }
    let command = descend(Cli::grammar(), names.into_iter());
    let mut files = of_arguments(&command, level)?;
    let has_flag = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    let is_given = |id: &str| has_flag(id) && !values(level, id).is_empty();
    if let Some(config) = config.filter(|_| has_flag("registry_config"))
        && !is_given("registry_config")
        && (command.get_name() == "gh" || !is_given("config"))
    {
        files.reads("KPROMO_CONFIG", config, Content::Nothing);
    }
    Ok(files)
}

fn of_arguments(command: &Command, matches: &ArgMatches) -> Result<NamedFiles, String> {
    let mut files = NamedFiles::default();
    for arg in command.get_arguments() {
        let Some(how) = use_of(command.get_name(), arg) else { continue };
        let (id, name) = (arg.get_id().as_str(), name(arg));
        let given = raw(matches, id);
        // A cache that is not named is one that a run can do without.
        if how == Use::Written && id != "inventory_cache" && given.iter().any(|value| value.is_empty()) {
            return Err(format!("{name} is empty, and the name of a file is expected; is the variable set?"));
        }
        // Without a flag for the result of `kpromo report merge`, the first report is the result.
        let is_first_written = id == "reports" && values(matches, "output").is_empty();
        for (index, path) in values(matches, id).into_iter().enumerate() {
            match how {
                _ if is_first_written && index == 0 => files.writes("OUT", path),
                Use::Written => files.writes(&name, path),
                Use::Read { from_standard_input: false } if path == Path::new("-") => {
                    return Err(format!(
                        "{name} does not read standard input (-): name a file, or write ./- for a file of this name"
                    ));
                }
                Use::Read { .. } => files.reads(&name, path, content(id, matches)),
            }
        }
    }
    // A manifest of files may be changed in place.
    files.permits("--merge", "--output");
    Ok(files)
}

/// Returns what is read if the value of an argument is a directory.
fn content(id: &str, matches: &ArgMatches) -> Content {
    match id {
        "thin_manifest_dir" | "paths" => Content::ThinManifests,
        "manifests" | "files" => Content::Yaml,
        "vuln_source" => Content::ScanReports,
        "src" => {
            let prefix = raw(matches, "prefix").pop().unwrap_or_default();
            Content::All(prefix.to_string_lossy().into_owned())
        }
        _ => Content::Nothing,
    }
}

/// Returns the values of an argument on the command line.
fn raw<'a>(matches: &'a ArgMatches, id: &str) -> Vec<&'a OsStr> {
    if matches.value_source(id) != Some(ValueSource::CommandLine) {
        return Vec::new();
    }
    matches.try_get_raw(id).ok().flatten().map(Iterator::collect).unwrap_or_default()
}

/// Returns the paths of an argument on the command line. An empty path means that the flag is not given.
fn values<'a>(matches: &'a ArgMatches, id: &str) -> Vec<&'a Path> {
    raw(matches, id).into_iter().filter(|value| !value.is_empty()).map(Path::new).collect()
}
