//! Reports of scanners and VEX documents: their formats, which are recognised by content, and limits (`docs/design/scans.md`).

mod cosign;
mod cyclonedx;
mod grype;
mod input;
mod openvex;
mod read;
mod sarif;
mod shape;
mod trivy;

pub use input::{Document, FINDINGS_MAX, InvalidReport, Report};
pub use read::{REPORT_MAX, read, read_value};
