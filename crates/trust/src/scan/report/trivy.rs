//! Trivy's JSON (`trivy image --format json`, schema version 2).

use serde::Deserialize;

use super::input::{Input, InvalidReport, Report, bounded, short, time};
use super::shape::Shape;
use crate::scan::finding::{Finding, Fix};
use crate::scan::part::{About, platform_of};
use crate::scan::purl::Purl;
use crate::scan::severity::Severity;

/// The classes of results that hold vulnerabilities.
const PACKAGES: [&str; 2] = ["os-pkgs", "lang-pkgs"];

/// The states of vulnerabilities that no version of the package fixes.
const UNFIXED: [&str; 6] =
    ["affected", "not_affected", "under_investigation", "will_not_fix", "fix_deferred", "end_of_life"];
const VULNERABILITY: Shape = Shape {
    members: &[
        "VulnerabilityID",
        "VendorIDs",
        "PkgName",
        "PkgIdentifier",
        "InstalledVersion",
        "FixedVersion",
        "Status",
        "Severity",
    ],
    objects: &[],
};
const RESULT: Shape = Shape { members: &["Class"], objects: &[("Vulnerabilities", VULNERABILITY)] };
const METADATA: Shape = Shape { members: &["ImageID", "RepoDigests", "ImageConfig"], objects: &[] };
const SHAPE: Shape = Shape {
    members: &["SchemaVersion", "CreatedAt", "ArtifactName", "ArtifactType"],
    objects: &[("Metadata", METADATA), ("Results", RESULT)],
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Trivy {
    schema_version: u64,
    created_at: Option<String>,
    artifact_name: Option<String>,
    artifact_type: Option<String>,
    metadata: Option<Metadata>,
    results: Option<Vec<TrivyResult>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    repo_digests: Option<Vec<String>>,
    image_config: Option<ImageConfig>,
}

#[derive(Deserialize)]
struct ImageConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TrivyResult {
    class: Option<String>,
    vulnerabilities: Option<Vec<Vulnerability>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    #[serde(rename = "VendorIDs")]
    vendor_ids: Option<Vec<String>>,
    pkg_name: Option<String>,
    pkg_identifier: Option<PkgIdentifier>,
    installed_version: Option<String>,
    fixed_version: Option<String>,
    status: Option<String>,
    severity: Option<String>,
}

#[derive(Deserialize)]
struct PkgIdentifier {
    #[serde(rename = "PURL")]
    purl: Option<String>,
}

/// Reads a report of Trivy.
pub(super) fn read(input: Input<'_>) -> Result<Report, InvalidReport> {
    let trivy: Trivy = input.read()?;
    SHAPE.check(input)?;
    if trivy.schema_version != 2 {
        let version = trivy.schema_version;
        return Err(InvalidReport::wrong_kind(format!(
            "it is a report of Trivy with the schema version {version}, and only 2 is supported"
        )));
    }
    match trivy.artifact_type.as_deref() {
        Some("container_image") => {}
        Some(other) => {
            let other = short(other);
            return Err(InvalidReport::wrong_kind(format!(
                "Trivy has scanned a {other}, not a container image"
            )));
        }
        None => {
            return Err(InvalidReport::wrong_kind(
                "the report does not state what Trivy has scanned (`ArtifactType`)",
            ));
        }
    }
    let results = trivy.results.unwrap_or_default();
    let holds_packages = |result: &TrivyResult| {
        result.vulnerabilities.is_some()
            || result.class.as_deref().is_some_and(|class| PACKAGES.contains(&class))
    };
    // A report with only other results is of a scan for something else. A report without results may be of such a scan too,
    // or the image has no packages.
    let unfinished = results.is_empty().then_some(
        "Trivy's report has no results, which does not prove a scan for vulnerabilities: Trivy found no \
         packages in the image, or scanned for something else",
    );
    if !results.is_empty() && !results.iter().any(holds_packages) {
        return Err(InvalidReport::wrong_kind("Trivy has scanned for something else than vulnerabilities"));
    }
    let found = results.into_iter().filter_map(|result| result.vulnerabilities).flatten();
    let findings = bounded("vulnerabilities", found.map(Finding::from).collect())?;
    let about = about(trivy.metadata.unwrap_or_default(), trivy.artifact_name.as_deref());
    let finished = time("CreatedAt", trivy.created_at.as_deref())?;
    Ok(Report { tool: "Trivy".to_owned(), about, finished, findings, unfinished })
}

fn about(metadata: Metadata, artifact_name: Option<&str>) -> About {
    let mut about = About {
        image_id: metadata.image_id.and_then(|id| id.parse().ok()),
        platform: metadata.image_config.and_then(|config| {
            platform_of(config.os.as_deref(), config.architecture.as_deref(), config.variant.as_deref())
        }),
        ..About::default()
    };
    metadata
        .repo_digests
        .iter()
        .flatten()
        .map(String::as_str)
        .chain(artifact_name)
        .for_each(|text| about.add(text));
    about
}

impl From<Vulnerability> for Finding {
    fn from(found: Vulnerability) -> Self {
        let says_none = found.status.is_some_and(|status| UNFIXED.contains(&status.as_str()));
        let fix = Fix::of_versions(found.fixed_version.as_deref().unwrap_or_default(), says_none);
        let purl = found.pkg_identifier.and_then(|identifier| identifier.purl);
        Self {
            id: found.id,
            aliases: found.vendor_ids.unwrap_or_default(),
            severity: Severity::of_words(&found.severity.unwrap_or_default()),
            package: found.pkg_name.unwrap_or_default(),
            installed: found.installed_version.unwrap_or_default(),
            purl: purl.as_deref().and_then(Purl::parse),
            fix,
        }
    }
}
