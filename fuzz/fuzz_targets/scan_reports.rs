//! Reports of scanners and VEX documents: a file and a predicate of the same content say the same; a report that names no digest
//! is about no image; a statement takes nothing out of an image that it does not name by digest or package; nothing that is shown
//! has a control character.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::Digest;
use serde_json::Value;
use trust::scan::report::{FINDINGS_MAX, read, read_value};
use trust::scan::{Coverage, FindingStatus, JudgedFinding, Part};

/// The longest error, in characters: each of the 200 that are shown may be escaped to ten, beside a text of ours.
const ERROR_MAX: usize = 3_000;
/// The longest line about a finding: four foreign texts.
const LINE_MAX: usize = 12_000;

/// An image that no document names, because nobody knows bytes with its digests.
fn nobody() -> Part {
    Part {
        digest: Digest::Sha256([0x5a; 32]),
        config: Some(Digest::Sha256([0xa5; 32])),
        platform: None,
        indexes: Vec::new(),
        is_only_of_platform: true,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let document = match read(bytes) {
        Ok(document) => document,
        Err(error) => return fuzz::assert_presentable(&error.to_string(), ERROR_MAX),
    };
    let bare = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // A value may be nested less deep than what a file may have in members that nobody reads.
    if let Ok(value) = serde_json::from_slice::<Value>(bare) {
        assert_eq!(read_value(&value).as_ref(), Ok(&document));
    }
    assert!(document.report.is_some() || !document.vex.is_empty() || bytes.len() < 1_000_000);
    let part = nobody();
    let shown = String::from_utf8_lossy(bytes);
    let is_named = [part.digest, part.config.unwrap()].iter().any(|digest| shown.contains(&digest.hex()));
    let Some(report) = &document.report else { return };
    assert!(report.findings.len() <= FINDINGS_MAX);
    assert_eq!(report.about.names_nothing(), report.about.coverage(&part) == Coverage::NamesNothing);
    assert!(is_named || report.about.coverage(&part) != Coverage::Covers, "a report of nobody's image");
    for finding in &report.findings {
        assert!(finding.has_id(&finding.id));
        // Only a statement about the package may be about an image that the document does not name.
        let is_about = document.vex.iter().any(|statement| statement.is_about(finding, &part));
        assert!(!is_about || is_named || finding.purl.is_some(), "a statement about nobody's image");
        let judged =
            JudgedFinding { finding: finding.clone(), source: "fuzz".into(), status: FindingStatus::Violates };
        fuzz::assert_presentable(&judged.to_string(), LINE_MAX);
    }
});
