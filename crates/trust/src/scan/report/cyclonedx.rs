//! CycloneDX JSON: the report of a scan, a VEX document, or both (CycloneDX v1.4 to v1.7, *Vulnerabilities*).
//!
//! Bills of materials have the same format, but no vulnerabilities. A document counts as a report only if it has at
//! least one vulnerability that is not merely a VEX statement, or if it is by Grype, whose documents are always reports.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::input::{Document, Input, InvalidReport, Report, bounded, time};
use super::shape::Shape;
use crate::scan::finding::{Finding, Fix};
use crate::scan::part::About;
use crate::scan::purl::Purl;
use crate::scan::severity::Severity;
use crate::scan::vex::{Product, ProductName, VexStatement, VexStatus};

const VULNERABILITY: Shape = Shape {
    members: &["id", "source", "references", "updated"],
    objects: &[
        ("ratings", Shape { members: &["score", "severity", "method", "source", "vector"], objects: &[] }),
        ("affects", Shape { members: &["ref", "versions"], objects: &[] }),
        ("analysis", Shape { members: &["state", "lastUpdated"], objects: &[] }),
    ],
};
const SHAPE: Shape = Shape {
    members: &["bomFormat", "serialNumber", "components"],
    objects: &[
        ("metadata", Shape { members: &["timestamp", "tools", "component"], objects: &[] }),
        ("vulnerabilities", VULNERABILITY),
    ],
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    bom_format: String,
    serial_number: Option<String>,
    metadata: Option<Metadata>,
    components: Option<Vec<Component>>,
    vulnerabilities: Option<Vec<Vulnerability>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    timestamp: Option<String>,
    /// A list, or an object with lists (since v1.5).
    tools: Option<Value>,
    component: Option<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "bom-ref")]
    reference: Option<String>,
    name: Option<String>,
    version: Option<String>,
    purl: Option<String>,
    properties: Option<Vec<Property>>,
    hashes: Option<Vec<Hash>>,
}

#[derive(Deserialize)]
struct Property {
    name: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Hash {
    alg: String,
    content: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: Option<String>,
    source: Option<SourceName>,
    references: Option<Vec<Reference>>,
    ratings: Option<Vec<Rating>>,
    recommendation: Option<String>,
    updated: Option<String>,
    analysis: Option<Analysis>,
    affects: Option<Vec<Affected>>,
}

#[derive(Deserialize)]
struct SourceName {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Rating {
    source: Option<SourceName>,
    score: Option<f64>,
    severity: Option<String>,
    method: Option<String>,
    vector: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Analysis {
    state: Option<String>,
    justification: Option<String>,
    detail: Option<String>,
    last_updated: Option<String>,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(rename = "ref")]
    reference: String,
    versions: Option<Vec<AffectedVersion>>,
}

#[derive(Deserialize)]
struct AffectedVersion {
    version: Option<String>,
    /// `affected` by default.
    status: Option<String>,
}

impl Affected {
    /// Whether a statement may remove findings in a version: if no version is listed, or if the version is listed and all
    /// listed versions are unaffected.
    fn may_remove(&self, version: Option<&str>) -> bool {
        let versions = self.versions.as_deref().unwrap_or_default();
        let is_unaffected = |listed: &AffectedVersion| listed.status.as_deref() == Some("unaffected");
        let is_own = |listed: &AffectedVersion| version.is_some() && listed.version.as_deref() == version;
        versions.is_empty() || (versions.iter().all(is_unaffected) && versions.iter().any(is_own))
    }
}

/// Reads a document.
pub(super) fn read(input: Input<'_>) -> Result<Document, InvalidReport> {
    let bom: Bom = input.read()?;
    SHAPE.check(input)?;
    if bom.bom_format != "CycloneDX" {
        return Err(InvalidReport::UnknownFormat);
    }
    let metadata = bom.metadata.unwrap_or_default();
    let made = time("metadata.timestamp", metadata.timestamp.as_deref())?;
    let tool = tool(metadata.tools.as_ref());
    let vulnerabilities = bounded("vulnerabilities", bom.vulnerabilities.unwrap_or_default())?;
    let components = bom.components.as_deref().unwrap_or_default();
    let parts = Parts::new(bom.serial_number.as_deref(), metadata.component.as_ref(), components);
    let mut vex = Vec::new();
    let mut findings = Vec::new();
    let mut is_scan = tool.as_deref().is_some_and(|tool| tool.eq_ignore_ascii_case("grype"));
    for vulnerability in &vulnerabilities {
        let statement = parts.statement(vulnerability, made)?;
        is_scan |= statement.is_none();
        vex.extend(statement);
        findings.extend(parts.findings(vulnerability));
    }
    let tool = tool.unwrap_or_else(|| "CycloneDX".to_owned());
    let about = metadata.component.as_ref().map(about).unwrap_or_default();
    let findings = bounded("vulnerabilities of packages", findings)?;
    let report = is_scan.then_some(Report { tool, about, finished: made, findings, unfinished: None });
    if report.is_none() && vex.is_empty() {
        return Err(InvalidReport::wrong_kind(
            "it is a CycloneDX bill of materials without vulnerabilities, which is not the report of a scan",
        ));
    }
    Ok(Document { report, vex })
}

/// Returns the name of the first tool. Its form depends on the version of the specification.
fn tool(tools: Option<&Value>) -> Option<String> {
    let tools = tools?;
    let list = tools.as_array().or_else(|| tools.get("components")?.as_array())?;
    list.first()?.get("name")?.as_str().map(str::to_owned)
}

/// Returns the image that a document is about. Trivy states it in properties and the package URL, Grype in the version.
fn about(component: &Component) -> About {
    let mut about = About::default();
    component.purl.iter().chain(&component.version).chain(&component.name).for_each(|text| about.add(text));
    for property in component.properties.iter().flatten() {
        let value = property.value.as_deref().unwrap_or_default();
        match property.name.as_deref() {
            Some("aquasecurity:trivy:ImageID") => about.image_id = value.parse().ok(),
            Some("aquasecurity:trivy:RepoDigest") => about.add(value),
            _ => {}
        }
    }
    let sha256 = component.hashes.iter().flatten().filter(|hash| hash.alg == "SHA-256");
    sha256.for_each(|hash| about.add(&format!("sha256:{}", hash.content)));
    about
}

/// The components of a document, by their references.
struct Parts<'a> {
    /// The serial number of the document, without `urn:uuid:`.
    serial: Option<&'a str>,
    image: Option<&'a Component>,
    by_reference: HashMap<&'a str, &'a Component>,
}

impl<'a> Parts<'a> {
    fn new(serial: Option<&'a str>, image: Option<&'a Component>, components: &'a [Component]) -> Self {
        let serial = serial.map(|serial| serial.strip_prefix("urn:uuid:").unwrap_or(serial));
        let referenced = |component: &'a Component| Some((component.reference.as_deref()?, component));
        Self { serial, image, by_reference: components.iter().filter_map(referenced).collect() }
    }

    fn is_image(&self, reference: &str) -> bool {
        self.image.is_some_and(|image| image.reference.as_deref() == Some(reference))
    }

    /// Returns the package URL of a reference: that of its component, or the reference itself.
    fn purl(&self, reference: &str) -> Option<Purl> {
        let component = self.by_reference.get(reference);
        let stated = component.and_then(|component| component.purl.as_deref());
        Purl::parse(stated.unwrap_or(reference))
    }

    /// Returns a vulnerability as one finding for each package that it affects.
    fn findings(&self, vulnerability: &Vulnerability) -> Vec<Finding> {
        let ids = ids(vulnerability);
        let finding = |reference: Option<&str>| {
            let component = reference.and_then(|reference| self.by_reference.get(reference));
            let purl = reference.and_then(|reference| self.purl(reference));
            let of_purl = |purl: &Purl| (purl.name().to_owned(), purl.version.clone());
            let (name, version) = match (component, &purl) {
                (Some(component), _) => {
                    (component.name.clone().unwrap_or_default(), component.version.clone())
                }
                (None, Some(purl)) => of_purl(purl),
                (None, None) => (reference.unwrap_or_default().to_owned(), None),
            };
            Finding {
                id: ids.first().cloned().unwrap_or_else(|| "unnamed vulnerability".to_owned()),
                aliases: ids.iter().skip(1).cloned().collect(),
                severity: severity(vulnerability),
                package: name,
                installed: version.unwrap_or_default(),
                purl,
                fix: fix(vulnerability),
            }
        };
        match vulnerability.affects.as_deref() {
            None | Some([]) => vec![finding(None)],
            Some(affects) => affects.iter().map(|affected| finding(Some(&affected.reference))).collect(),
        }
    }

    /// Returns the VEX statement about a vulnerability, or `None` if it has no analysis.
    fn statement(
        &self,
        vulnerability: &Vulnerability,
        made: Option<Timestamp>,
    ) -> Result<Option<VexStatement>, InvalidReport> {
        let Some(analysis) = &vulnerability.analysis else { return Ok(None) };
        let status = match analysis.state.as_deref() {
            None => return Ok(None),
            Some("not_affected" | "false_positive") => VexStatus::NotAffected,
            Some("resolved" | "resolved_with_pedigree") => VexStatus::Fixed,
            Some("exploitable") => VexStatus::Affected,
            // `in_triage`, and states that later versions may add.
            Some(_) => VexStatus::UnderInvestigation,
        };
        let updated = time("analysis.lastUpdated", analysis.last_updated.as_deref())?;
        let published = time("updated", vulnerability.updated.as_deref())?;
        let affects = vulnerability.affects.as_deref().unwrap_or_default();
        let products = affects.iter().map(|affected| self.product(affected, status));
        Ok(Some(VexStatement {
            ids: ids(vulnerability),
            products: products.collect(),
            status,
            // The time of the document applies to everything in it. The vulnerability's own time is the last resort.
            at: updated.or(made).or(published),
            why: analysis.justification.clone().or_else(|| analysis.detail.clone()).unwrap_or_default(),
        }))
    }

    /// Returns the product that a reference names: an image by its digest, or a package within the image that the document
    /// names by digest. Without such an image, the product has no name and matches nothing.
    fn product(&self, affected: &Affected, status: VexStatus) -> Product {
        let nothing = || Product { names: Vec::new(), subcomponents: Vec::new() };
        let Some(reference) = self.own_reference(&affected.reference) else { return nothing() };
        let may_apply = |version: Option<&str>| !status.removes() || affected.may_remove(version);
        if let Some(image) = self.image.filter(|_| self.is_image(reference)) {
            let names = if may_apply(image.version.as_deref()) { self.image_names() } else { Vec::new() };
            return Product { names, subcomponents: Vec::new() };
        }
        if !self.by_reference.contains_key(reference)
            && let Some(name @ ProductName::Image { .. }) = ProductName::parse(reference)
        {
            return if may_apply(None) { Product { names: vec![name], ..nothing() } } else { nothing() };
        }
        match self.purl(reference).filter(|purl| may_apply(purl.version.as_deref())) {
            Some(purl) => Product { names: self.image_names(), subcomponents: vec![vec![purl]] },
            None => nothing(),
        }
    }

    /// Returns a reference within this document. Returns `None` for a BOM-Link (`urn:cdx:serial/version#bom-ref`) to another
    /// document, whose content is unknown.
    fn own_reference<'r>(&self, reference: &'r str) -> Option<&'r str> {
        let Some(link) = reference.strip_prefix("urn:cdx:") else { return Some(reference) };
        let (document, reference) = link.split_once('#')?;
        let (serial, _version) = document.split_once('/')?;
        self.serial.is_some_and(|own| own.eq_ignore_ascii_case(serial)).then_some(reference)
    }

    /// Returns the digests by which the document names its image.
    fn image_names(&self) -> Vec<ProductName> {
        let about = self.image.map(about).unwrap_or_default();
        let digests = about.manifests.into_iter().chain(about.image_id);
        digests.map(|digest| ProductName::Image { digest, architecture: None }).collect()
    }
}

fn ids(vulnerability: &Vulnerability) -> Vec<String> {
    let references = vulnerability.references.iter().flatten().filter_map(|reference| reference.id.as_ref());
    let mut ids: Vec<String> = Vec::new();
    for id in vulnerability.id.iter().chain(references) {
        if !id.is_empty() && !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    ids
}

/// Returns the severity according to the source of the vulnerability, or else the highest of all ratings. An unknown rating
/// may have any severity, so only a critical rating outweighs it.
fn severity(vulnerability: &Vulnerability) -> Severity {
    let ratings = vulnerability.ratings.as_deref().unwrap_or_default();
    let name = |source: &Option<SourceName>| source.as_ref().and_then(|source| source.name.clone());
    let source = name(&vulnerability.source);
    let rated_by = |is_by: &dyn Fn(&Rating) -> bool| -> Vec<Severity> {
        ratings.iter().filter(|rating| is_by(rating)).filter_map(rated).collect()
    };
    let own = rated_by(&|rating| source.is_some() && name(&rating.source) == source);
    let counted = if own.is_empty() { rated_by(&|_| true) } else { own };
    match counted.iter().max() {
        Some(Severity::Critical) => Severity::Critical,
        Some(highest) if !counted.contains(&Severity::Unknown) => *highest,
        _ => Severity::Unknown,
    }
}

/// Returns the severity of a rating: the stated one, or else that of a CVSS score. `None` if it rates something else, because
/// other methods have other scales.
fn rated(rating: &Rating) -> Option<Severity> {
    let is_cvss = rating.method.as_deref().is_some_and(|method| method.starts_with("CVSS"))
        || rating
            .vector
            .as_deref()
            .is_some_and(|vector| vector.starts_with("CVSS:") || vector.starts_with("AV:"));
    match rating.severity.as_deref().map(Severity::of_words) {
        None | Some(Severity::Unknown) if is_cvss => {
            Some(rating.score.map(Severity::of_score).unwrap_or_default())
        }
        stated => stated,
    }
}

/// Returns the fix that Trivy states in words. The format has no field for it.
fn fix(vulnerability: &Vulnerability) -> Fix {
    match vulnerability.recommendation.as_deref() {
        Some(words) if !words.is_empty() => Fix::Available(words.to_owned()),
        _ => Fix::Unstated,
    }
}
