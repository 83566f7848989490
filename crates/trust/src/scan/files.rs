//! Reports from files, matched to images by digest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use oci::Digest;

use super::error::ScanError;
use super::part::{Coverage, Part};
use super::report::{Document, Report};
use super::reports::{Candidate, Times, add};
use super::scanner::{PartScan, ScanImage, Scanner};
use super::sourced::Sourced;
use super::vex::VexStatement;

/// Reports from a file or a directory.
#[derive(Debug)]
pub struct ReportFiles {
    /// The file or the directory, for messages.
    place: String,
    reports: Vec<FileReport>,
    /// The reports that name a digest.
    by_digest: HashMap<Digest, Vec<usize>>,
    vex: Vec<Sourced<VexStatement>>,
    max_age: Option<Duration>,
}

#[derive(Debug)]
struct FileReport {
    file: Arc<str>,
    report: Report,
    /// Whether the report was about one of the scanned images.
    is_used: AtomicBool,
}

/// A report that no image can be matched to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file}: the report does not name the image by digest; scan the image by its digest in a registry, with \
     the JSON format of the scanner"
)]
pub struct NamelessReport {
    file: String,
}

impl ReportFiles {
    /// Creates the scanner from the documents of files. Without `max_age`, scans may be of any age.
    ///
    /// # Errors
    /// If a report names no digest.
    pub fn new(
        place: String,
        documents: Vec<(String, Document)>,
        max_age: Option<Duration>,
    ) -> Result<Self, NamelessReport> {
        let mut this =
            Self { place, reports: Vec::new(), by_digest: HashMap::new(), vex: Vec::new(), max_age };
        for (file, Document { report, vex }) in documents {
            let source: Arc<str> = file.as_str().into();
            this.vex.extend(vex.into_iter().map(|content| Sourced { source: Arc::clone(&source), content }));
            let Some(report) = report else { continue };
            if report.about.names_nothing() {
                return Err(NamelessReport { file });
            }
            for digest in report.about.manifests.iter().chain(&report.about.image_id) {
                this.by_digest.entry(*digest).or_default().push(this.reports.len());
            }
            this.reports.push(FileReport { file: source, report, is_used: AtomicBool::new(false) });
        }
        Ok(this)
    }

    /// Returns the files whose reports were about none of the scanned images.
    pub fn unused(&self) -> Vec<&str> {
        let unused = self.reports.iter().filter(|report| !report.is_used.load(Relaxed));
        unused.map(|report| &*report.file).collect()
    }

    fn read(&self, image: ScanImage<'_>, part: &Part) -> PartScan {
        let mut scan = PartScan { vex: self.vex.clone(), ..PartScan::default() };
        let digests = [part.digest].into_iter().chain(part.config).chain(part.indexes.iter().copied());
        // A report may name the manifest, its configuration and an index.
        let named: BTreeSet<usize> =
            digests.filter_map(|digest| self.by_digest.get(&digest)).flatten().copied().collect();
        let mut candidates = Vec::new();
        for FileReport { file, report, is_used } in named.into_iter().map(|index| &self.reports[index]) {
            match report.about.coverage(part) {
                Coverage::Covers => {
                    is_used.store(true, Relaxed);
                    candidates.push(Candidate { place: Arc::clone(file), report, signed_at: None });
                }
                Coverage::IndexOnly => {
                    is_used.store(true, Relaxed);
                    scan.unscanned.push(format!(
                        "{file}: it names the index and does not prove which of its platforms was scanned"
                    ));
                }
                Coverage::OtherImage | Coverage::NamesNothing => {}
            }
        }
        add(&mut scan, candidates, Times { now: image.now, max_age: self.max_age });
        if scan.finished.is_empty() && scan.unscanned.is_empty() {
            scan.unscanned.push(format!("{}: no report names it by digest", self.place));
        }
        scan
    }
}

impl Scanner for ReportFiles {
    fn scan<'a>(
        &'a self,
        image: ScanImage<'a>,
        part: &'a Part,
    ) -> BoxFuture<'a, Result<PartScan, ScanError>> {
        Box::pin(ready(Ok(self.read(image, part))))
    }
}
