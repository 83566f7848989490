//! Helpers that the tests of manifests share.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use manifest::Edges;
use manifest::{Diagnostic, Diagnostics, Manifests, load_plain, load_thin};
use tempfile::TempDir;

/// Returns a digest whose digits are all the same.
pub(crate) fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// The registries of a manifest: one source, one destination.
pub(crate) const REGISTRIES: &str = "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/p\n";

/// Returns an image with these digests and tags, as an item of `images`.
pub(crate) fn image(name: &str, dmap: &[(char, &str)]) -> String {
    let digests: String =
        dmap.iter().map(|(digit, tags)| format!("    {}: [{tags}]\n", digest(*digit))).collect();
    format!("- name: {name}\n  dmap:\n{digests}")
}

/// Writes a file, and creates its parent directories.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes the two files of a thin manifest.
pub(crate) fn write_thin(directory: &Path, project: &str, registries: &str, images: &str) {
    write(&directory.join("manifests").join(project).join("promoter-manifest.yaml"), registries);
    write(&directory.join("images").join(project).join("images.yaml"), images);
}

/// Loads a text as a plain manifest.
pub(crate) fn load(text: impl AsRef<[u8]>) -> Result<Manifests, Diagnostics> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("manifest.yaml");
    write(&file, text);
    load_plain(&file)
}

/// Returns all faults of a plain manifest: `line:column: message`, or the message alone.
pub(crate) fn complaints(text: impl AsRef<[u8]>) -> Vec<String> {
    lines(&load(text).expect_err("the manifest is wrong"))
}

/// Formats diagnostics without the names of their files.
pub(crate) fn lines(wrong: &Diagnostics) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| match diagnostic.position() {
        Some(position) => format!("{}:{}: {}", position.line, position.column, diagnostic.message()),
        None => diagnostic.message().to_owned(),
    };
    wrong.iter().map(line).collect()
}

/// Formats diagnostics with the names of their files, relative to a directory.
pub(crate) fn lines_below(directory: &Path, shown: impl IntoIterator<Item = impl ToString>) -> String {
    let prefix = format!("{}/", directory.display());
    shown.into_iter().map(|line| line.to_string().replace(&prefix, "") + "\n").collect()
}

/// Returns all listed promotions, as `image@digit:tag` with one digit of the digest, or `image@digit` without a tag.
pub(crate) fn promotions(manifests: &Manifests) -> Vec<String> {
    let mut promotions = Vec::new();
    for image in manifests.manifests.iter().flat_map(|manifest| &manifest.images) {
        for listed in &image.digests {
            let digit = &listed.digest.hex()[..1];
            let tags = listed.tags.iter().map(|(tag, _)| format!("{}@{digit}:{tag}", image.name));
            promotions.extend(tags);
            if listed.tags.is_empty() {
                promotions.push(format!("{}@{digit}", image.name));
            }
        }
    }
    promotions
}

/// Returns all edges of manifests, as `repository:tag@digit` with one digit of the digest, or `repository@digit` without a
/// tag.
pub(crate) fn edges(manifests: &Manifests) -> BTreeSet<String> {
    let edges = Edges::new(manifests).unwrap_or_else(|overlaps| panic!("{}", overlaps[0]));
    let shown = |edge| {
        let tag = edges.tag(edge).map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{}{tag}@{}", edges.destination(edge), &edges.digest(edge).hex()[..1])
    };
    edges.all().iter().map(shown).collect()
}

/// Loads a directory of thin manifests, whose tree as a whole must be valid.
pub(crate) fn thin(directory: &Path) -> Manifests {
    load_thin(directory).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// Returns the rejected faults of a directory of thin manifests, one per line.
pub(crate) fn rejected(directory: &Path) -> String {
    lines_below(directory, thin(directory).rejected.iter())
}

/// Copies a directory with its content.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Returns the path of a test data file.
pub(crate) fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}
