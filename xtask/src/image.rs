//! `cargo xtask image`: a container image of the binary, as an OCI layout, built without a container engine.

mod layout;
mod system;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::archive::{PLAIN, PROGRAM, Tree};
use crate::error::Error;
use crate::image::layout::{Layer, Layout};
use crate::release::{self, Features, Place};
use crate::sbom;
use crate::sources::Stamp;
use crate::step::say;
use crate::workspace::Workspace;

/// Flags of `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Binary to use, instead of building a release.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Bill of materials of this binary (CycloneDX, JSON), instead of one that cargo-cyclonedx generates.
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
    /// Directory for the layout; an older layout there is replaced. Default: target/xtask/image.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write the file system of the image to this directory, and no layout. The Dockerfile uses this flag.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "tag", "labels"])]
    unpacked: Option<PathBuf>,
    /// Name of the image in the layout. Default: the version.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Label to add, such as `org.opencontainers.image.source=https://example.com/kpromo`.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Omit git, which kpromo needs for runs over a diff.
    #[arg(long)]
    without_git: bool,
    #[command(flatten)]
    features: Features,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label must be KEY=VALUE".to_owned()),
    }
}

/// Writes the layout, or the file system.
///
/// # Errors
/// If the binary cannot be built, or if the system lacks a part.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    let stamp = Stamp::read(workspace)?;
    let target = workspace.target().join("xtask").join("release");
    let place = Place { sources: workspace.root(), target: &target };
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => release::build(workspace, place, &arguments.features, &stamp)?,
    };
    let bom = match &arguments.sbom {
        Some(file) => sbom::read(file)?,
        None => sbom::of_binary(workspace, &arguments.features, &release::platform(workspace)?, &stamp)?,
    };
    let content = Content::collect(workspace, &binary, &bom, !arguments.without_git)?;
    if let Some(directory) = &arguments.unpacked {
        fs::create_dir_all(directory).map_err(Error::file("making the directory", directory))?;
        return content.trees.iter().try_for_each(|(_, tree)| tree.unpack(directory));
    }
    let output = arguments.output.clone().unwrap_or_else(|| workspace.target().join("xtask").join("image"));
    let name = arguments.tag.as_deref().unwrap_or(VERSION);
    let config = config(&labels(&arguments.labels, &stamp, &content.packages), &stamp.time());
    write(&output, |directory| content.write(directory, name, config))?;
    let directory = output.display();
    say(&format!(
        "    {directory} has the image: skopeo copy oci:{directory}:{name} docker://REGISTRY/kpromo:{name}"
    ));
    Ok(())
}

/// The version of all crates of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The content of an image.
struct Content {
    /// The layers, each with its title.
    trees: Vec<(&'static str, Tree)>,
    packages: Vec<sbom::Package>,
    /// The bill of materials.
    document: String,
}

impl Content {
    /// Collects the binary and the files of the system that it needs.
    fn collect(workspace: &Workspace, binary: &Path, bom: &Value, with_git: bool) -> Result<Self, Error> {
        let base = system::base(binary)?;
        let git = if with_git { Some(system::git(&base)?) } else { None };
        let packages = base.packages.iter().chain(git.iter().flat_map(|git| &git.packages));
        let packages: Vec<_> = packages.cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let document = sbom::of_image(bom, VERSION, &packages).to_string();

        let mut program = Tree::default();
        program.copy("usr/bin/kpromo", PROGRAM, binary)?;
        program.copy("usr/share/doc/kpromo/copyright", PLAIN, &workspace.root().join("LICENSE"))?;
        // Also in the image, because a copy of the image in another registry may lack the attached document.
        program.file("usr/share/doc/kpromo/sbom.cdx.json", PLAIN, document.as_bytes());

        // The layers that change least come first, so that a new release shares them with older ones.
        let system = [("system", base.tree)].into_iter().chain(git.map(|git| ("git", git.tree)));
        Ok(Self { trees: system.chain([("kpromo", program)]).collect(), packages, document })
    }

    fn write(&self, directory: &Path, name: &str, config: Value) -> Result<(), Error> {
        let layers =
            self.trees.iter().map(|(title, tree)| Layer::new(title, tree)).collect::<Result<Vec<_>, _>>();
        let layers = layers.map_err(Error::file("packing a layer for", directory))?;
        let mut layout = Layout::begin(directory)?;
        let image = layout.image(name, config, &layers)?;
        layout.attach(&format!("{name}.sbom"), &image, sbom::MEDIA_TYPE, self.document.as_bytes())?;
        layout.finish()
    }
}

/// Returns the labels (OCI Image Specification 1.1, annotations). Those of the command line take precedence.
fn labels(added: &[(String, String)], stamp: &Stamp, packages: &[sbom::Package]) -> Value {
    let packages: Vec<_> =
        packages.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
    let mut labels = json!({
        "org.opencontainers.image.title": "kpromo",
        "org.opencontainers.image.description": "Promotes container images between registries.",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.revision": stamp.commit,
        "org.opencontainers.image.created": stamp.time(),
        "kpromo.packages": packages.join(" "),
    });
    for (key, value) in added {
        labels[key] = json!(value);
    }
    labels
}

/// Returns the configuration of the image. The image runs as an unprivileged user, also with a read-only file system, because
/// kpromo writes only to `/tmp`.
fn config(labels: &Value, created: &str) -> Value {
    json!({
        "created": created,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": format!("{0}:{0}", system::USER),
            "Env": [
                "PATH=/usr/local/bin:/usr/bin:/bin",
                format!("HOME={}", system::HOME),
                "XDG_CACHE_HOME=/tmp/.cache",
                "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            ],
            "Entrypoint": ["/usr/bin/kpromo"],
            "WorkingDir": system::HOME,
            "Labels": labels,
        },
    })
}

/// Returns the architecture of this machine by its name in Go, which the specification uses.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Writes a layout to a directory beside `output`, and then replaces an older layout with it.
fn write(output: &Path, content: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let output = std::path::absolute(output).map_err(Error::file("finding", output))?;
    let above = output.parent().unwrap_or(&output);
    fs::create_dir_all(above).map_err(Error::file("making the directory", above))?;
    if output.exists() && !output.join("oci-layout").is_file() {
        return Err(Error::NoLayout { path: output });
    }
    let directory = tempfile::tempdir_in(above).map_err(Error::file("making a directory in", above))?;
    content(directory.path())?;
    if output.exists() {
        fs::remove_dir_all(&output).map_err(Error::file("removing", &output))?;
    }
    fs::rename(directory.keep(), &output).map_err(Error::file("moving into place", &output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_a_layout_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("image");
        let layout = |directory: &Path| Layout::begin(directory)?.finish();
        write(&output, layout).unwrap();
        write(&output, layout).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_file(output.join("oci-layout")).unwrap();
        let error = write(&output, layout).unwrap_err().to_string();
        assert!(error.contains("image"), "{error}");
        assert!(output.join("index.json").is_file());
    }

    #[test]
    fn a_label_has_a_key() {
        assert_eq!(label("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(label("=b").is_err() && label("a").is_err());
    }
}
