//! Reports of scanners and VEX documents. A file and a predicate with the same content parse to the same document. A report that
//! names no digest covers no image. A VEX statement applies only to images that it names by digest or package. Shown texts have
//! no control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::Digest;
use serde_json::Value;
use trust::scan::report::{FINDINGS_MAX, read, read_value};
use trust::scan::{Coverage, FindingStatus, JudgedFinding, Part};

/// The maximum length of an error, in characters: each of the 200 shown characters may be escaped to ten, beside other text.
const ERROR_MAX: usize = 3_000;
/// The maximum length of a line about a finding, in characters. It has four foreign texts.
const LINE_MAX: usize = 12_000;

/// Returns an image that no document names, because no known content has its digests.
fn unnamed_image() -> Part {
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
    // The nesting of a value is limited, but a file may have deeper nesting in members that are ignored.
    if let Ok(value) = serde_json::from_slice::<Value>(bare) {
        assert_eq!(read_value(&value).as_ref(), Ok(&document));
    }
    assert!(document.report.is_some() || !document.vex.is_empty() || bytes.len() < 1_000_000);
    let part = unnamed_image();
    let shown = String::from_utf8_lossy(bytes);
    let is_named = [part.digest, part.config.unwrap()].iter().any(|digest| shown.contains(&digest.hex()));
    let Some(report) = &document.report else { return };
    assert!(report.findings.len() <= FINDINGS_MAX);
    assert_eq!(report.about.names_nothing(), report.about.coverage(&part) == Coverage::NamesNothing);
    assert!(
        is_named || report.about.coverage(&part) != Coverage::Covers,
        "a report covers an image that it does not name"
    );
    for finding in &report.findings {
        assert!(finding.has_id(&finding.id));
        // Only a statement about the package may be about an image that the document does not name.
        let is_about = document.vex.iter().any(|statement| statement.is_about(finding, &part));
        assert!(
            !is_about || is_named || finding.purl.is_some(),
            "a statement applies to an image that it does not name"
        );
        let judged = JudgedFinding {
            finding: finding.clone(),
            source: "fuzz".into(),
            status: FindingStatus::Violates,
        };
        fuzz::assert_presentable(&judged.to_string(), LINE_MAX);
    }
});
