//! An image as a directory (OCI Image Layout Specification 1.1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::archive::{Tree, gzip, sha256};
use crate::error::Error;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A layer: its blob, and the digest of the archive in it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// What it contains, for the history of the image.
    pub(crate) title: String,
    compressed: Vec<u8>,
    difference: String,
}

impl Layer {
    /// Packs a tree. All times are 0.
    ///
    /// # Errors
    /// If a path is too long for an archive.
    pub(crate) fn new(title: &str, tree: &Tree) -> io::Result<Self> {
        let archive = tree.tar(0)?;
        Ok(Self {
            title: title.to_owned(),
            compressed: gzip(&archive)?,
            difference: format!("sha256:{}", sha256(&archive)),
        })
    }
}

/// A layout while it is written: its directory, and the descriptors of its index.
#[derive(Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    /// Begins a layout in an empty directory.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn begin(directory: &Path) -> Result<Self, Error> {
        let blobs = directory.join("blobs").join("sha256");
        fs::create_dir_all(&blobs).map_err(Error::file("making the directory", blobs))?;
        write(&directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { directory: directory.to_owned(), manifests: Vec::new() })
    }

    /// Adds an image with the name `name`, and returns the descriptor of its manifest. `config` is the configuration without
    /// `rootfs` and `history`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn image(&mut self, name: &str, mut config: Value, layers: &[Layer]) -> Result<Value, Error> {
        let differences: Vec<_> = layers.iter().map(|layer| &layer.difference).collect();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": differences });
        let created = config["created"].clone();
        let step = |layer: &Layer| json!({ "created": created, "created_by": "cargo xtask image", "comment": layer.title });
        config["history"] = layers.iter().map(step).collect();
        let platform = json!({ "architecture": config["architecture"], "os": config["os"] });
        let blobs =
            layers.iter().map(|layer| self.blob(LAYER, &layer.compressed)).collect::<Result<Vec<_>, _>>()?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(CONFIG, config.to_string().as_bytes())?,
            "layers": blobs,
            "annotations": config["config"]["Labels"],
        });
        let mut descriptor = self.manifest(&manifest)?;
        let subject = descriptor.clone();
        descriptor["platform"] = platform;
        self.name(descriptor, name);
        Ok(subject)
    }

    /// Attaches a document to an image: an artifact manifest that has the image as its subject.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn attach(
        &mut self,
        name: &str,
        subject: &Value,
        media_type: &str,
        document: &[u8],
    ) -> Result<(), Error> {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": self.blob(EMPTY, b"{}")?,
            "layers": [self.blob(media_type, document)?],
            "subject": subject,
        });
        let descriptor = self.manifest(&manifest)?;
        self.name(descriptor, name);
        Ok(())
    }

    /// Writes the index.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests });
        write(&self.directory.join("index.json"), index.to_string().as_bytes())
    }

    fn name(&mut self, mut descriptor: Value, name: &str) {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.manifests.push(descriptor);
    }

    fn manifest(&self, manifest: &Value) -> Result<Value, Error> {
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Writes a blob and returns its descriptor.
    fn blob(&self, media_type: &str, content: &[u8]) -> Result<Value, Error> {
        let digest = sha256(content);
        write(&self.directory.join("blobs").join("sha256").join(&digest), content)?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len() }))
    }
}

fn write(file: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(file, content).map_err(Error::file("writing", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(directory: &Path) -> Value {
        let mut tree = Tree::default();
        tree.file("usr/bin/kpromo", 0o755, "program");
        let layer = Layer::new("kpromo", &tree).unwrap();
        let mut layout = Layout::begin(directory).unwrap();
        let labels = json!({ "org.opencontainers.image.title": "kpromo" });
        let config = json!({
            "created": "2026-01-01T00:00:00Z", "architecture": "amd64", "os": "linux", "config": { "Labels": labels },
        });
        let subject = layout.image("0.1.0", config, &[layer]).unwrap();
        layout.attach("0.1.0.sbom", &subject, "application/vnd.cyclonedx+json", b"{}").unwrap();
        layout.finish().unwrap();
        subject
    }

    fn read(directory: &Path, descriptor: &Value) -> Value {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let content = fs::read(directory.join("blobs/sha256").join(digest)).unwrap();
        assert_eq!(sha256(&content), digest);
        assert_eq!(descriptor["size"], content.len());
        serde_json::from_slice(&content).unwrap_or(Value::Null)
    }

    #[test]
    fn every_blob_has_the_digest_and_the_size_of_its_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let subject = build(directory.path());
        let index: Value =
            serde_json::from_slice(&fs::read(directory.path().join("index.json")).unwrap()).unwrap();
        let manifest = read(directory.path(), &index["manifests"][0]);
        assert_eq!(index["manifests"][0]["digest"], subject["digest"]);
        let config = read(directory.path(), &manifest["config"]);
        read(directory.path(), &manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
        assert_eq!(config["history"].as_array().unwrap().len(), 1);
        let attached = read(directory.path(), &index["manifests"][1]);
        assert_eq!(attached["subject"], subject, "the document refers to the image");
        assert_eq!(read(directory.path(), &attached["layers"][0]), json!({}));
    }

    #[test]
    fn the_same_content_produces_the_same_image() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(build(one.path()), build(two.path()));
        let index = |directory: &Path| fs::read(directory.join("index.json")).unwrap();
        assert_eq!(index(one.path()), index(two.path()));
    }
}
