//! The schema of manifests. Readers collect all errors and return every part that is valid.

mod file_entries;
mod images;
mod provenance;
mod reader;
mod registries;
mod release_entries;

pub(super) use self::reader::Reading;
use self::reader::{Kind, PROVENANCE, Reader};
pub(super) use self::registries::Registries;
use super::contents::Contents;
use super::model::Image;
use super::tree::Node;
use crate::files::{FileEntry, StoreUrl, Stores};
use crate::releases::ReleaseEntry;

/// Reads a whole plain manifest: `registries`, `images` and `provenance`. The images are `None` if they are not a list.
pub(super) fn plain(contents: &Contents) -> Reading<(Registries, Option<Vec<Image>>)> {
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| {
        let fields = root.and_then(|root| reader.fields(root, &["registries", "images", PROVENANCE]));
        let (Some(root), Some(mut fields)) = (root, fields) else { return (reader.illegible(), None) };
        let images = fields.take("images");
        let registries = reader.registries(root.position, fields);
        let images = images.map_or_else(|| Some(Vec::new()), |node| reader.images(node, &registries.roots()));
        (registries, images)
    };
    let unreadable = || (Registries::unreadable(&contents.file), None);
    Reader::read(contents, Kind::Plain, interpret, unreadable)
}

/// Reads the `promoter-manifest.yaml` of a thin manifest: `registries` and `provenance`.
pub(super) fn registries(contents: &Contents) -> Reading<Registries> {
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| {
        // `imagesPath` is deprecated, but the manifests of Kubernetes still have it.
        let fields = root.and_then(|root| reader.fields(root, &["registries", "imagesPath", PROVENANCE]));
        match (root, fields) {
            (Some(root), Some(fields)) => reader.registries(root.position, fields),
            _ => reader.illegible(),
        }
    };
    Reader::read(contents, Kind::Thin, interpret, || Registries::unreadable(&contents.file))
}

/// Reads the `images.yaml` of a thin manifest: a list of images. `registries` limit the length of image names. The value is
/// `None` if the file has no list of images.
pub(super) fn images(contents: &Contents, registries: Option<&Registries>) -> Reading<Option<Vec<Image>>> {
    let roots = registries.map(Registries::roots).unwrap_or_default();
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| reader.images(root?, &roots);
    Reader::read(contents, Kind::Thin, interpret, || None)
}

/// Reads the stores of a manifest of files: `filestores`.
pub(super) fn filestores(contents: &Contents) -> Reading<Stores> {
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| {
        root.map(|root| reader.stores(root)).unwrap_or_default()
    };
    Reader::read(contents, Kind::Plain, interpret, Stores::default)
}

/// Reads the entries of a manifest of files: `files`. Their names must be short enough for all of `stores`.
pub(super) fn file_entries(contents: &Contents, stores: &[&StoreUrl]) -> Reading<Vec<FileEntry>> {
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| {
        root.map(|root| reader.file_entries(root, stores)).unwrap_or_default()
    };
    Reader::read(contents, Kind::Plain, interpret, Vec::new)
}

/// Reads a list of releases: `releaseConfigs`. With `needs_bucket`, each entry must have a bucket.
pub(super) fn release_entries(contents: &Contents, needs_bucket: bool) -> Reading<Vec<ReleaseEntry>> {
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| {
        root.map(|root| reader.releases(root, needs_bucket)).unwrap_or_default()
    };
    Reader::read(contents, Kind::Plain, interpret, Vec::new)
}
