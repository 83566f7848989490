//! The tables: what happened by project, host and phase, and the images.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use promote::phase::Count;
use promote::{Report, ReportedScan};

use super::super::markup::{Cell, Html, Table};
use super::super::sections::{PhaseRow, list, noun, state};
use crate::render::bytes;

/// The phases in their order.
const PHASES: [&str; 8] = ["setup", "plan", "provenance", "scan", "validate", "promote", "sign", "attest"];

/// The actions for a project or at a host.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    promoted: u64,
    failed: u64,
    bytes: u64,
}

/// Returns a part of a table for each key.
fn done(report: &Report, keys: impl Fn(&str, Option<&str>) -> Option<String>) -> BTreeMap<String, Done> {
    let mut all: BTreeMap<String, Done> = BTreeMap::new();
    for image in &report.promoted {
        if let Some(key) = keys(&image.destination, image.project.as_deref()) {
            let done = all.entry(key).or_default();
            done.promoted += 1;
            done.bytes = done.bytes.saturating_add(image.bytes_sent);
        }
    }
    for image in &report.failed {
        if let Some(key) = keys(&image.destination, image.project.as_deref()) {
            all.entry(key).or_default().failed += 1;
        }
    }
    all
}

/// Adds a table of projects or hosts, those with problems first.
fn by_key(
    html: &mut Html,
    caption: &'static str,
    key: &'static str,
    counts: &BTreeMap<String, Count>,
    done: &BTreeMap<String, Done>,
) {
    let columns = [&[key], &COLUMNS[..]].concat();
    let table = Table { caption, columns: &columns };
    let names: BTreeSet<&String> = counts.keys().chain(done.keys()).collect();
    let mut rows: Vec<(&String, Count, Done)> = names
        .into_iter()
        .map(|name| {
            let count = counts.get(name).copied().unwrap_or_default();
            (name, count, done.get(name).copied().unwrap_or_default())
        })
        .collect();
    rows.sort_by_key(|(name, count, done)| {
        let is_bad = count.failed > 0 || count.conflicts > 0 || count.lost > 0 || done.failed > 0;
        (!is_bad, *name)
    });
    let number = |number: usize| number as u64;
    table.write(
        html,
        rows.into_iter().map(|(name, plan, done)| {
            vec![
                Cell::Name(name.clone()),
                Cell::Number(number(plan.edges)),
                Cell::Number(number(plan.done)),
                Cell::Number(number(plan.copy)),
                Cell::Number(number(plan.tag)),
                Cell::Warning(number(plan.lost)),
                Cell::Bad(number(plan.conflicts)),
                Cell::Bad(number(plan.failed)),
                Cell::Warning(number(plan.late)),
                Cell::Number(done.promoted),
                Cell::Bad(done.failed),
                Cell::Amount(bytes(done.bytes)),
            ]
        }),
    );
}

/// The columns behind the name.
const COLUMNS: [&str; 11] = [
    "edges",
    "done before",
    "to copy",
    "to tag",
    "lost",
    "conflicts",
    "not read",
    "late",
    "promoted images",
    "failed images",
    "uploaded",
];

/// Adds the numbers by project.
pub(super) fn projects(html: &mut Html, report: &Report) {
    let done = done(report, |_, project| project.map(str::to_owned));
    let counts = report.plan.as_ref().map(|plan| plan.projects.clone()).unwrap_or_default();
    if counts.is_empty() && done.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>By project</h2>\n");
    by_key(html, "Edges and images by project", "project", &counts, &done);
    html.markup("</section>\n");
}

/// Adds the numbers by the host of the destination.
pub(super) fn destinations(html: &mut Html, report: &Report) {
    let host = |destination: &str| destination.split('/').next().unwrap_or_default().to_owned();
    let done = done(report, |destination, _| Some(host(destination)));
    let counts = report.plan.as_ref().map(|plan| plan.hosts.clone()).unwrap_or_default();
    if counts.is_empty() && done.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>By destination</h2>\n");
    by_key(html, "Edges and images by destination host", "host", &counts, &done);
    html.markup("</section>\n");
}

/// Returns the phases that ran or were skipped, in their order.
pub(super) fn phase_rows(report: &Report) -> Vec<PhaseRow<'_>> {
    let skipped: HashMap<&str, &str> =
        report.skipped_phases.iter().map(|skipped| (&*skipped.phase, &*skipped.why)).collect();
    let known = PHASES.iter().copied();
    let others = report.phase_seconds.keys().map(String::as_str).filter(|phase| !PHASES.contains(phase));
    let phases = known.chain(others);
    phases
        .filter(|phase| report.phase_seconds.contains_key(*phase) || skipped.contains_key(phase))
        .map(|name| PhaseRow {
            name,
            seconds: report.phase_seconds.get(name).copied(),
            result: skipped.get(name).map_or_else(|| result(report, name), |why| (*why).to_owned()),
        })
        .collect()
}

/// Returns the result of a phase, as a text for a person.
fn result(report: &Report, phase: &str) -> String {
    let (totals, examined, scans) = (report.totals, report.examined_totals, report.scan_totals);
    match (phase, &report.plan) {
        ("setup", Some(plan)) => {
            list(&[noun(plan.projects.len(), "project", ""), noun(plan.total.edges, "edge", "")])
        }
        ("plan", Some(plan)) => {
            let total = plan.total;
            list(&[
                state(total.copy, "to copy"),
                state(total.tag, "to tag"),
                state(total.sign, "to sign"),
                state(total.record, "to record"),
                state(total.done, "done before"),
                state(total.lost, "lost"),
                noun(total.conflicts, "conflict", ""),
                state(total.failed, "not read"),
                state(total.late, "late"),
            ])
        }
        ("provenance", _) => list(&[
            noun(examined.images, "image", " examined"),
            state(examined.attested, "with attestations"),
            state(examined.blocked, "refused"),
        ]),
        ("scan", _) => list(&[
            noun(scans.images, "image", " scanned"),
            state(scans.refused, "refused"),
            noun(scans.violations, "violation", ""),
            state(scans.failed, "not scanned because of an error"),
        ]),
        ("validate", _) => list(&[
            state(examined.signed, "signed in staging"),
            state(examined.unsigned, "not signed in staging"),
        ]),
        ("promote", _) => list(&[
            noun(totals.promoted, "image", " promoted"),
            noun(totals.tagged, "tag", " written"),
            state(report.failed.len(), "failed"),
        ]),
        ("sign", _) => list(&[state(totals.signed, "signed"), state(totals.unsigned, "not signed")]),
        ("attest", _) => {
            list(&[state(totals.recorded, "recorded"), state(totals.unrecorded, "not recorded")])
        }
        _ => String::new(),
    }
}

/// Adds the promoted images.
pub(super) fn promoted(html: &mut Html, report: &Report) {
    if report.promoted.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>Promoted images</h2>\n");
    let table = Table {
        caption: "Images that were copied or tagged",
        columns: &["destination", "tags", "source", "project", "uploaded"],
    };
    table.write(
        html,
        report.promoted.iter().map(|image| {
            vec![
                Cell::Name(image.destination.clone()),
                Cell::Name(if image.tags.is_empty() { "–".to_owned() } else { image.tags.join(", ") }),
                Cell::Image(image.source.clone()),
                Cell::Text(image.project.clone().unwrap_or_else(|| "–".to_owned())),
                Cell::Amount(bytes(image.bytes_sent)),
            ]
        }),
    );
    html.markup("</section>\n");
}

/// Adds the images of staging that have a policy, attestations or signatures.
pub(super) fn examined(html: &mut Html, report: &Report) {
    if report.examined.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>Examined images</h2>\n");
    let table = Table {
        caption: "What is attached to images in staging",
        columns: &["image", "result", "policy", "level", "signed by", "attestations"],
    };
    let mut images: Vec<_> = report.examined.iter().collect();
    images.sort_by_key(|image| image.passes);
    table.write(
        html,
        images.into_iter().map(|image| {
            vec![
                Cell::Image(image.image.clone()),
                passes(image.passes),
                Cell::Text(image.policy.clone().unwrap_or_else(|| "none".to_owned())),
                Cell::Text(image.level.clone().unwrap_or_else(|| "–".to_owned())),
                Cell::Text(if image.signed_by.is_empty() {
                    "–".to_owned()
                } else {
                    image.signed_by.join("\n")
                }),
                Cell::Number(image.attestations.len() as u64),
            ]
        }),
    );
    html.markup("</section>\n");
}

/// Adds the scanned images.
pub(super) fn scanned(html: &mut Html, report: &Report) {
    if report.scanned.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>Scanned images</h2>\n");
    let table = Table {
        caption: "Vulnerabilities of images in staging",
        columns: &[
            "image",
            "result",
            "threshold",
            "violations",
            "ignored",
            "by VEX",
            "without a fix",
            "below threshold",
        ],
    };
    let mut scans: Vec<&ReportedScan> = report.scanned.iter().collect();
    scans.sort_by_key(|scan| scan.passes);
    table.write(
        html,
        scans.into_iter().map(|scan| {
            let totals = promote::ScanTotals::from(scan);
            let number = |number: usize| Cell::Number(number as u64);
            vec![
                Cell::Image(scan.image.clone()),
                passes(scan.passes),
                Cell::Text(scan.threshold.clone().unwrap_or_else(|| "–".to_owned())),
                Cell::Bad(totals.violations as u64),
                number(totals.ignored),
                number(totals.vex),
                number(totals.unfixed),
                number(totals.below_threshold),
            ]
        }),
    );
    html.markup("</section>\n");
}

fn passes(passes: bool) -> Cell {
    if passes { Cell::State("good", "passes".to_owned()) } else { Cell::State("bad", "refused".to_owned()) }
}
