//! Whether the analyses that a service tells of are a finished scan for vulnerabilities.

use jiff::Timestamp;
use oci_types::text::shown;

use crate::scan::reports::{Times, of_the_future};

/// An analysis, as a discovery occurrence has it.
pub(super) struct Analysis {
    pub(super) state: String,
    /// The error that the analysis had, whatever its state.
    pub(super) error: Option<String>,
    /// Whether it is for vulnerabilities, by its note.
    pub(super) is_of_vulnerabilities: bool,
    /// When it last looked at the image or, if that is not stated, when the occurrence was last written.
    pub(super) time: Option<String>,
}

/// The words in the names of notes of other analyses. Google keeps bills of materials, secrets and licences in the same way.
const OTHER_KINDS: [&str; 8] =
    ["SBOM", "SECRET", "SECRETS", "LICENSE", "COMPLIANCE", "BUILD", "ATTESTATION", "MALWARE"];

/// Whether the analysis with a note, `projects/project/notes/name`, is for vulnerabilities. Google's own notes say so. Others may have
/// any name that is not that of another kind.
pub(super) fn is_of_vulnerabilities(note: &str) -> bool {
    let (project, name) = note.rsplit_once("/notes/").unwrap_or_default();
    let name = name.to_ascii_uppercase();
    let mut words = name.split(['_', '-', '.']);
    name.contains("VULNERABILIT")
        || (project != "projects/goog-analysis"
            && !name.is_empty()
            && !words.any(|word| OTHER_KINDS.contains(&word)))
}

/// Returns why a scan has not finished, by all analyses, or `None` if it has. All have to have succeeded: one that goes on, or has
/// failed, may be that of vulnerabilities. The latest one counts for the age.
pub(super) fn unfinished(analyses: &[Analysis], times: Times) -> Option<String> {
    if analyses.is_empty() {
        return Some("nothing shows that it was scanned (no discovery occurrence)".to_owned());
    }
    if let Some(why) = analyses.iter().find_map(failure) {
        return Some(why);
    }
    let scans: Vec<&Analysis> = analyses.iter().filter(|analysis| analysis.is_of_vulnerabilities).collect();
    if scans.is_empty() {
        return Some(
            "nothing shows that it was scanned for vulnerabilities (the analyses are of another kind)"
                .to_owned(),
        );
    }
    let mut latest: Option<Timestamp> = None;
    for text in scans.iter().filter_map(|scan| scan.time.as_deref()) {
        let Ok(time) = text.parse::<Timestamp>() else {
            return Some(format!("the time of the scan, {}, is not valid", shown(text, 60)));
        };
        if let Some(why) = of_the_future(time, times.now) {
            return Some(why);
        }
        latest = latest.max(Some(time));
    }
    times.too_old(latest)
}

fn failure(analysis: &Analysis) -> Option<String> {
    Some(match analysis.state.as_str() {
        "FINISHED_SUCCESS" | "COMPLETE" => {
            return analysis.error.as_ref().map(|error| format!("the scan had an error: {error}"));
        }
        "PENDING" => "the scan has not started yet".to_owned(),
        "SCANNING" => "the scan is in progress".to_owned(),
        "FINISHED_FAILED" => "the scan has failed".to_owned(),
        "FINISHED_UNSUPPORTED" => "the scanner does not support it".to_owned(),
        other => format!("the state of the scan is {}", shown(other, 60)),
    })
}
