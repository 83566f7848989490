//! The gate agrees with a naive oracle on random reports, statements and rules.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use oci::Digest;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use trust::scan::{
    IgnoreRule, Part, ReportFiles, ScanGate, ScanPolicy, ScanSource, ScannedHosts, Sourced, Threshold,
    Vulnerabilities,
};

use crate::support::read;

const NOW: &str = "2026-06-01T00:00:00Z";
const TRIVY: [&str; 6] = ["UNKNOWN", "", "LOW", "MEDIUM", "HIGH", "CRITICAL"];
const STATUSES: [&str; 4] = ["not_affected", "fixed", "affected", "under_investigation"];
const GRYPE: [&str; 6] = ["Unknown", "Negligible", "Low", "Medium", "High", "Critical"];

/// The digests that a report names.
#[derive(Clone, Copy, Debug)]
enum Named {
    Manifest(usize),
    ImageId(usize),
    Index,
    Other,
}

#[derive(Clone, Debug)]
struct Vulnerability {
    id: usize,
    /// Another identifier of the same vulnerability.
    alias: Option<usize>,
    severity: usize,
    package: usize,
    fix: Fixed,
}

/// Whether a report says that there is a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fixed {
    Yes,
    No,
    Unstated,
}

#[derive(Clone, Debug)]
struct Scan {
    is_trivy: bool,
    named: Named,
    /// Hours before now. Negative ones are in the future.
    age: Option<i64>,
    found: Vec<Vulnerability>,
    /// Whether a report of Trivy without vulnerabilities has no results either, and so proves no scan.
    has_no_results: bool,
}

impl Scan {
    fn is_unfinished(&self) -> bool {
        self.is_trivy && self.found.is_empty() && self.has_no_results
    }
}

#[derive(Clone, Debug)]
struct Statement {
    id: usize,
    product: Named,
    package: Option<usize>,
    status: usize,
    age: i64,
}

#[derive(Clone, Debug)]
struct Rule {
    id: usize,
    package: Option<usize>,
    is_expired: bool,
}

#[derive(Clone, Debug)]
struct World {
    parts: usize,
    scans: Vec<Scan>,
    statements: Vec<Statement>,
    rules: Vec<Rule>,
    threshold: u8,
    counts_unfixed: bool,
    allows_unscanned: bool,
    max_age: Option<i64>,
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![
        4 => (0..3usize).prop_map(Named::Manifest),
        2 => (0..3usize).prop_map(Named::ImageId),
        1 => Just(Named::Index),
        1 => Just(Named::Other),
    ]
}

fn fixed() -> impl Strategy<Value = Fixed> {
    prop_oneof![Just(Fixed::Yes), Just(Fixed::No), Just(Fixed::Unstated)]
}

fn vulnerability() -> impl Strategy<Value = Vulnerability> {
    (0..5usize, option::of(0..5usize), 0..6usize, 0..3usize, fixed())
        .prop_map(|(id, alias, severity, package, fix)| Vulnerability { id, alias, severity, package, fix })
}

fn scan() -> impl Strategy<Value = Scan> {
    (any::<bool>(), named(), option::of(-30i64..100), vec(vulnerability(), 0..4), any::<bool>()).prop_map(
        |(is_trivy, named, age, found, has_no_results)| Scan { is_trivy, named, age, found, has_no_results },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    (0..5usize, named(), option::of(0..3usize), 0..4usize, -5i64..50)
        .prop_map(|(id, product, package, status, age)| Statement { id, product, package, status, age })
}

fn rule() -> impl Strategy<Value = Rule> {
    (0..5usize, option::of(0..3usize), any::<bool>()).prop_map(|(id, package, is_expired)| Rule {
        id,
        package,
        is_expired,
    })
}

fn world() -> impl Strategy<Value = World> {
    (
        1..4usize,
        vec(scan(), 0..6),
        vec(statement(), 0..4),
        vec(rule(), 0..3),
        0..6u8,
        any::<bool>(),
        any::<bool>(),
        option::of(1i64..100),
    )
        .prop_map(
            |(parts, scans, statements, rules, threshold, counts_unfixed, allows_unscanned, max_age)| World {
                parts,
                scans,
                statements,
                rules,
                threshold,
                counts_unfixed,
                allows_unscanned,
                max_age,
            },
        )
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn before(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn digest(kind: &str, index: usize) -> Digest {
    Digest::of(format!("{kind} {index}").as_bytes())
}

fn part(index: usize) -> Part {
    Part {
        digest: digest("manifest", index),
        config: Some(digest("config", index)),
        platform: Some(format!("linux/{index}")),
        indexes: vec![digest("index", 0)],
        is_only_of_platform: true,
    }
}

fn digests(named: Named) -> (Option<Digest>, Option<Digest>) {
    match named {
        Named::Manifest(index) => (Some(digest("manifest", index)), Some(digest("config", index))),
        Named::ImageId(index) => (None, Some(digest("config", index))),
        Named::Index => (Some(digest("index", 0)), None),
        Named::Other => (Some(digest("other", 0)), Some(digest("other config", 0))),
    }
}

fn purl(package: usize) -> String {
    format!("pkg:apk/alpine/package-{package}@1")
}

/// Returns the JSON that the scanner writes.
fn written(scan: &Scan) -> Value {
    let (manifest, config) = digests(scan.named);
    let repo_digests: Vec<String> = manifest.iter().map(|digest| format!("r.io/app@{digest}")).collect();
    let time = scan.age.map(|age| before(age).to_string()).unwrap_or_default();
    let name = |id: usize| format!("CVE-2024-{id}");
    let found = scan.found.iter();
    if scan.is_trivy {
        let found: Vec<Value> = found
            .map(|found| {
                json!({
                    "VulnerabilityID": name(found.id), "VendorIDs": found.alias.map(|id| vec![name(id)]),
                    "PkgName": format!("package-{}", found.package), "InstalledVersion": "1",
                    "PkgIdentifier": { "PURL": purl(found.package) }, "Severity": TRIVY[found.severity],
                    "FixedVersion": if found.fix == Fixed::Yes { "2" } else { "" },
                    "Status": match found.fix {
                        Fixed::Yes => Some("fixed"),
                        Fixed::No => Some("affected"),
                        Fixed::Unstated => None,
                    },
                })
            })
            .collect();
        let results = json!([{ "Class": "os-pkgs", "Vulnerabilities": found }]);
        let results = if scan.is_unfinished() { Value::Null } else { results };
        json!({
            "SchemaVersion": 2, "CreatedAt": time, "ArtifactType": "container_image", "ArtifactName": "r.io/app:v1",
            "Metadata": { "ImageID": config, "RepoDigests": repo_digests }, "Results": results,
        })
    } else {
        let matches: Vec<Value> = found
            .map(|found| {
                let fix = match found.fix {
                    Fixed::Yes => json!({ "state": "fixed", "versions": ["2"] }),
                    Fixed::No => json!({ "state": "not-fixed", "versions": [] }),
                    Fixed::Unstated => Value::Null,
                };
                let related: Vec<Value> = found.alias.iter().map(|id| json!({ "id": name(*id) })).collect();
                json!({
                    "vulnerability": {
                        "id": name(found.id), "severity": GRYPE[found.severity],
                        "fix": fix,
                    },
                    "relatedVulnerabilities": related,
                    "artifact": {
                        "name": format!("package-{}", found.package), "version": "1", "purl": purl(found.package),
                    },
                })
            })
            .collect();
        json!({
            "matches": matches, "descriptor": { "name": "grype", "timestamp": time },
            "source": { "type": "image", "target": { "imageID": config, "repoDigests": repo_digests } },
        })
    }
}

/// Returns the statements as OpenVEX.
fn written_vex(statements: &[Statement]) -> Value {
    let statements: Vec<Value> = statements
        .iter()
        .map(|statement| {
            let (manifest, config) = digests(statement.product);
            let product = manifest.or(config).unwrap();
            let packages: Vec<Value> =
                statement.package.iter().map(|package| json!({ "@id": purl(*package) })).collect();
            json!({
                "vulnerability": { "name": format!("CVE-2024-{}", statement.id) },
                "products": [{ "@id": format!("pkg:oci/app@{product}"), "subcomponents": packages }],
                "status": STATUSES[statement.status],
                "impact_statement": "because", "timestamp": before(statement.age).to_string(),
            })
        })
        .collect();
    json!({ "@context": "https://openvex.dev/ns/v0.2.0", "statements": statements })
}

/// Judges the world by the gate: everything is written in the formats of the tools, read, and matched.
fn judged(world: &World) -> Vulnerabilities {
    let document = |value: &Value| read(&serde_json::to_vec(value).unwrap()).unwrap();
    let files = world.scans.iter().enumerate();
    let files = files.map(|(index, scan)| (format!("{index}.json"), document(&written(scan)))).collect();
    let hours = |hours: i64| Duration::from_secs(u64::try_from(hours).unwrap() * 3600);
    let max_age = world.max_age.map(hours);
    let scanner = ReportFiles::new("reports".to_owned(), files, max_age).unwrap();
    let rules = world.rules.iter().map(|rule| {
        let package = rule.package.map(|package| format!("package-{package}"));
        let expires = if rule.is_expired { now() } else { before(-1) };
        let packages: Vec<String> = package.into_iter().collect();
        IgnoreRule::new(&format!("cve-2024-{}", rule.id), &packages, "because", expires).unwrap()
    });
    let vex = document(&written_vex(&world.statements)).vex;
    let policy = ScanPolicy {
        counts_unfixed: world.counts_unfixed,
        allows_unscanned: world.allows_unscanned,
        ignore: rules.collect(),
        vex: vex.into_iter().map(|content| Sourced { source: "vex.json".into(), content }).collect(),
        max_age,
        ..ScanPolicy::new(Threshold::of_number(world.threshold).unwrap())
    };
    let source = ScanSource { hosts: ScannedHosts::All, scanner: std::sync::Arc::new(scanner) };
    let parts: Vec<Part> = (0..world.parts).map(part).collect();
    let gate = ScanGate::new(policy, vec![source]);
    let (repository, nothing) = ("r.io/app".parse().unwrap(), BTreeMap::new());
    gate.judge(&repository, &parts, &nothing, now()).now_or_never().unwrap().unwrap()
}

/// Whether a report is about a part, according to the oracle, which compares numbers.
fn is_of(named: Named, part: usize) -> bool {
    matches!(named, Named::Manifest(index) | Named::ImageId(index) if index == part)
}

/// Whether a vulnerability counts against a part, according to the oracle.
fn counts(world: &World, part: usize, found: &Vulnerability) -> bool {
    let is_severe = match found.severity {
        0 => true,
        // Trivy's empty severity, and Grype's negligible one.
        1 => unreachable!("replaced by the caller"),
        severity => severity >= usize::from(world.threshold),
    };
    let has_id = |id: usize| found.id == id || found.alias == Some(id);
    let has_package = |package: Option<usize>| package.is_none_or(|package| package == found.package);
    let is_ignored =
        world.rules.iter().any(|rule| !rule.is_expired && has_id(rule.id) && has_package(rule.package));
    // The newest statement about it decides. If several have the same time, all must remove it.
    let about = world.statements.iter().filter(|statement| {
        let is_product = matches!(statement.product, Named::Index) || is_of(statement.product, part);
        has_id(statement.id) && has_package(statement.package) && is_product
    });
    let removes = |statement: &&Statement| statement.status < 2;
    let effective: Vec<&Statement> =
        about.filter(|statement| statement.age >= 0 || !removes(statement)).collect();
    let newest = effective.iter().map(|statement| statement.age).min();
    let is_vexed = newest
        .is_some_and(|newest| effective.iter().filter(|statement| statement.age == newest).all(removes));
    is_severe && (found.fix != Fixed::No || world.counts_unfixed) && !is_ignored && !is_vexed
}

/// Returns whether the image passes, according to the oracle.
fn passes(world: &World) -> bool {
    (0..world.parts).all(|part| {
        let mut is_scanned = false;
        let mut is_clean = true;
        let own: Vec<&Scan> = world.scans.iter().filter(|scan| is_of(scan.named, part)).collect();
        for scan in &own {
            let is_future = scan.age.is_some_and(|age| age < 0);
            let is_superseded = own.iter().any(|other| {
                other.is_trivy == scan.is_trivy
                    && !other.is_unfinished()
                    && matches!((other.age, scan.age), (Some(newer), Some(older)) if newer >= 0 && newer < older)
            });
            if is_superseded && !is_future {
                continue;
            }
            let is_old = world.max_age.is_some_and(|most| scan.age.is_none_or(|age| age > most));
            is_scanned |= !is_future && !is_old && !scan.is_unfinished();
            for found in &scan.found {
                // The second entry of `TRIVY` is an absent severity, that of `GRYPE` is the lowest severity.
                let counts = match (found.severity, scan.is_trivy) {
                    (1, true) => counts(world, part, &Vulnerability { severity: 0, ..found.clone() }),
                    (1, false) => {
                        world.threshold <= 1 && counts(world, part, &Vulnerability { severity: 5, ..found.clone() })
                    }
                    _ => counts(world, part, found),
                };
                is_clean &= !counts;
            }
        }
        is_clean && (is_scanned || world.allows_unscanned)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_image_passes_if_and_only_if_nothing_counts_against_it(world in world()) {
        let judged = judged(&world);
        prop_assert_eq!(judged.passes(), passes(&world), "{:#?}", judged);
        prop_assert_eq!(judged.passes(), judged.refusal().is_none());
    }

    #[test]
    fn a_stricter_policy_passes_no_more(world in world()) {
        let stricter = World {
            threshold: world.threshold.saturating_sub(1), counts_unfixed: true, allows_unscanned: false,
            rules: Vec::new(), ..world.clone()
        };
        prop_assert!(!judged(&stricter).passes() || judged(&world).passes());
    }
}
