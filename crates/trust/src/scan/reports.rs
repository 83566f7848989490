//! Selects the reports about one image manifest that count: the latest of each scanner, if it is not too old. Reports from the
//! future do not count.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::report::Report;
use super::scanner::PartScan;
use super::sourced::Sourced;

/// How far another clock may be ahead of the local one.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(60);

/// A report about an image manifest.
pub(super) struct Candidate<'a> {
    /// Where the report is.
    pub(super) place: Arc<str>,
    /// The report.
    pub(super) report: &'a Report,
    /// The proven time of its signature, if any.
    pub(super) signed_at: Option<Timestamp>,
}

/// The current time, and the maximum age of scans.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) now: Timestamp,
    /// The maximum age of a scan.
    pub(super) max_age: Option<Duration>,
}

impl Candidate<'_> {
    /// Returns the time of the scan.
    fn time(&self) -> Option<Timestamp> {
        self.report.finished.or(self.signed_at)
    }

    /// Returns why the report does not count as a scan: it does not prove a finished one, or its time is not possible.
    fn no_scan(&self, now: Timestamp) -> Option<String> {
        if let Some(why) = self.report.unfinished {
            return Some(why.to_owned());
        }
        let finished = self.report.finished?;
        if let Some(why) = in_the_future(finished, now) {
            return Some(why);
        }
        let signed_at = self.signed_at?;
        (finished.duration_since(signed_at) > CLOCKS_APART)
            .then(|| format!("it is of a scan at {finished}, after it was signed at {signed_at}"))
    }
}

/// Returns why the time of a scan is not possible, if it is in the future.
pub(super) fn in_the_future(time: Timestamp, now: Timestamp) -> Option<String> {
    let is_future = time.duration_since(now) > CLOCKS_APART;
    is_future.then(|| format!("it is of a scan at {time}, which is in the future"))
}

impl Times {
    /// Returns why a scan of this time is or may be too old.
    pub(super) fn too_old(self, time: Option<Timestamp>) -> Option<String> {
        let Self { now, max_age } = self;
        let max_age = max_age?;
        let hours = |seconds: u64| seconds / 3600;
        let Some(time) = time else {
            return Some(format!(
                "it does not state the time of the scan, and scans may be at most {} h old",
                hours(max_age.as_secs())
            ));
        };
        let age = Duration::try_from(now.duration_since(time)).unwrap_or_default();
        (age > max_age).then(|| {
            let (age, most) = (hours(age.as_secs()), hours(max_age.as_secs()));
            format!("its scan is {age} h old, and {most} h is the maximum")
        })
    }
}

/// Adds reports to the scan of an image manifest. Findings of reports that are too old are added too, because they still
/// apply to the same content.
pub(super) fn add(scan: &mut PartScan, mut candidates: Vec<Candidate<'_>>, times: Times) {
    candidates.retain(|candidate| match candidate.no_scan(times.now) {
        Some(why) => {
            scan.unscanned.push(format!("{}: {why}", candidate.place));
            // It does not supersede other reports, but its findings count.
            add_findings(scan, candidate);
            false
        }
        None => true,
    });
    let mut latest: HashMap<String, Timestamp> = HashMap::new();
    for candidate in &candidates {
        if let Some(time) = candidate.time() {
            let known = latest.entry(candidate.report.tool.to_lowercase()).or_insert(time);
            *known = time.max(*known);
        }
    }
    for candidate in &candidates {
        let last = latest.get(&candidate.report.tool.to_lowercase());
        if candidate.time().zip(last).is_some_and(|(time, last)| time < *last) {
            continue;
        }
        match times.too_old(candidate.time()) {
            Some(why) => scan.unscanned.push(format!("{}: {why}", candidate.place)),
            None => scan.finished.push(format!("{}, {}", candidate.report.tool, candidate.place)),
        }
        add_findings(scan, candidate);
    }
}

fn add_findings(scan: &mut PartScan, candidate: &Candidate<'_>) {
    let source = &candidate.place;
    let findings = candidate.report.findings.iter();
    scan.findings
        .extend(findings.map(|finding| Sourced { source: Arc::clone(source), content: finding.clone() }));
}
