//! Grype's JSON (`grype --output json`).

use serde::Deserialize;
use serde_json::Value;

use super::input::{Input, InvalidReport, Report, bounded, short, time};
use super::shape::Shape;
use crate::scan::finding::{Finding, Fix};
use crate::scan::part::{About, platform_of};
use crate::scan::purl::Purl;
use crate::scan::severity::Severity;

/// The states of vulnerabilities that no version of the package fixes.
const UNFIXED: [&str; 2] = ["not-fixed", "wont-fix"];
const FIX: Shape = Shape { members: &["versions", "state"], objects: &[] };
const MATCH: Shape = Shape {
    members: &["relatedVulnerabilities"],
    objects: &[
        ("vulnerability", Shape { members: &["id", "severity"], objects: &[("fix", FIX)] }),
        ("artifact", Shape { members: &["name", "version", "purl"], objects: &[] }),
    ],
};
const DESCRIPTOR: Shape = Shape { members: &["name", "timestamp"], objects: &[] };
const SHAPE: Shape =
    Shape { members: &["source"], objects: &[("matches", MATCH), ("descriptor", DESCRIPTOR)] };

#[derive(Deserialize)]
struct Grype {
    matches: Vec<Match>,
    source: Option<Source>,
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Descriptor {
    name: Option<String>,
    timestamp: Option<String>,
}

/// The scanned source. The form of `target` depends on the type.
#[derive(Deserialize)]
struct Source {
    #[serde(rename = "type")]
    kind: Option<String>,
    target: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    user_input: Option<String>,
    #[serde(rename = "imageID")]
    image_id: Option<String>,
    manifest_digest: Option<String>,
    repo_digests: Option<Vec<String>>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    vulnerability: Vulnerability,
    related_vulnerabilities: Option<Vec<Related>>,
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
    severity: Option<String>,
    fix: Option<GrypeFix>,
}

#[derive(Deserialize)]
struct GrypeFix {
    versions: Option<Vec<String>>,
    state: Option<String>,
}

#[derive(Deserialize)]
struct Related {
    id: String,
}

#[derive(Deserialize)]
struct Artifact {
    name: Option<String>,
    version: Option<String>,
    purl: Option<String>,
}

/// Reads a report of Grype.
pub(super) fn read(input: Input<'_>) -> Result<Report, InvalidReport> {
    let grype: Grype = input.read()?;
    SHAPE.check(input)?;
    let source = grype.source.unwrap_or(Source { kind: None, target: None });
    let target = match source.kind.as_deref() {
        Some("image") => source.target.unwrap_or_default(),
        other => {
            let other = short(other.filter(|kind| !kind.is_empty()).unwrap_or("nothing"));
            return Err(InvalidReport::wrong_kind(format!(
                "Grype has scanned a source of the type `{other}`, not an image"
            )));
        }
    };
    let about = about(Input::Value(&target).read()?);
    let findings = bounded("vulnerabilities", grype.matches.into_iter().map(Finding::from).collect())?;
    let finished = time("descriptor.timestamp", grype.descriptor.timestamp.as_deref())?;
    Ok(Report {
        tool: grype.descriptor.name.unwrap_or_else(|| "Grype".to_owned()),
        about,
        finished,
        findings,
        unfinished: None,
    })
}

fn about(target: Target) -> About {
    let mut about = About {
        image_id: target.image_id.and_then(|id| id.parse().ok()),
        platform: platform_of(
            target.os.as_deref(),
            target.architecture.as_deref(),
            target.variant.as_deref(),
        ),
        ..About::default()
    };
    let named =
        target.repo_digests.into_iter().flatten().chain(target.manifest_digest).chain(target.user_input);
    named.for_each(|text| about.add(&text));
    about
}

impl From<Match> for Finding {
    fn from(found: Match) -> Self {
        let Match { vulnerability, related_vulnerabilities, artifact } = found;
        let fix = vulnerability.fix.map_or(Fix::Unstated, |fix| {
            let says_none = fix.state.is_some_and(|state| UNFIXED.contains(&state.as_str()));
            Fix::of_versions(&fix.versions.unwrap_or_default().join(", "), says_none)
        });
        let related = related_vulnerabilities.into_iter().flatten().map(|related| related.id);
        Self {
            aliases: related.filter(|id| *id != vulnerability.id).collect(),
            id: vulnerability.id,
            severity: Severity::of_words(&vulnerability.severity.unwrap_or_default()),
            package: artifact.name.unwrap_or_default(),
            installed: artifact.version.unwrap_or_default(),
            purl: artifact.purl.as_deref().and_then(Purl::parse),
            fix,
        }
    }
}
