//! The interface of scanners: the image to scan, and the result of a scan.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use oci::{Digest, Repository};

use super::error::ScanError;
use super::finding::Finding;
use super::part::Part;
use super::sourced::Sourced;
use super::vex::VexStatement;
use crate::evidence::Evidence;

/// An image to scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanImage<'a> {
    /// The repository that holds the image.
    pub repository: &'a Repository,
    /// The evidence of the image, its indexes and its parts. Complete only for a scanner that needs it.
    pub evidence: &'a BTreeMap<Digest, &'a Evidence>,
    /// The current time.
    pub now: Timestamp,
}

/// The result of a scanner for one image manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartScan {
    /// The finished scans, each by its source. If there are none, the manifest is not scanned.
    pub finished: Vec<String>,
    /// Why a scan has not finished or does not count, each with its source.
    pub unscanned: Vec<String>,
    /// The findings, including those of scans that have not finished or do not count.
    pub findings: Vec<Sourced<Finding>>,
    /// VEX statements.
    pub vex: Vec<Sourced<VexStatement>>,
}

/// A source of vulnerabilities of images.
pub trait Scanner: Send + Sync + fmt::Debug {
    /// Whether the scanner reads the evidence of images: see [`ScanImage::evidence`].
    fn needs_evidence(&self) -> bool {
        false
    }

    /// Returns the scan of an image manifest. A scan that has not finished is a result, not an error.
    ///
    /// # Errors
    /// Returns an error if a service does not answer, refuses, or answers unexpectedly.
    fn scan<'a>(&'a self, image: ScanImage<'a>, part: &'a Part)
    -> BoxFuture<'a, Result<PartScan, ScanError>>;
}
