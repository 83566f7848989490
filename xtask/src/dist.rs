//! `cargo xtask dist`: a release for this machine, as an archive with its checksum and its bill of materials.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::archive::{PLAIN, PROGRAM, Tree, gzip, sha256};
use crate::docs;
use crate::error::Error;
use crate::man;
use crate::release::{self, Features, Place};
use crate::sbom;
use crate::size;
use crate::sources::{self, Stamp};
use crate::step::say;
use crate::workspace::Workspace;

/// Flags of `cargo xtask dist`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Build a second time, from a copy of the sources in another directory, and fail if a byte differs.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    features: Features,
}

/// The name of the file with the checksums.
const CHECKSUMS: &str = "SHA256SUMS";

/// Builds the release into target/xtask/dist.
///
/// # Errors
/// If it cannot be built, if it is too large, or if a second build differs.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    let stamp = Stamp::read(workspace)?;
    let platform = release::platform(workspace)?;
    let directory = workspace.target().join("xtask");
    let bom = sbom::of_binary(workspace, &arguments.features, &platform, &stamp)?;
    let target = directory.join("release");
    let place = Place { sources: workspace.root(), target: &target };
    let binary = release::build(workspace, place, &arguments.features, &stamp)?;
    size::check_release(&binary)?;
    let release = Release::pack(workspace.root(), &binary, &bom, &platform, &stamp)?;
    if arguments.verify {
        let again = rebuild(workspace, arguments, &stamp)?;
        compare(&read(&binary)?, &read(&again.binary)?, "kpromo")?;
        let second = Release::pack(&again.sources, &again.binary, &bom, &platform, &stamp)?;
        for ((name, one), (_, two)) in release.files.iter().zip(&second.files) {
            compare(one, two, name)?;
        }
        say("    two builds in different directories are identical");
    }
    release.write(&directory.join("dist"))
}

/// A second build. Its directory is removed when it is dropped.
struct SecondBuild {
    _directory: tempfile::TempDir,
    sources: PathBuf,
    binary: PathBuf,
}

fn rebuild(workspace: &Workspace, arguments: &Arguments, stamp: &Stamp) -> Result<SecondBuild, Error> {
    let above = workspace.target().join("xtask");
    let directory = tempfile::tempdir_in(&above).map_err(Error::file("making a directory in", above))?;
    let copied = directory.path().join("elsewhere");
    sources::copy(workspace, &copied)?;
    let target = directory.path().join("build");
    let place = Place { sources: &copied, target: &target };
    let binary = release::build(workspace, place, &arguments.features, stamp)?;
    Ok(SecondBuild { _directory: directory, sources: copied, binary })
}

/// The files of a release with their names.
struct Release {
    files: Vec<(String, Vec<u8>)>,
}

impl Release {
    /// Packs the binary with its documents.
    fn pack(
        sources: &Path,
        binary: &Path,
        bom: &Value,
        platform: &str,
        stamp: &Stamp,
    ) -> Result<Self, Error> {
        let name = format!("kpromo-{}-{platform}", env!("CARGO_PKG_VERSION"));
        let bom = format!("{bom:#}\n");
        let documents =
            tempfile::tempdir().map_err(Error::file("making a directory in", std::env::temp_dir()))?;
        let (pages, scripts) = (documents.path().join("man1"), documents.path().join("completions"));
        man::pages(binary, &pages)?;
        man::completions(binary, &scripts)?;

        let mut tree = Tree::default();
        tree.copy(&format!("{name}/kpromo"), PROGRAM, binary)?;
        for document in ["LICENSE", "README.md", "CHANGELOG.md"] {
            tree.copy(&format!("{name}/{document}"), PLAIN, &sources.join(document))?;
        }
        tree.copy_all(&format!("{name}/man/man1"), &pages)?;
        tree.copy_all(&format!("{name}/completions"), &scripts)?;
        tree.copy_all(&format!("{name}/schemas"), &sources.join(docs::SCHEMAS))?;
        tree.file(&format!("{name}/kpromo.cdx.json"), PLAIN, bom.as_bytes());
        let packed = tree.tar(stamp.epoch).and_then(|archive| gzip(&archive));
        let packed = packed.map_err(Error::file("packing", &name))?;

        let mut files =
            vec![(format!("{name}.tar.gz"), packed), (format!("{name}.cdx.json"), bom.into_bytes())];
        let lines: Vec<_> =
            files.iter().map(|(name, content)| format!("{}  {name}\n", sha256(content))).collect();
        files.push((CHECKSUMS.to_owned(), lines.concat().into_bytes()));
        Ok(Self { files })
    }

    /// Writes the files to a directory. Removes an older release there.
    fn write(&self, directory: &Path) -> Result<(), Error> {
        if directory.exists() {
            fs::remove_dir_all(directory).map_err(Error::file("removing", directory))?;
        }
        fs::create_dir_all(directory).map_err(Error::file("making the directory", directory))?;
        for (name, content) in &self.files {
            let file = directory.join(name);
            fs::write(&file, content).map_err(Error::file("writing", &file))?;
            say(&format!("    {}", file.display()));
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(Error::file("reading", file))
}

/// Fails if two builds differ. The error has the position of the first difference.
fn compare(one: &[u8], two: &[u8], name: &str) -> Result<(), Error> {
    if one == two {
        return Ok(());
    }
    let place = one.iter().zip(two).take_while(|(one, two)| one == two).count();
    Err(Error::Differs { name: name.to_owned(), place, sizes: (one.len(), two.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_is_named() {
        compare(b"abc", b"abc", "kpromo").unwrap();
        for (one, two, place) in [("abc", "abd", "byte 2"), ("abc", "ab", "byte 2"), ("abc", "xbc", "byte 0")]
        {
            let error = compare(one.as_bytes(), two.as_bytes(), "kpromo").unwrap_err().to_string();
            assert!(error.contains(place) && error.contains("kpromo"), "{error}");
        }
    }

    #[test]
    fn a_release_has_the_checksums_of_its_files_and_replaces_an_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let dist = directory.path().join("dist");
        fs::create_dir(&dist).unwrap();
        fs::write(dist.join("old.tar.gz"), "").unwrap();
        let workspace = Workspace::locate().unwrap();
        // Prints its arguments, or writes a page if one is requested.
        let binary = directory.path().join("kpromo");
        let script =
            "#!/bin/sh\n[ \"$1 $2\" != 'reference man' ] || echo page > \"$3/kpromo.1\"\necho \"$@\"\n";
        fs::write(&binary, script).unwrap();
        fs::set_permissions(&binary, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let stamp = Stamp { commit: "abc".to_owned(), epoch: 1_700_000_000 };
        let pack = || {
            Release::pack(workspace.root(), &binary, &Value::Null, "x86_64-unknown-linux-gnu", &stamp)
                .unwrap()
        };
        pack().write(&dist).unwrap();
        assert_eq!(pack().files, pack().files, "a release is reproducible");

        let sums = fs::read_to_string(dist.join(CHECKSUMS)).unwrap();
        let archive = format!("kpromo-{}-x86_64-unknown-linux-gnu.tar.gz", env!("CARGO_PKG_VERSION"));
        let content = fs::read(dist.join(&archive)).unwrap();
        assert_eq!(sums.lines().next().unwrap(), format!("{}  {archive}", sha256(&content)));
        assert_eq!(fs::read_dir(&dist).unwrap().count(), 3);
        let unpacked = flate2::read::GzDecoder::new(content.as_slice());
        let mut unpacked = tar::Archive::new(unpacked);
        let names =
            unpacked.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        let names: Vec<_> = names.collect();
        for name in [
            "kpromo",
            "LICENSE",
            "man/man1/kpromo.1",
            "completions/zsh/_kpromo",
            "schemas/report.schema.json",
            "kpromo.cdx.json",
        ] {
            assert!(names.iter().any(|path| path.ends_with(&format!("-gnu/{name}"))), "{name} in {names:?}");
        }
    }
}
