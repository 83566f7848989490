//! Vulnerabilities: the gate that no image passes with a vulnerability at or above a threshold, or without a finished scan
//! (`docs/design/scans.md`).
//!
//! Pure: formats of reports (`report`), what a report is about (`part`), VEX statements (`vex`), the policy (`policy`) and the
//! evaluation (`evaluate`). The other modules do I/O: scanners behind the trait [`Scanner`], and [`ScanGate`], which combines
//! everything.

mod attested;
mod container_analysis;
mod error;
mod evaluate;
mod files;
mod finding;
mod gate;
mod image;
mod part;
mod policy;
mod purl;
pub mod report;
mod reports;
mod scanner;
mod severity;
mod sourced;
mod text;
mod verdict;
mod vex;

pub use attested::AttestedReports;
pub use container_analysis::{CONTAINER_ANALYSIS, ContainerAnalysis, InvalidService};
pub use error::ScanError;
pub use evaluate::evaluate;
pub use files::{NamelessReport, ReportFiles};
pub use finding::{Finding, Fix};
pub use gate::{ScanGate, ScanSource, ScannedHosts};
pub use image::{parts_of, scan_image};
pub use part::{About, Coverage, Part};
pub use policy::{IgnoreRule, InvalidRule, ScanPolicy};
pub use purl::Purl;
pub use scanner::{PartScan, ScanImage, Scanner};
pub use severity::{Severity, Threshold};
pub use sourced::Sourced;
pub use text::shown;
pub use verdict::{FindingStatus, JudgedFinding, PartVerdict, Scans, Vulnerabilities};
pub use vex::{Product, ProductName, VexStatement, VexStatus};
