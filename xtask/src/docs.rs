//! `cargo xtask docs`: generates parts of the documentation from the code, and builds the book.

mod links;
mod picture;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::step::{output, say, step};
use crate::tools::{Build, Cache, Source, Tool};
use crate::workspace::Workspace;

/// Builds the book. Without the default features, it has no web server. `search` is the search in the book.
const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    source: Source::CrateWith { name: "mdbook", features: "search" },
};

/// The pages that kpromo prints: the part of `kpromo reference`, and the file.
const PAGES: &[(&str, &str)] =
    &[("commands", "docs/reference/cli.md"), ("environment", "docs/reference/environment.md")];

/// The directory of the JSON Schemas.
pub(crate) const SCHEMAS: &str = "docs/reference/schemas";

/// Writes the generated files that are in the repository. With `check`, only compares them. Without, also writes the man pages
/// to `target/man` and the book to `target/book`.
///
/// # Errors
/// If a step fails or a link of the book is broken; with `check`, if a file is not up to date.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<(), Error> {
    let mut stale = Vec::new();
    let mut update = |file: &str, text: &str| -> Result<(), Error> {
        let path = workspace.root().join(file);
        if fs::read_to_string(&path).is_ok_and(|current| current == text) {
            return Ok(());
        }
        if check {
            stale.push(file.to_owned());
            return Ok(());
        }
        fs::write(&path, text).map_err(Error::file("writing", &path))?;
        say(&format!("    {file}: written"));
        Ok(())
    };
    // With its tests: cargo then selects the features of dependencies that the tests have been built with. For kpromo alone, it
    // would build all dependencies again.
    step("kpromo", &mut workspace.cargo(["build", "--workspace", "--test", "suite"]))?;
    for (part, file) in PAGES {
        let mut kpromo = kpromo(workspace);
        update(file, &output("the reference", kpromo.args(["reference", *part]))?)?;
    }
    for picture in picture::all(workspace.root())? {
        update(&picture.file, &picture.svg)?;
    }
    let schemas = schemas(workspace)?;
    for (file, text) in &schemas {
        update(file, text)?;
    }
    let directory = workspace.root().join(SCHEMAS);
    for name in names(&directory)? {
        let file = format!("{SCHEMAS}/{name}");
        if schemas.contains_key(&file) {
            continue;
        }
        if check {
            stale.push(file);
        } else {
            let path = directory.join(name);
            fs::remove_file(&path).map_err(Error::file("removing", &path))?;
            say(&format!("    {file}: removed"));
        }
    }
    if check {
        return if stale.is_empty() { Ok(()) } else { Err(Error::Stale { files: stale }) };
    }
    man(workspace)?;
    book(workspace)
}

/// Returns a command of the binary that the tests run.
fn kpromo(workspace: &Workspace) -> Command {
    Command::new(workspace.target().join("debug").join("kpromo"))
}

/// Returns the schemas that kpromo writes, by their files in the repository.
fn schemas(workspace: &Workspace) -> Result<BTreeMap<String, String>, Error> {
    let directory =
        tempfile::tempdir().map_err(Error::file("making a directory in", std::env::temp_dir()))?;
    let mut kpromo = kpromo(workspace);
    output("the schemas", kpromo.args(["reference", "schemas"]).arg(directory.path()))?;
    let read = |name: String| {
        let path = directory.path().join(&name);
        let text = fs::read_to_string(&path).map_err(Error::file("reading", path))?;
        Ok((format!("{SCHEMAS}/{name}"), text))
    };
    names(directory.path())?.into_iter().map(read).collect()
}

/// Returns the names of the files in a directory, in order. Creates the directory if it does not exist.
fn names(directory: &Path) -> Result<Vec<String>, Error> {
    fs::create_dir_all(directory).map_err(Error::file("making the directory", directory))?;
    let entries = fs::read_dir(directory).map_err(Error::file("listing", directory))?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(Error::file("listing", directory))?;
    let mut names: Vec<_> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn man(workspace: &Workspace) -> Result<(), Error> {
    let directory = workspace.target().join("man");
    fs::create_dir_all(&directory).map_err(Error::file("making the directory", &directory))?;
    let mut kpromo = kpromo(workspace);
    step("man pages", kpromo.args(["reference", "man"]).arg(&directory))?;
    say(&format!("    {}", directory.display()));
    Ok(())
}

fn book(workspace: &Workspace) -> Result<(), Error> {
    let directory = workspace.target().join("book");
    step("book", &mut mdbook(workspace.root(), &directory)?)?;
    let broken = links::broken(&directory)?;
    if !broken.is_empty() {
        return Err(Error::BrokenLinks { links: broken });
    }
    say(&format!("    {}", directory.join("index.html").display()));
    Ok(())
}

fn mdbook(root: &Path, directory: &Path) -> Result<Command, Error> {
    let mut command = Command::new(Cache::open(Build::Fast)?.install(&MDBOOK)?);
    command.arg("build").arg("--dest-dir").arg(directory).arg(root);
    Ok(command)
}
