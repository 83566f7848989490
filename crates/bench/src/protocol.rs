//! What the driver and the world say to one another: one JSON value a line, a question and its answer in turn.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A world of registries, the first of which is staging.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) hosts: Vec<HostSpec>,
    pub(crate) content: Content,
}

/// One registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HostSpec {
    pub(crate) storage: Storage,
    pub(crate) conditions: ConditionsSpec,
}

/// Where a registry keeps its blobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Storage {
    Memory,
    /// Hashed and thrown away.
    Discard,
    Folder(PathBuf),
}

/// What a registry suffers from.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ConditionsSpec {
    /// What every request waits.
    pub(crate) latency_milliseconds: u64,
    pub(crate) quota: Option<QuotaSpec>,
    /// A quota that is counted by the minute of the clock, instead of `quota`.
    pub(crate) per_minute: Option<u64>,
    /// Whether everything is answered with 503.
    pub(crate) refuses: bool,
    /// Requests that fail by chance.
    pub(crate) faults: Option<FaultsSpec>,
}

/// Shares of all requests, from 0 to 1, each chosen at random.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct FaultsSpec {
    /// Answered with 503 without `Retry-After`.
    pub(crate) unavailable: f64,
    /// Connections that are reset instead of an answer.
    pub(crate) reset: f64,
    /// The same seed chooses the same requests, counted in the order of their arrival.
    pub(crate) seed: u64,
}

/// One allowance for all requests, refused without `Retry-After`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct QuotaSpec {
    pub(crate) per_second: f64,
    pub(crate) burst: u32,
}

/// What the registries hold at first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Images without blobs, each under a tag of its own, on every host: all is promoted.
    Promoted { projects: usize, images: usize, digests: usize },
    /// Images that only staging has.
    New {
        images: usize,
        platforms: usize,
        /// Layers of each platform's own, and their size in bytes.
        layers: usize,
        layer_size: usize,
        /// Layers that all images have, and their size in bytes.
        shared_layers: usize,
        shared_size: usize,
    },
    /// One image of large layers that only staging has, made one layer at a time.
    Large { platforms: usize, layers: usize, layer_size: usize },
}

/// An image of staging: `staging/<project>/<name>` there, `images/<project>/<name>` in production.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) tag: String,
    pub(crate) digest: String,
}

impl Image {
    pub(crate) fn staging(&self) -> String {
        format!("staging/{}/{}", self.project, self.name)
    }

    pub(crate) fn production(&self) -> String {
        format!("images/{}/{}", self.project, self.name)
    }
}

/// What the driver asks of a world that runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Other conditions over one host, with a full burst.
    Conditions { host: usize, conditions: ConditionsSpec },
    /// All counts and clocks from zero.
    Reset,
    /// The counts since then.
    Read,
}

/// What the world answers: `Started` first, unasked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Started(Started),
    /// Done, so many seconds after the last reset.
    Done {
        seconds: f64,
    },
    Reading(Reading),
}

/// A world that listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    /// `127.0.0.1:PORT`, staging first.
    pub(crate) hosts: Vec<String>,
    pub(crate) images: Vec<Image>,
    /// How many images every host but staging is to have in the end and has not yet.
    pub(crate) expected: usize,
    /// The bytes of all blobs of staging, each digest once.
    pub(crate) unique_bytes: u64,
}

/// What happened since the last reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// In the order of the hosts.
    pub(crate) hosts: Vec<HostReading>,
}

/// What happened at one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HostReading {
    /// Requests by kind, refused ones included.
    pub(crate) kinds: BTreeMap<String, u64>,
    pub(crate) requests: u64,
    /// Requests that write and were let through.
    pub(crate) writes: u64,
    /// Answered with 429.
    pub(crate) refused: u64,
    /// Answered with 503, and reset, because the conditions say so.
    pub(crate) unavailable: u64,
    pub(crate) reset: u64,
    /// Bytes of request bodies.
    pub(crate) bytes_in: u64,
    /// Bytes of blobs that were read.
    pub(crate) blob_bytes_out: u64,
    /// When the last request that writes was served, in seconds.
    pub(crate) last_write: Option<f64>,
    /// How many of the images are there under their tags.
    pub(crate) images: usize,
    /// How many manifests there are, and how many tags that hold signatures.
    pub(crate) manifests: usize,
    pub(crate) signatures: usize,
    /// Every quarter of a second.
    pub(crate) timeline: Vec<Point>,
}

impl HostReading {
    /// Requests that were let through.
    pub(crate) fn served(&self) -> u64 {
        self.requests.saturating_sub(self.refused)
    }
}

/// Counts at one moment, in seconds after the last reset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) seconds: f64,
    pub(crate) served: u64,
    pub(crate) refused: u64,
}
