//! Vulnerabilities: the gate that no image passes with a vulnerability at or above a threshold, or without a finished scan
//! (`docs/design/scans.md`).
//!
//! Pure: formats of reports (`report`), what a report is about (`part`), VEX statements (`vex`), the policy (`policy`) and the
//! evaluation (`evaluate`). The others ask or read: scanners behind the trait [`Scanner`], and [`ScanGate`], which puts all
//! together.

mod evaluate;
mod finding;
mod part;
mod policy;
mod purl;
pub mod report;
mod severity;
mod verdict;
mod vex;

pub use evaluate::{Sourced, evaluate};
pub use finding::{Finding, Fix};
pub use part::{About, Coverage, Part};
pub use policy::{IgnoreRule, InvalidRule, ScanPolicy};
pub use purl::Purl;
pub use severity::{Severity, Threshold};
pub use verdict::{FindingStatus, JudgedFinding, PartVerdict, Vulnerabilities};
pub use vex::{Product, ProductName, VexStatement, VexStatus};
