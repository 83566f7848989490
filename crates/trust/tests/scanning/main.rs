//! Vulnerabilities, through the public face of the crate: formats of reports, the evaluation, and scanners.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a panic is how they report")]

mod container_analysis;
mod doubt;
mod files;
mod formats;
mod property;
mod support;
