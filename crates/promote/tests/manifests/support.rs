//! What the tests of manifests share.

use std::fs;
use std::path::{Path, PathBuf};

use promote::manifest::{Diagnostics, Manifests, load_plain};
use tempfile::TempDir;

/// A digest whose digits are all the same.
pub(crate) fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// The registries of a manifest: one source, one destination.
pub(crate) const REGISTRIES: &str = "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/p\n";

/// An image with these digests and tags, as an item of `images`.
pub(crate) fn image(name: &str, dmap: &[(char, &str)]) -> String {
    let digests: String =
        dmap.iter().map(|(digit, tags)| format!("    {}: [{tags}]\n", digest(*digit))).collect();
    format!("- name: {name}\n  dmap:\n{digests}")
}

/// Writes a file and the folders that it is in.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes the two files of a thin manifest.
pub(crate) fn write_thin(folder: &Path, project: &str, registries: &str, images: &str) {
    write(&folder.join("manifests").join(project).join("promoter-manifest.yaml"), registries);
    write(&folder.join("images").join(project).join("images.yaml"), images);
}

/// Loads a text as a plain manifest.
pub(crate) fn load(text: impl AsRef<[u8]>) -> Result<Manifests, Diagnostics> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("manifest.yaml");
    write(&file, text);
    load_plain(&file)
}

/// All that is wrong with a plain manifest: `line:column: message`, or the message alone.
pub(crate) fn complaints(text: impl AsRef<[u8]>) -> Vec<String> {
    lines(&load(text).expect_err("the manifest is wrong"))
}

/// Diagnostics without the names of their files.
pub(crate) fn lines(wrong: &Diagnostics) -> Vec<String> {
    let line = |diagnostic: &promote::manifest::Diagnostic| match diagnostic.position() {
        Some(position) => format!("{}:{}: {}", position.line, position.column, diagnostic.message()),
        None => diagnostic.message().to_owned(),
    };
    wrong.iter().map(line).collect()
}

/// Diagnostics with the names of their files from a folder.
pub(crate) fn lines_below(folder: &Path, shown: impl IntoIterator<Item = impl ToString>) -> String {
    let prefix = format!("{}/", folder.display());
    shown.into_iter().map(|line| line.to_string().replace(&prefix, "") + "\n").collect()
}

/// All wishes, as `image@digit:tag` with one digit of the digest, or `image@digit` for one without a tag.
pub(crate) fn wishes(manifests: &Manifests) -> Vec<String> {
    let mut wishes = Vec::new();
    for image in manifests.manifests.iter().flat_map(|manifest| &manifest.images) {
        for wish in &image.digests {
            let digit = &wish.digest.hex()[..1];
            let tags = wish.tags.iter().map(|(tag, _)| format!("{}@{digit}:{tag}", image.name));
            wishes.extend(tags);
            if wish.tags.is_empty() {
                wishes.push(format!("{}@{digit}", image.name));
            }
        }
    }
    wishes
}

/// A file of the tests' data.
pub(crate) fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}
