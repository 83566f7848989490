//! The bill of materials of the binary, in CycloneDX, by `cargo-cyclonedx`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::error::Error;
use crate::release::Features;
use crate::sources::{self, Stamp};
use crate::step::step;
use crate::tools::{Build, Cache, Source, Tool};
use crate::workspace::Workspace;

/// Lists the crates that the binary is built from.
const CARGO_CYCLONEDX: Tool =
    Tool { name: "cargo-cyclonedx", version: "0.5.9", source: Source::Crate("cargo-cyclonedx") };

/// The media type of a bill of materials.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// A package of the system whose files are part of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
}

impl Package {
    /// Returns the package URL, by which scanners look up vulnerabilities (purl specification, type `deb`).
    fn url(&self) -> String {
        let Self { name, version, architecture } = self;
        let version = version.replace('+', "%2B").replace(':', "%3A");
        format!("pkg:deb/debian/{name}@{version}?arch={architecture}")
    }
}

/// Returns the bill of materials of the binary for a platform. It has no path of this machine, no time of its creation and no
/// serial number, so it is the same for the same sources.
///
/// # Errors
/// If the tool cannot be installed or fails.
pub(crate) fn of_binary(
    workspace: &Workspace,
    features: &Features,
    platform: &str,
    stamp: &Stamp,
) -> Result<Value, Error> {
    let tool = Cache::open(Build::Fast)?.install(&CARGO_CYCLONEDX)?;
    let directory =
        tempfile::tempdir().map_err(Error::file("making a directory in", std::env::temp_dir()))?;
    // The tool writes a file beside the manifest of each crate, so it runs in a copy of the checkout.
    sources::copy(workspace, directory.path())?;
    let mut command = Command::new(tool);
    command
        .args(["cyclonedx", "--quiet", "--format=json", "--spec-version=1.5", "--override-filename=bom"])
        .args(["--target", platform, "--manifest-path"])
        .arg(directory.path().join("crates/kpromo/Cargo.toml"))
        .args(features.arguments())
        .current_dir(directory.path())
        .env("SOURCE_DATE_EPOCH", stamp.epoch.to_string());
    step("listing the crates of the binary", &mut command)?;
    let file = directory.path().join("crates/kpromo/bom.json");
    let text = fs::read_to_string(&file).map_err(Error::file("reading", &file))?;
    parse(&text.replace(&*directory.path().to_string_lossy(), ""), &file)
}

/// Reads a bill of materials from a file.
///
/// # Errors
/// If the file cannot be read, or is not CycloneDX in JSON.
pub(crate) fn read(file: &Path) -> Result<Value, Error> {
    parse(&fs::read_to_string(file).map_err(Error::file("reading", file))?, file)
}

fn parse(text: &str, file: &Path) -> Result<Value, Error> {
    let bom: Value = serde_json::from_str(text)
        .map_err(|error| Error::Bom { path: file.to_owned(), reason: error.to_string() })?;
    if bom["bomFormat"] != "CycloneDX" || !bom["metadata"]["component"].is_object() {
        let reason = "it has no `bomFormat` CycloneDX or no `metadata.component`".to_owned();
        return Err(Error::Bom { path: file.to_owned(), reason });
    }
    Ok(bom)
}

/// Returns the bill of materials of an image that consists of the binary and of files of `packages`.
pub(crate) fn of_image(binary: &Value, version: &str, packages: &[Package]) -> Value {
    let mut bom = binary.clone();
    let program = binary["metadata"]["component"].clone();
    let reference = format!("pkg:oci/kpromo?tag={version}");
    bom["metadata"]["component"] =
        json!({ "type": "container", "bom-ref": reference, "name": "kpromo", "version": version });
    let mut parts = vec![program["bom-ref"].clone()];
    let mut components = vec![program];
    for package in packages {
        let url = package.url();
        parts.push(json!(url));
        components.push(json!({
            "type": "library", "bom-ref": url, "name": package.name, "version": package.version, "purl": url,
        }));
    }
    append(&mut bom, "components", components);
    append(&mut bom, "dependencies", vec![json!({ "ref": reference, "dependsOn": parts })]);
    bom
}

fn append(bom: &mut Value, list: &str, added: Vec<Value>) {
    match bom[list].as_array_mut() {
        Some(known) => known.extend(added),
        None => bom[list] = Value::Array(added),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary() -> Value {
        json!({
            "bomFormat": "CycloneDX", "specVersion": "1.5",
            "metadata": { "component": { "type": "application", "bom-ref": "kpromo", "name": "kpromo" } },
            "components": [{ "type": "library", "bom-ref": "clap", "name": "clap" }],
            "dependencies": [{ "ref": "kpromo", "dependsOn": ["clap"] }],
        })
    }

    #[test]
    fn an_image_consists_of_the_binary_its_crates_and_packages_of_the_system() {
        let package = Package {
            name: "libc6".into(),
            version: "1:2.36-9+deb12u10".into(),
            architecture: "amd64".into(),
        };
        let bom = of_image(&binary(), "0.1.0", &[package]);
        let names: Vec<_> = bom["components"].as_array().unwrap().iter().map(|part| &part["name"]).collect();
        assert_eq!(names, ["clap", "kpromo", "libc6"]);
        assert_eq!(bom["metadata"]["component"]["type"], "container");
        let url = "pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u10?arch=amd64";
        assert_eq!(bom["dependencies"][1]["dependsOn"], json!(["kpromo", url]));
        assert_eq!(
            bom["dependencies"][0],
            binary()["dependencies"][0],
            "the dependencies of the binary are kept"
        );
    }

    #[test]
    fn a_file_that_is_not_a_bill_of_materials_is_refused() {
        let file = Path::new("bom.json");
        assert!(parse(&binary().to_string(), file).is_ok());
        for text in ["{}", "{", r#"{"bomFormat":"CycloneDX"}"#, r#"{"spdxVersion":"SPDX-2.3"}"#] {
            assert!(parse(text, file).unwrap_err().to_string().contains("bom.json"), "{text}");
        }
    }
}
