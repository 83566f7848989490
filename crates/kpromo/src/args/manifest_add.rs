//! Flags of `kpromo manifest add`.

use std::path::PathBuf;

use clap::Args;
use manifest::edit::Addition;
use oci::{Digest, RegistryRoot, RepositoryPath, Tag};

const EXAMPLES: &str = "\
Examples:
  kpromo manifest add coredns v1.12.0 sha256:4020… images/coredns/images.yaml
  kpromo manifest add coredns v1.12.0 sha256:4020… --dir registry.k8s.io
  kpromo manifest add gcr.io/k8s-staging-coredns/coredns v1.12.0 \\
    sha256:4020… --dir registry.k8s.io --dry-run

Exit codes:
  0    added, or it is there already
  1    the file cannot be written
  2    usage
  10   invalid manifest
  11   the tag has another digest";

/// The flags of `kpromo manifest add`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct ManifestAddFlags {
    /// Name of the image in the manifest, or its staging reference without a tag.
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Tag to add.
    #[arg(value_name = "TAG")]
    tag: Tag,
    /// Digest that gets the tag: sha256:…
    #[arg(value_name = "DIGEST")]
    digest: Digest,
    /// File to edit: an images.yaml, or a plain manifest.
    #[arg(value_name = "FILE", required_unless_present = "dir", conflicts_with = "dir")]
    file: Option<PathBuf>,
    /// Directory with thin manifests. kpromo edits the project that has the image or its staging registry, and checks all
    /// projects.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Project to edit, by the name of its directory.
    #[arg(long, value_name = "PROJECT", requires = "dir")]
    project: Option<String>,
    /// Print the change as a diff, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Reformat the whole list of images.
    #[arg(long)]
    format: bool,
}

/// The file to edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddTarget {
    /// This file.
    File { file: PathBuf, image: ImageText },
    /// The file of a project in a directory of thin manifests.
    Directory { directory: PathBuf, project: Option<String>, image: ImageText },
}

/// An image on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageText {
    /// A name in a manifest.
    pub(crate) name: Option<RepositoryPath>,
    /// A staging reference.
    pub(crate) reference: Option<RegistryRoot>,
}

/// The checked arguments of `kpromo manifest add`.
#[derive(Clone, Debug)]
pub(crate) struct ManifestAddArgs {
    pub(crate) target: AddTarget,
    pub(crate) tag: Tag,
    pub(crate) digest: Digest,
    pub(crate) dry_run: bool,
    pub(crate) format: bool,
}

impl ManifestAddArgs {
    /// Returns the addition.
    pub(crate) fn addition(&self, image: RepositoryPath) -> Addition {
        Addition { image, digest: self.digest, tag: self.tag.clone() }
    }
}

impl ManifestAddFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if no image is named, or if the digest is not SHA-256.
    pub(crate) fn resolve(self) -> Result<ManifestAddArgs, String> {
        sha256(&self.digest)?;
        let name = self.image.parse::<RepositoryPath>();
        // The first part of a name is a host if it has a dot or a port.
        let host = self.image.split('/').next().unwrap_or_default();
        let is_reference = self.image.contains('/') && host.contains(['.', ':']);
        let reference = if is_reference { self.image.parse::<RegistryRoot>().ok() } else { None };
        if name.is_err() && reference.is_none() {
            return Err(format!("IMAGE: `{}` is neither a name nor a reference", self.image));
        }
        let image = ImageText { name: name.ok(), reference };
        let target = match (self.file, self.dir) {
            (Some(file), None) => AddTarget::File { file, image },
            (None, Some(directory)) => AddTarget::Directory { directory, project: self.project, image },
            _ => return Err("one of FILE and --dir is needed".to_owned()),
        };
        let (tag, digest) = (self.tag, self.digest);
        Ok(ManifestAddArgs { target, tag, digest, dry_run: self.dry_run, format: self.format })
    }
}

/// Checks that images are promoted by digests of this kind.
pub(super) fn sha256(digest: &Digest) -> Result<(), String> {
    match digest {
        Digest::Sha256(_) => Ok(()),
        Digest::Sha512(_) => Err(format!("{digest}: images can only be promoted by SHA-256 digest")),
    }
}
