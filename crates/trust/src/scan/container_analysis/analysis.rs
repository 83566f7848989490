//! Whether the analyses that a service reports amount to a finished scan for vulnerabilities.

use jiff::Timestamp;
use oci_types::text::shown;

use crate::scan::reports::{Times, in_the_future};

/// An analysis in a discovery occurrence.
pub(super) struct Analysis {
    pub(super) state: String,
    /// The error of the analysis, if any. It can have one in any state.
    pub(super) error: Option<String>,
    /// Whether it is for vulnerabilities, according to its note.
    pub(super) is_of_vulnerabilities: bool,
    /// The time of the last scan of the image or, if it is not stated, of the last update of the occurrence.
    pub(super) time: Option<String>,
}

/// Words in the names of notes of other kinds of analyses. Google also reports bills of materials, secrets and licences as
/// discoveries.
const OTHER_KINDS: [&str; 8] =
    ["SBOM", "SECRET", "SECRETS", "LICENSE", "COMPLIANCE", "BUILD", "ATTESTATION", "MALWARE"];

/// Whether an analysis with this note (`projects/PROJECT/notes/NAME`) is for vulnerabilities. The names of Google's own notes
/// state it. Other notes may have any name that is not one of another kind of analysis.
pub(super) fn is_of_vulnerabilities(note: &str) -> bool {
    let (project, name) = note.rsplit_once("/notes/").unwrap_or_default();
    let name = name.to_ascii_uppercase();
    let mut words = name.split(['_', '-', '.']);
    name.contains("VULNERABILIT")
        || (project != "projects/goog-analysis"
            && !name.is_empty()
            && !words.any(|word| OTHER_KINDS.contains(&word)))
}

/// Returns why the scan has not finished, or `None` if it has. All analyses must have succeeded, because one that is in
/// progress or has failed may be the one for vulnerabilities. The latest analysis determines the age.
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
        if let Some(why) = in_the_future(time, times.now) {
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
