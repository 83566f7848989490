//! The limits and special features of registries, per host.

use std::collections::BTreeMap;
use std::time::Duration;

use oci::{Host, HostOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use transport::HostSettings;

/// The limits and options of a registry host.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Host")]
pub(super) struct HostEntry {
    /// The maximum number of concurrent reads, and of concurrent writes.
    #[schemars(range(min = 1, max = 1_000), extend("default" = 32))]
    concurrency: Option<usize>,
    /// The maximum number of requests per second. Default: no limit.
    #[schemars(range(min = 0.01, max = 100_000))]
    requests_per_second: Option<f64>,
    /// An additional maximum number of writes per second. Default: no limit.
    #[schemars(range(min = 0.01, max = 100_000))]
    writes_per_second: Option<f64>,
    /// The initial concurrency.
    #[schemars(range(min = 1, max = 1_000), extend("default" = 8))]
    start_concurrency: Option<usize>,
    /// The initial number of requests per second, for reads and for writes.
    #[schemars(range(min = 0.01, max = 100_000), extend("default" = 80))]
    start_requests_per_second: Option<f64>,
    /// The number of requests that are sent before the initial rate applies.
    #[schemars(range(min = 1, max = 100_000), extend("default" = 80))]
    start_burst: Option<f64>,
    /// How long to wait for a host that does not serve anything any more, in seconds.
    #[schemars(range(min = 1, max = 3_600), extend("default" = 180))]
    patience_seconds: Option<u64>,
    /// How long to wait for the answer to a request, in seconds. Default: 60 for reads, 300 for writes.
    #[schemars(range(min = 1, max = 3_600))]
    answer_seconds: Option<u64>,
    /// Whether to use plain HTTP. Default: plain HTTP for loopback names and addresses, TLS for all other hosts.
    plain_http: Option<bool>,
    /// Other hosts whose token services may receive the credentials of this registry.
    #[serde(default)]
    #[schemars(inner(regex(pattern = Host::PATTERN)))]
    token_hosts: Vec<String>,
    /// The size of the chunks in which blobs are uploaded, in MiB. Default: one piece, until the host answers 413.
    #[schemars(range(min = 1, max = 64))]
    upload_chunk_mebibytes: Option<u64>,
    /// Whether the host supports `If-None-Match` when a manifest is written, so that a tag that another client writes at the same
    /// moment is never overwritten.
    #[schemars(extend("default" = false))]
    conditional_writes: Option<bool>,
    /// Additional error codes that make a 404 proof of absence, such as Harbor's `NOT_FOUND`.
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
        self.single_host_fields().into_iter().find_map(|(name, is_set)| is_set.then_some(name))
    }

    /// Returns the fields that are permitted only for individual hosts, and whether they are set.
    fn single_host_fields(&self) -> [(&'static str, bool); 5] {
        [
            ("plainHttp", self.plain_http.is_some()),
            ("tokenHosts", !self.token_hosts.is_empty()),
            ("uploadChunkMebibytes", self.upload_chunk_mebibytes.is_some()),
            ("conditionalWrites", self.conditional_writes.is_some()),
            ("absenceCodes", !self.absence_codes.is_empty()),
        ]
    }

    /// Returns the `properties` of a schema that forbids the fields that are permitted only for individual hosts.
    pub(super) fn schema_of_other_hosts() -> BTreeMap<&'static str, bool> {
        Self::default().single_host_fields().into_iter().map(|(name, _)| (name, false)).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_has_the_defaults_of_the_door() {
        let schema = schemars::schema_for!(HostEntry).to_value();
        let HostSettings { start_requests_per_second, start_burst, patience, .. } = HostSettings::default();
        let default = |field: &str| schema["properties"][field]["default"].as_f64();
        assert_eq!(default("startRequestsPerSecond"), Some(start_requests_per_second));
        assert_eq!(default("startBurst"), Some(start_burst));
        assert_eq!(default("patienceSeconds"), Some(patience.as_secs_f64()));
        // Tests limit the concurrency, so the default that is described cannot be compared.
        assert_eq!(schema["properties"]["concurrency"]["default"], json!(32));
    }
}
