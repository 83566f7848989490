//! The targets of a check: trees of thin manifests and plain manifests, by the paths that the user names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::thin::{IMAGES, IMAGES_FILE, MANIFESTS, REGISTRIES_FILE};

/// The target of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A plain manifest.
    Plain(PathBuf),
    /// A directory of thin manifests.
    Thin {
        /// The directory.
        directory: PathBuf,
        /// The projects whose findings are reported; `None`: all. The whole directory is read in either case.
        projects: Option<BTreeSet<String>>,
    },
}

/// Returns the targets of paths. A directory is a tree of thin manifests. A file of such a tree selects its project. Any other
/// file is a plain manifest.
pub fn targets<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for path in paths {
        let target = target(path);
        let is_same = |other: &&mut Target| place(other) == place(&target);
        match (targets.iter_mut().find(is_same), &target) {
            (None, _) => targets.push(target),
            (Some(Target::Thin { projects, .. }), Target::Thin { projects: more, .. }) => {
                *projects = projects.take().zip(more.clone()).map(|(a, b)| &a | &b);
            }
            (Some(_), _) => {}
        }
    }
    targets
}

/// Returns the canonical path of a target, so that each target is checked once.
fn place(target: &Target) -> PathBuf {
    let (Target::Plain(path) | Target::Thin { directory: path, .. }) = target;
    path.canonicalize().unwrap_or_else(|_| path.clone())
}

fn target(path: &Path) -> Target {
    if path.is_dir() {
        return Target::Thin { directory: path.to_owned(), projects: None };
    }
    in_tree(path).unwrap_or_else(|| Target::Plain(path.to_owned()))
}

/// Returns the tree of a file `images/<project>/images.yaml` or `manifests/<project>/promoter-manifest.yaml`.
fn in_tree(path: &Path) -> Option<Target> {
    let expected = match path.file_name()?.to_str()? {
        IMAGES_FILE => IMAGES,
        REGISTRIES_FILE => MANIFESTS,
        _ => return None,
    };
    // A path relative to a directory in the tree does not have the names of all directories above the file.
    let path = if path.components().count() < 4 { std::path::absolute(path).ok()? } else { path.to_owned() };
    let project = path.parent()?;
    let kind = project.parent()?;
    let directory = kind.parent()?;
    let is_tree = kind.file_name()? == expected
        && directory.join(IMAGES).is_dir()
        && directory.join(MANIFESTS).is_dir();
    let projects = Some(BTreeSet::from([project.file_name()?.to_str()?.to_owned()]));
    is_tree.then(|| Target::Thin { directory: directory.to_owned(), projects })
}
