//! Vulnerabilities, through the public API of the crate: formats of reports, the evaluation, and scanners.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers report failures as panics")]

mod container_analysis;
mod doubt;
mod files;
mod formats;
mod property;
mod support;
