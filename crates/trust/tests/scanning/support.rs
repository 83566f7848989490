//! Shared by the tests: the digests of the samples, and functions that read them.

use oci::Digest;
use trust::scan::report::{self, Document, InvalidReport, Report};
use trust::scan::{Finding, Part, Severity};

/// Returns a digest that repeats this byte, as the samples use them.
pub(crate) fn digest(byte: &str) -> Digest {
    format!("sha256:{}", byte.repeat(32)).parse().unwrap()
}

/// Returns the image manifest that the samples are about.
pub(crate) fn part() -> Part {
    Part {
        digest: digest("11"),
        config: Some(digest("cc")),
        platform: Some("linux/amd64".to_owned()),
        indexes: vec![digest("ee")],
        is_only_of_platform: true,
    }
}

/// Reads a sample.
pub(crate) fn sample(name: &str) -> Document {
    read(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads the report of a sample.
pub(crate) fn report(name: &str) -> Report {
    sample(name).report.unwrap_or_else(|| panic!("{name} is not a report"))
}

pub(crate) fn read(bytes: &[u8]) -> Result<Document, InvalidReport> {
    report::read(bytes)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/scanning/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Returns the identifier, severity, package, installed version and whether a fix is known.
pub(crate) fn brief(finding: &Finding) -> (&str, Severity, &str, &str, bool) {
    let Finding { id, severity, package, installed, .. } = finding;
    (id, *severity, package, installed, finding.is_fixable())
}
