//! The protocol between the driver and the world: one JSON value a line, requests and answers in turn.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A world of registries. The first one is staging.
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

/// Where a registry stores its blobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Storage {
    Memory,
    /// Blobs are hashed and discarded.
    Discard,
    Directory(PathBuf),
}

/// The conditions of a registry.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ConditionsSpec {
    /// The latency of every request.
    pub(crate) latency_milliseconds: u64,
    pub(crate) quota: Option<QuotaSpec>,
    /// A quota for each minute of the clock, instead of `quota`.
    pub(crate) per_minute: Option<u64>,
    /// Whether every response is 503.
    pub(crate) refuses: bool,
    /// Requests that fail at random.
    pub(crate) faults: Option<FaultsSpec>,
}

/// The fractions of requests that fail, from 0 to 1. The requests are selected at random.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct FaultsSpec {
    /// Requests answered with 503 without `Retry-After`.
    pub(crate) unavailable: f64,
    /// Connections that are reset instead of a response.
    pub(crate) reset: f64,
    /// The same seed selects the same requests, counted in the order of their arrival.
    pub(crate) seed: u64,
}

/// One allowance for all requests. Refusals have no `Retry-After`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct QuotaSpec {
    pub(crate) per_second: f64,
    pub(crate) burst: u32,
}

/// The initial content of the registries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Images without blobs, each with its own tag, on every host: everything is promoted.
    Promoted { projects: usize, images: usize, digests: usize },
    /// Images that are only in staging.
    New {
        images: usize,
        platforms: usize,
        /// The number of layers that each platform does not share, and their size in bytes.
        layers: usize,
        layer_size: usize,
        /// The number of layers that all images share, and their size in bytes.
        shared_layers: usize,
        shared_size: usize,
    },
    /// One image of large layers that is only in staging. Its layers are made one at a time.
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

/// A request of the driver to a running world.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Changes the conditions of one host, with the full burst available.
    Conditions { host: usize, conditions: ConditionsSpec },
    /// Sets all counts and clocks to zero.
    Reset,
    /// Returns the counts since the last reset.
    Read,
}

/// An answer of the world. `Started` is the first one and has no request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Started(Started),
    /// The request is done. The value is the time since the last reset, in seconds.
    Done {
        seconds: f64,
    },
    Reading(Reading),
}

/// A running world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    /// `127.0.0.1:PORT`, staging first.
    pub(crate) hosts: Vec<String>,
    pub(crate) images: Vec<Image>,
    /// How many images every host but staging lacks and must have in the end.
    pub(crate) expected: usize,
    /// The total size of all blobs of staging, in bytes, each digest once.
    pub(crate) unique_bytes: u64,
}

/// The counts since the last reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The counts of each host, in the order of the hosts.
    pub(crate) hosts: Vec<HostReading>,
}

/// The counts of one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HostReading {
    /// Requests by kind, refused requests included.
    pub(crate) kinds: BTreeMap<String, u64>,
    pub(crate) requests: u64,
    /// Writing requests that were served.
    pub(crate) writes: u64,
    /// Requests answered with 429.
    pub(crate) refused: u64,
    /// Requests answered with 503, and requests whose connection was reset, because of the conditions.
    pub(crate) unavailable: u64,
    pub(crate) reset: u64,
    /// Bytes of request bodies.
    pub(crate) bytes_in: u64,
    /// Bytes of blobs that were read.
    pub(crate) blob_bytes_out: u64,
    /// When the last writing request was served, in seconds.
    pub(crate) last_write: Option<f64>,
    /// How many of the images are present under their tags.
    pub(crate) images: usize,
    /// The number of manifests, and the number of tags with signatures.
    pub(crate) manifests: usize,
    pub(crate) signatures: usize,
    /// The counts at every quarter of a second.
    pub(crate) timeline: Vec<Point>,
}

impl HostReading {
    /// Returns the number of served requests.
    pub(crate) fn served(&self) -> u64 {
        self.requests.saturating_sub(self.refused)
    }
}

/// The counts at one moment, in seconds after the last reset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) seconds: f64,
    pub(crate) served: u64,
    pub(crate) refused: u64,
}
