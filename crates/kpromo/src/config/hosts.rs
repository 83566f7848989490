//! The limits and special features of registries, per host.

use std::time::Duration;

use oci::{Host, HostOptions};
use serde::Deserialize;
use transport::HostSettings;

/// The settings of a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HostEntry {
    concurrency: Option<usize>,
    requests_per_second: Option<f64>,
    writes_per_second: Option<f64>,
    start_concurrency: Option<usize>,
    start_requests_per_second: Option<f64>,
    start_burst: Option<f64>,
    patience_seconds: Option<u64>,
    answer_seconds: Option<u64>,
    plain_http: Option<bool>,
    #[serde(default)]
    token_hosts: Vec<String>,
    upload_chunk_mebibytes: Option<u64>,
    conditional_writes: Option<bool>,
    #[serde(default)]
    absence_codes: Vec<String>,
}

impl HostEntry {
    /// Returns the entry, with the other entry's values for fields that are not set.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            concurrency: self.concurrency.or(other.concurrency),
            requests_per_second: self.requests_per_second.or(other.requests_per_second),
            writes_per_second: self.writes_per_second.or(other.writes_per_second),
            start_concurrency: self.start_concurrency.or(other.start_concurrency),
            start_requests_per_second: self.start_requests_per_second.or(other.start_requests_per_second),
            start_burst: self.start_burst.or(other.start_burst),
            patience_seconds: self.patience_seconds.or(other.patience_seconds),
            answer_seconds: self.answer_seconds.or(other.answer_seconds),
            plain_http: self.plain_http,
            token_hosts: self.token_hosts.clone(),
            upload_chunk_mebibytes: self.upload_chunk_mebibytes,
            conditional_writes: self.conditional_writes,
            absence_codes: self.absence_codes.clone(),
        }
    }

    /// Returns a field of this entry that is permitted only for individual hosts, if there is one.
    pub(super) fn of_single_hosts(&self) -> Option<&'static str> {
        let fields = [
            ("plainHttp", self.plain_http.is_some()),
            ("tokenHosts", !self.token_hosts.is_empty()),
            ("uploadChunkMebibytes", self.upload_chunk_mebibytes.is_some()),
            ("conditionalWrites", self.conditional_writes.is_some()),
            ("absenceCodes", !self.absence_codes.is_empty()),
        ];
        fields.into_iter().find_map(|(name, is_set)| is_set.then_some(name))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let numbers = [("concurrency", self.concurrency), ("startConcurrency", self.start_concurrency)];
        for (name, number) in numbers {
            if number.is_some_and(|number| !(1..=1_000).contains(&number)) {
                return Err(format!("`{name}` must be from 1 to 1000"));
            }
        }
        let rates = [
            ("requestsPerSecond", self.requests_per_second),
            ("writesPerSecond", self.writes_per_second),
            ("startRequestsPerSecond", self.start_requests_per_second),
        ];
        for (name, rate) in rates {
            if rate.is_some_and(|rate| !(0.01..=100_000.0).contains(&rate)) {
                return Err(format!("`{name}` must be from 0.01 to 100000"));
            }
        }
        if self.start_burst.is_some_and(|burst| !(1.0..=100_000.0).contains(&burst)) {
            return Err("`startBurst` must be from 1 to 100000".to_owned());
        }
        let times = [("patienceSeconds", self.patience_seconds), ("answerSeconds", self.answer_seconds)];
        for (name, seconds) in times {
            if seconds.is_some_and(|seconds| !(1..=3_600).contains(&seconds)) {
                return Err(format!("`{name}` must be from 1 to 3600"));
            }
        }
        if self.upload_chunk_mebibytes.is_some_and(|size| !(1..=64).contains(&size)) {
            return Err("`uploadChunkMebibytes` must be from 1 to 64".to_owned());
        }
        self.token_hosts
            .iter()
            .try_for_each(|host| host.parse::<Host>().map(drop).map_err(|error| error.to_string()))
    }

    pub(super) fn options(self) -> HostOptions {
        HostOptions {
            plain_http: self.plain_http,
            token_hosts: self.token_hosts.iter().filter_map(|host| host.parse().ok()).collect(),
            upload_chunk: self.upload_chunk_mebibytes.map(|mebibytes| mebibytes << 20),
            conditional_writes: self.conditional_writes.unwrap_or_default(),
            absence_codes: self.absence_codes,
        }
    }

    pub(super) fn settings(&self) -> HostSettings {
        let defaults = HostSettings::default();
        HostSettings {
            concurrency: self.concurrency.unwrap_or(defaults.concurrency),
            start_concurrency: self.start_concurrency.unwrap_or(defaults.start_concurrency),
            requests_per_second: self.requests_per_second.or(defaults.requests_per_second),
            writes_per_second: self.writes_per_second.or(defaults.writes_per_second),
            start_requests_per_second: self
                .start_requests_per_second
                .unwrap_or(defaults.start_requests_per_second),
            start_burst: self.start_burst.unwrap_or(defaults.start_burst),
            patience: self.patience_seconds.map_or(defaults.patience, Duration::from_secs),
            answer: self.answer_seconds.map(Duration::from_secs),
            plain_http: self.plain_http.unwrap_or(defaults.plain_http),
            ..defaults
        }
    }
}
