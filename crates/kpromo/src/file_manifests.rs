//! `kpromo manifest files` and `kpromo manifest validate`.

use files::{Entry, describe_directory, merge, write_files};
use manifest::Diagnostics;
use manifest::files::{FileManifests, load_file_entries, load_file_manifests, load_file_tree};

use crate::args::{Cli, FileManifestSource, ManifestFilesArgs, ManifestValidateArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{check_file, write_file};
use crate::render::counted;
use crate::terminal::{print, print_error, print_help};

/// Reads the manifests of a run.
pub(crate) fn load(source: &FileManifestSource) -> Result<FileManifests, Diagnostics> {
    match source {
        FileManifestSource::Pair(filestores, files) => load_file_manifests(filestores, files),
        FileManifestSource::Tree(directory) => load_file_tree(directory),
    }
}

/// Prints the warnings of manifests.
pub(crate) fn warn(manifests: &FileManifests) {
    manifests.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// Prints a manifest of the files in a directory.
pub(crate) fn describe(args: &ManifestFilesArgs) -> Exit {
    let invalid = |text: &str| {
        print_error(text);
        Exit::Invalid
    };
    if let Some(output) = &args.output
        && let Err(problem) = check_file(output, "manifest")
    {
        return invalid(&problem);
    }
    let existing = match args.merge.as_deref().map(load_file_entries).transpose() {
        Ok(existing) => existing,
        Err(faults) => return Failure::invalid(faults).print(),
    };
    let described = match describe_directory(&args.src, &args.prefix) {
        Ok(described) => described,
        Err(error) => return invalid(&error.to_string()),
    };
    let entries = match existing {
        None => described.entries,
        Some(existing) => match merge(existing.iter().map(Entry::from).collect(), described.entries) {
            Ok(entries) => entries,
            Err(conflicts) => {
                print_error(&format!(
                    "files have hashes that differ from the manifest:\n  {}",
                    conflicts.join("\n  ")
                ));
                print_help("promoted files must not change: give the new content a new name");
                return Exit::Conflict;
            }
        },
    };
    let Some(output) = &args.output else {
        let mut text = Vec::new();
        // Writing to memory cannot fail.
        let _ = write_files(&entries, &mut text);
        print(&String::from_utf8_lossy(&text));
        return Exit::Success;
    };
    match write_file(output, "manifest", |to| write_files(&entries, to)) {
        Ok(()) => Exit::Success,
        Err(problem) => {
            print_error(&problem);
            Exit::Failure
        }
    }
}

/// Checks manifests.
pub(crate) fn validate(args: &ManifestValidateArgs) -> Exit {
    let source = match args.paths.as_slice() {
        [] => {
            let help = Cli::command_of(&["manifest", "validate"]).render_help();
            print(&help.to_string());
            return Exit::Success;
        }
        [directory] => FileManifestSource::Tree(directory.clone()),
        [filestores, files @ ..] => FileManifestSource::Pair(filestores.clone(), files.to_vec()),
    };
    match load(&source) {
        Ok(manifests) => {
            warn(&manifests);
            let projects = manifests.projects.len();
            let files: usize = manifests.projects.iter().map(|project| project.files.len()).sum();
            tracing::info!("valid: {}, {}", counted(projects, "project"), counted(files, "file"));
            Exit::Success
        }
        Err(faults) => Failure::invalid(faults).print(),
    }
}
