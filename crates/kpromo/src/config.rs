//! `--registry-config`: the limits and the peculiarities of registries (`docs/reference/registry-config.md`).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::{Host, HostOptions, RepositoryPath};
use promote::Production;
use serde::Deserialize;
use transport::{HostSettings, Settings};

/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;
/// What a certificate begins with in a PEM text (RFC 7468, section 5).
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegistryConfig {
    #[serde(default)]
    hosts: BTreeMap<String, HostEntry>,
    #[serde(default)]
    other_hosts: HostEntry,
    #[serde(default)]
    certificate_authorities: Vec<PathBuf>,
    #[serde(default)]
    production: ProductionEntry,
}

/// The settings of a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HostEntry {
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

/// What is particular to an organisation: by default Kubernetes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ProductionEntry {
    canonical_host: Host,
    path: RepositoryPath,
    reference: Host,
}

impl Default for ProductionEntry {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "these are names, as the test below shows")]
        fn name<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
            text.parse().expect("a name")
        }
        Self {
            canonical_host: name("us-central1-docker.pkg.dev"),
            path: name("k8s-artifacts-prod/images"),
            reference: name("registry.k8s.io"),
        }
    }
}

/// Why a configuration cannot be used: the file or the flag, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub(crate) struct InvalidConfig {
    place: String,
    problem: String,
}

impl InvalidConfig {
    /// What is wrong with a file.
    pub(crate) fn new(file: &Path, problem: String) -> Self {
        Self { place: file.display().to_string(), problem }
    }

    /// What is wrong with the value of a flag.
    pub(crate) fn flag(flag: &str, problem: String) -> Self {
        Self { place: flag.to_owned(), problem }
    }
}

/// What a file of bounded size holds.
///
/// # Errors
/// When it cannot be read, is no file, or has more than a megabyte.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, InvalidConfig> {
    let unreadable = |error: std::io::Error| InvalidConfig::new(path, format!("cannot be read: {error}"));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        return Err(InvalidConfig::new(path, format!("not a regular file of at most {FILE_MAX} bytes")));
    }
    fs::read(path).map_err(unreadable)
}

impl RegistryConfig {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self, InvalidConfig> {
        let text = String::from_utf8(read_bytes(path)?)
            .map_err(|_| InvalidConfig::new(path, "not a text in UTF-8".to_owned()))?;
        let mut config = Self::parse(&text).map_err(|problem| InvalidConfig::new(path, problem))?;
        // Files are named from where the configuration stands.
        let folder = path.parent().unwrap_or(Path::new("."));
        config.certificate_authorities.iter_mut().for_each(|file| *file = folder.join(&*file));
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        for (name, entry) in &config.hosts {
            entry.check().map_err(|problem| format!("hosts: {name}: {problem}"))?;
            name.parse::<Host>().map_err(|error| format!("hosts: {error}"))?;
        }
        config.other_hosts.check().map_err(|problem| format!("otherHosts: {problem}"))?;
        if let Some(field) = config.other_hosts.of_single_hosts() {
            return Err(format!("otherHosts: `{field}` can be set for single hosts only"));
        }
        Ok(config)
    }

    /// What holds for an organisation.
    pub(crate) fn production(&self) -> Production {
        let ProductionEntry { canonical_host, path, reference } = &self.production;
        Production {
            canonical_host: canonical_host.clone(),
            path: path.clone(),
            reference: reference.clone(),
        }
    }

    /// The settings of the HTTP door.
    pub(crate) fn settings(&self) -> Result<Settings, InvalidConfig> {
        let mut settings = Settings { other_hosts: self.other_hosts.settings(), ..Settings::default() };
        for (name, entry) in &self.hosts {
            let entry = entry.or(&self.other_hosts);
            settings.hosts.insert(api(name), entry.settings());
        }
        for file in &self.certificate_authorities {
            let pem = read_bytes(file)?;
            // Without this a wrong file would be passed over, and seen only when a host is not trusted.
            if !pem.windows(CERTIFICATE.len()).any(|text| text == CERTIFICATE) {
                return Err(InvalidConfig::new(file, "holds no certificate in PEM form".to_owned()));
            }
            settings.authorities.push(pem);
        }
        Ok(settings)
    }

    /// The options of the client, by host.
    pub(crate) fn options(&self) -> HashMap<Host, HostOptions> {
        let options = |(name, entry): (&String, &HostEntry)| {
            let entry = entry.or(&self.other_hosts);
            let options = HostOptions {
                plain_http: entry.plain_http,
                token_hosts: entry.token_hosts.iter().filter_map(|host| host.parse().ok()).collect(),
                upload_chunk: entry.upload_chunk_mebibytes.map(|mebibytes| mebibytes << 20),
                conditional_writes: entry.conditional_writes.unwrap_or_default(),
                absence_codes: entry.absence_codes,
            };
            Some((name.parse().ok()?, options))
        };
        self.hosts.iter().filter_map(options).collect()
    }
}

impl HostEntry {
    /// The entry, with what another says where it says nothing.
    fn or(&self, other: &Self) -> Self {
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

    /// A field of this entry that can be set for single hosts only, if there is one.
    fn of_single_hosts(&self) -> Option<&'static str> {
        let fields = [
            ("plainHttp", self.plain_http.is_some()),
            ("tokenHosts", !self.token_hosts.is_empty()),
            ("uploadChunkMebibytes", self.upload_chunk_mebibytes.is_some()),
            ("conditionalWrites", self.conditional_writes.is_some()),
            ("absenceCodes", !self.absence_codes.is_empty()),
        ];
        fields.into_iter().find_map(|(name, is_set)| is_set.then_some(name))
    }

    fn check(&self) -> Result<(), String> {
        let numbers = [("concurrency", self.concurrency), ("startConcurrency", self.start_concurrency)];
        for (name, number) in numbers {
            if number.is_some_and(|number| !(1..=1_000).contains(&number)) {
                return Err(format!("`{name}` is from 1 to 1000"));
            }
        }
        let rates = [
            ("requestsPerSecond", self.requests_per_second),
            ("writesPerSecond", self.writes_per_second),
            ("startRequestsPerSecond", self.start_requests_per_second),
        ];
        for (name, rate) in rates {
            if rate.is_some_and(|rate| !(0.01..=100_000.0).contains(&rate)) {
                return Err(format!("`{name}` is from 0.01 to 100000"));
            }
        }
        if self.start_burst.is_some_and(|burst| !(1.0..=100_000.0).contains(&burst)) {
            return Err("`startBurst` is from 1 to 100000".to_owned());
        }
        let times = [("patienceSeconds", self.patience_seconds), ("answerSeconds", self.answer_seconds)];
        for (name, seconds) in times {
            if seconds.is_some_and(|seconds| !(1..=3_600).contains(&seconds)) {
                return Err(format!("`{name}` is from 1 to 3600"));
            }
        }
        if self.upload_chunk_mebibytes.is_some_and(|size| !(1..=64).contains(&size)) {
            return Err("`uploadChunkMebibytes` is from 1 to 64".to_owned());
        }
        self.token_hosts
            .iter()
            .try_for_each(|host| host.parse::<Host>().map(drop).map_err(|error| error.to_string()))
    }

    fn settings(&self) -> HostSettings {
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

/// The host of URLs for a registry's name.
fn api(name: &str) -> String {
    name.parse::<Host>().map_or_else(|_| name.to_owned(), |host| host.api().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_the_default() {
        let production = RegistryConfig::default().production();
        assert_eq!(production.canonical_host.as_str(), "us-central1-docker.pkg.dev");
        assert_eq!(
            (production.path.as_str(), production.reference.as_str()),
            ("k8s-artifacts-prod/images", "registry.k8s.io")
        );
        assert_eq!(RegistryConfig::parse("{}").unwrap().production(), production);
    }

    #[test]
    fn the_documented_example_is_a_configuration() {
        let reference = include_str!("../../../docs/reference/registry-config.md");
        let example = reference.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config = RegistryConfig::parse(example).unwrap();
        let settings = RegistryConfig { certificate_authorities: Vec::new(), ..config }.settings().unwrap();
        let host = &settings.hosts["us-central1-docker.pkg.dev"];
        assert_eq!((host.concurrency, host.requests_per_second), (32, Some(83.0)));
    }

    #[test]
    fn the_wait_for_an_answer_is_the_host_s_or_that_of_other_hosts_and_else_the_door_s_own() {
        let text = "hosts: { a.io: { answerSeconds: 900 }, b.io: {} }\notherHosts: { answerSeconds: 1 }";
        let settings = RegistryConfig::parse(text).unwrap().settings().unwrap();
        let answer = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(settings.hosts["a.io"].answer, answer(900));
        assert_eq!((settings.hosts["b.io"].answer, settings.other_hosts.answer), (answer(1), answer(1)));
        assert_eq!(RegistryConfig::default().settings().unwrap().other_hosts.answer, None);
    }

    #[test]
    fn only_a_host_of_which_it_is_said_gets_conditional_writes() {
        let text =
            "hosts: { a.io: { conditionalWrites: true }, b.io: { conditionalWrites: false }, c.io: {} }";
        let options = RegistryConfig::parse(text).unwrap().options();
        let conditional = |host: &str| options[&host.parse().unwrap()].conditional_writes;
        assert_eq!(["a.io", "b.io", "c.io"].map(conditional), [true, false, false]);
    }

    #[test]
    fn authorities_stand_beside_the_file_and_one_without_a_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        fs::write(&file, "certificateAuthorities: [ca.pem]").unwrap();
        let settings = || RegistryConfig::read(&file).unwrap().settings();
        let write = |pem: &str| fs::write(folder.path().join("ca.pem"), pem).unwrap();

        assert!(settings().unwrap_err().to_string().contains("ca.pem: cannot be read"));
        write("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        assert!(settings().unwrap_err().to_string().contains("ca.pem: holds no certificate"));
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        write(pem);
        assert_eq!(settings().unwrap().authorities, [pem.as_bytes()]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            ("host: {}", "host"),
            ("hosts: { 'gcr.io': { concurrency: 0 } }", "gcr.io: `concurrency`"),
            ("hosts: { 'gcr.io': { requestsPerSecond: -1 } }", "`requestsPerSecond`"),
            ("hosts: { 'gcr.io': { startConcurrency: 1001 } }", "`startConcurrency`"),
            ("hosts: { 'gcr.io': { startBurst: 0 } }", "`startBurst`"),
            ("otherHosts: { patienceSeconds: 0 }", "`patienceSeconds`"),
            ("otherHosts: { answerSeconds: 3601 }", "otherHosts: `answerSeconds`"),
            ("hosts: { 'gcr.io': { answerSeconds: 0 } }", "gcr.io: `answerSeconds`"),
            ("hosts: { 'gcr.io': { conditionalWrites: 1.5 } }", "conditionalWrites"),
            ("hosts: { 'gcr.io': { tokenHosts: ['a b'] } }", "a b"),
            ("hosts: { 'not a host': {} }", "not a host"),
            ("production: { canonicalHost: '/' }", "registry host"),
            ("otherHosts: { plainHttp: true }", "`plainHttp` can be set for single hosts only"),
            (
                "otherHosts: { conditionalWrites: true }",
                "`conditionalWrites` can be set for single hosts only",
            ),
        ] {
            let problem = RegistryConfig::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
