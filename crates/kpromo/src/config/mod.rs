//! The configuration (`--config`): registries, production, signing and verification (`docs/reference/configuration.md`).

mod hosts;
mod signing;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use hosts::HostEntry;
use manifest::Diagnostic;
use oci::{Host, HostOptions, RepositoryPath};
use schemars::JsonSchema;
use serde::Deserialize;
use signing::{SigningEntry, VerificationEntry};
use transport::{Authorities, InvalidSettings, Settings};
use trust::Production;

use crate::choice::{SigningArgs, TokenFile, TrustArgs};
use crate::color;
use crate::environment::Environment;
use crate::input::standard_input;
use crate::yaml;

/// The maximum size of a file, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// The configuration of kpromo: the limits and options of registries, the production registries of an organization, who signs,
/// and whose signatures count (`docs/reference/configuration.md`). Relative paths are relative to the directory of the file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// The limits and options of registries, by host, such as `registry.example.com` or `127.0.0.1:5000`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": Host::PATTERN }))]
    hosts: BTreeMap<String, HostEntry>,
    /// The limits of all hosts. An entry in `hosts` takes precedence.
    #[serde(default)]
    #[schemars(extend("properties" = HostEntry::schema_of_other_hosts()))]
    other_hosts: HostEntry,
    /// PEM files with certificate authorities to trust in addition to those of the system.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    certificate_authorities: Vec<PathBuf>,
    /// The production registries of the organization. The default is Kubernetes' production.
    #[serde(default)]
    production: ProductionEntry,
    /// Who signs, and how.
    #[serde(default)]
    signing: SigningEntry,
    /// Whose signatures count, and what they are verified against.
    #[serde(default)]
    verification: VerificationEntry,
}

/// The production registries of an organization. The default is Kubernetes' production.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "Production")]
struct ProductionEntry {
    /// The host of the region that holds signatures and attestations.
    #[schemars(with = "String", regex(pattern = Host::PATTERN))]
    canonical_host: Host,
    /// The path below which the images are, in each region.
    #[schemars(with = "String", regex(pattern = RepositoryPath::PATTERN), length(max = 255))]
    path: RepositoryPath,
    /// The host that users pull the images from.
    #[schemars(with = "String", regex(pattern = Host::PATTERN))]
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

/// Why a configuration cannot be used.
#[derive(Debug)]
pub(crate) enum InvalidConfig {
    /// The file or the flag, and the problem.
    Value { place: String, problem: String },
    /// An error at a position in a file.
    Fault(Box<Diagnostic>),
    /// TLS or the HTTP client cannot be set up with these settings.
    Connections(InvalidSettings),
}

/// Writes the position and the problem, with the line of the file, in colors if standard error has them.
impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { place, problem } => write!(f, "{place}: {problem}"),
            Self::Fault(fault) => f.write_str(&fault.render(color::on_stderr())),
            Self::Connections(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InvalidConfig {}

impl From<Diagnostic> for InvalidConfig {
    fn from(fault: Diagnostic) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl InvalidConfig {
    /// Returns the error for a file.
    pub(crate) fn new(file: &Path, problem: String) -> Self {
        Self::Value { place: file.display().to_string(), problem }
    }

    /// Returns the error for the value of a flag.
    pub(crate) fn flag(flag: &str, problem: String) -> Self {
        Self::Value { place: flag.to_owned(), problem }
    }

    /// Puts the field of the configuration, or the variable, that names the file in front.
    pub(crate) fn within(self, name: &str) -> Self {
        match self {
            Self::Value { place, problem } => Self::Value { place: format!("{name}: {place}"), problem },
            other => other,
        }
    }
}

/// Reads a file of limited size.
///
/// # Errors
/// Returns an error if the file cannot be read, is not a regular file, or has more than one mebibyte. `-` is standard input.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, InvalidConfig> {
    if path == Path::new("-") {
        return standard_input(FILE_MAX).map_err(|problem| InvalidConfig::flag("standard input", problem));
    }
    check_file(path, FILE_MAX)?;
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> InvalidConfig {
    InvalidConfig::new(path, format!("cannot be read: {error}"))
}

/// Checks that a path names a regular file of at most `max` bytes, and that it can be opened.
pub(crate) fn check_file(path: &Path, max: u64) -> Result<(), InvalidConfig> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        return Err(InvalidConfig::new(path, "is a directory, not a file".to_owned()));
    }
    if !metadata.is_file() {
        return Err(InvalidConfig::new(path, "is not a regular file".to_owned()));
    }
    if metadata.len() > max {
        return Err(InvalidConfig::new(path, format!("has {} bytes; the limit is {max}", metadata.len())));
    }
    fs::File::open(path).map(drop).map_err(|error| unreadable(path, &error))
}

impl Config {
    /// Returns the configuration of a command: the file of a flag, or else that of the environment, or else an empty one.
    pub(crate) fn of(flag: Option<&Path>, environment: &Environment) -> Result<Self, InvalidConfig> {
        flag.or(environment.config.as_deref()).map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self, InvalidConfig> {
        let text = String::from_utf8(read_bytes(path)?)
            .map_err(|_| InvalidConfig::new(path, "not UTF-8 text".to_owned()))?;
        let mut config: Self = yaml::read(path, &text)?;
        config.check().map_err(|problem| InvalidConfig::new(path, problem))?;
        // Relative paths in the file are relative to the directory of the file.
        let directory = path.parent().unwrap_or(Path::new("."));
        let files = config.certificate_authorities.iter_mut();
        let files = files.chain(config.signing.files()).chain(config.verification.files());
        files.for_each(|file| *file = directory.join(&*file));
        Ok(config)
    }

    /// Returns the files that the configuration names, each with its field.
    pub(crate) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let (signing, trust) = (self.signing(), self.trust());
        let token = match signing.token {
            Some(TokenFile::File(file)) => Some(file),
            Some(TokenFile::Input) | None => None,
        };
        let single = [
            ("signing.key", signing.key),
            ("signing.identityToken", token),
            ("signing.config", trust.signing_config),
            ("verification.key", trust.verification_key),
            ("verification.trustedRoot", trust.trusted_root),
            ("verification.tufRoot", trust.tuf_root),
        ];
        let single = single.into_iter().filter_map(|(field, file)| Some((field, file?)));
        let authorities = self.certificate_authorities.iter().cloned();
        authorities.map(|file| ("certificateAuthorities", file)).chain(single).collect()
    }

    /// Checks what the types of the fields do not.
    fn check(&self) -> Result<(), String> {
        for (name, entry) in &self.hosts {
            entry.check().map_err(|problem| format!("hosts: {name}: {problem}"))?;
            name.parse::<Host>().map_err(|error| format!("hosts: {error}"))?;
        }
        self.other_hosts.check().map_err(|problem| format!("otherHosts: {problem}"))?;
        if let Some(field) = self.other_hosts.of_single_hosts() {
            return Err(format!("otherHosts: `{field}` can only be set for individual hosts"));
        }
        if self.certificate_authorities.iter().any(|file| file.as_os_str().is_empty()) {
            return Err(
                "certificateAuthorities: an entry is empty; it has to be the path of a PEM file".to_owned()
            );
        }
        self.signing.check().map_err(|problem| format!("signing: {problem}"))?;
        self.verification.check().map_err(|problem| format!("verification: {problem}"))?;
        Ok(())
    }

    /// Returns the production settings of the organization.
    pub(crate) fn production(&self) -> Production {
        let ProductionEntry { canonical_host, path, reference } = &self.production;
        Production {
            canonical_host: canonical_host.clone(),
            path: path.clone(),
            reference: reference.clone(),
        }
    }

    /// Returns whether production is Kubernetes', whose signer is then the default.
    pub(crate) fn is_kubernetes(&self) -> bool {
        self.production() == Self::default().production()
    }

    /// Returns the choices about signing in the file.
    pub(crate) fn signing(&self) -> SigningArgs {
        self.signing.choice()
    }

    /// Returns the choices about trust in the file.
    pub(crate) fn trust(&self) -> TrustArgs {
        TrustArgs { signing_config: self.signing.config.clone(), ..self.verification.choice() }
    }

    /// Returns the settings of the HTTP door.
    pub(crate) fn settings(&self) -> Result<Settings, InvalidConfig> {
        let mut settings = Settings { other_hosts: self.other_hosts.settings(), ..Settings::default() };
        for (name, entry) in &self.hosts {
            let entry = entry.or(&self.other_hosts);
            settings.hosts.insert(api(name), entry.settings());
        }
        for file in &self.certificate_authorities {
            let pem = read_bytes(file).map_err(|error| error.within("certificateAuthorities"))?;
            let authorities = Authorities::from_pem(&pem).map_err(|error| {
                InvalidConfig::new(file, error.to_string()).within("certificateAuthorities")
            })?;
            settings.authorities.extend(authorities);
        }
        Ok(settings)
    }

    /// Returns the client options by host.
    pub(crate) fn options(&self) -> HashMap<Host, HostOptions> {
        let options = |(name, entry): (&String, &HostEntry)| {
            Some((name.parse().ok()?, entry.or(&self.other_hosts).options()))
        };
        self.hosts.iter().filter_map(options).collect()
    }
}

/// Returns the host in API URLs for a registry's name.
fn api(name: &str) -> String {
    name.parse::<Host>().map_or_else(|_| name.to_owned(), |host| host.api().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use boon::{Compiler, SchemaIndex, Schemas};
    use schemars::generate::SchemaSettings;
    use serde_json::Value;

    use super::*;
    use crate::choice::TokenFile;

    /// Reads a configuration file. Returns the printed form of an error. Checks that the schema gives the same answer.
    fn parse(text: &str) -> Result<Config, String> {
        let read = yaml::read(Path::new("kpromo.yaml"), text).map_err(|fault| fault.render(false));
        let config = read.and_then(|config: Config| config.check().map(|()| config));
        assert_eq!(is_accepted_by_schema(text), config.is_ok(), "{text}: {:?}", config.err());
        config
    }

    fn is_accepted_by_schema(text: &str) -> bool {
        static SCHEMA: LazyLock<(Schemas, SchemaIndex)> = LazyLock::new(|| {
            let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
            let schema = generator.into_root_schema_for::<Config>().to_value();
            let (place, mut schemas, mut compiler) = ("file:///config", Schemas::new(), Compiler::new());
            compiler.add_resource(place, schema).unwrap();
            let index = compiler.compile(place, &mut schemas).unwrap();
            (schemas, index)
        });
        let (schemas, index) = &*SCHEMA;
        let document: Value = serde_saphyr::from_str(text).unwrap();
        schemas.validate(&document, *index).is_ok()
    }

    #[test]
    fn kubernetes_is_the_default() {
        let production = Config::default().production();
        assert_eq!(production.canonical_host.as_str(), "us-central1-docker.pkg.dev");
        assert_eq!(
            (production.path.as_str(), production.reference.as_str()),
            ("k8s-artifacts-prod/images", "registry.k8s.io")
        );
        assert_eq!(parse("{}").unwrap().production(), production);
        assert!(parse("production: { path: k8s-artifacts-prod/images }").unwrap().is_kubernetes());
        assert!(!parse("production: { reference: registry.example }").unwrap().is_kubernetes());
    }

    #[test]
    fn the_documented_example_is_a_configuration() {
        let reference = include_str!("../../../../docs/reference/configuration.md");
        let example = reference.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config = parse(example).unwrap();
        let settings = Config { certificate_authorities: Vec::new(), ..config }.settings().unwrap();
        let host = &settings.hosts["us-central1-docker.pkg.dev"];
        assert_eq!((host.concurrency, host.requests_per_second), (32, Some(83.0)));
    }

    #[test]
    fn the_documented_example_chooses_who_signs_and_whose_signatures_count() {
        let reference = include_str!("../../../../docs/reference/configuration.md");
        let example = reference.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config = parse(example).unwrap();
        assert_ne!(config.signing(), SigningArgs::default());
        assert_ne!(config.trust(), TrustArgs::default());
    }

    #[test]
    fn the_wait_for_an_answer_is_the_host_s_or_that_of_other_hosts_and_else_the_door_s_own() {
        let text = "hosts: { a.io: { answerSeconds: 900 }, b.io: {} }\notherHosts: { answerSeconds: 1 }";
        let settings = parse(text).unwrap().settings().unwrap();
        let answer = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(settings.hosts["a.io"].answer, answer(900));
        assert_eq!((settings.hosts["b.io"].answer, settings.other_hosts.answer), (answer(1), answer(1)));
        assert_eq!(Config::default().settings().unwrap().other_hosts.answer, None);
    }

    #[test]
    fn only_a_host_of_which_it_is_said_gets_conditional_writes() {
        let text =
            "hosts: { a.io: { conditionalWrites: true }, b.io: { conditionalWrites: false }, c.io: {} }";
        let options = parse(text).unwrap().options();
        let conditional = |host: &str| options[&host.parse().unwrap()].conditional_writes;
        assert_eq!(["a.io", "b.io", "c.io"].map(conditional), [true, false, false]);
    }

    #[test]
    fn authorities_stand_beside_the_file_and_one_without_a_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.yaml");
        fs::write(&file, "certificateAuthorities: [ca.pem]").unwrap();
        let settings = || Config::read(&file).unwrap().settings();
        let write = |pem: &str| fs::write(directory.path().join("ca.pem"), pem).unwrap();

        let error = settings().unwrap_err().to_string();
        assert!(
            error.contains("certificateAuthorities: ") && error.contains("ca.pem: cannot be read"),
            "{error}"
        );
        fs::create_dir(directory.path().join("ca.pem")).unwrap();
        assert!(settings().unwrap_err().to_string().contains("ca.pem: is a directory"));
        fs::remove_dir(directory.path().join("ca.pem")).unwrap();
        write(&"x".repeat(usize::try_from(FILE_MAX).unwrap() + 1));
        assert!(
            settings().unwrap_err().to_string().contains("ca.pem: has 1048577 bytes; the limit is 1048576")
        );
        write("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        assert!(settings().unwrap_err().to_string().contains("ca.pem: contains no PEM certificate"));
        write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let error = settings().unwrap_err().to_string();
        assert!(error.contains("ca.pem: certificate number 1 cannot be read as X.509: "), "{error}");
        let pem = include_str!("../../../transport/tests/line/certificates/authority.pem");
        write(pem);
        assert_eq!(settings().unwrap().authorities, Authorities::from_pem(pem.as_bytes()).unwrap());
    }

    #[test]
    fn an_empty_path_of_an_authority_is_refused() {
        let error = parse("certificateAuthorities: ['']").unwrap_err().to_string();
        assert!(error.contains("certificateAuthorities: an entry is empty"), "{error}");
    }

    #[test]
    fn files_of_signing_and_verification_stand_beside_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kpromo.yaml");
        let text =
            "signing: { config: s.json, identityToken: /run/token }\nverification: { trustedRoot: r.json }\n";
        fs::write(&file, text).unwrap();
        let config = Config::read(&file).unwrap();
        let beside = |name: &str| Some(directory.path().join(name));
        let trust = config.trust();
        assert_eq!((trust.signing_config, trust.trusted_root), (beside("s.json"), beside("r.json")));
        assert_eq!(config.signing().token, Some(TokenFile::File("/run/token".into())));
    }

    #[test]
    fn fields_without_a_value_are_not_set() {
        for text in [
            "hosts: { a.io: { concurrency: null, plainHttp: null } }",
            "signing: { key: null, account: a@b.c, identityToken: t }",
            "signing: { key: k, account: '' }",
            "verification: { identity: null, identityRegexp: b, issuer: i, tufMirror: null }",
            "verification: { key: k, tufMirror: 'https://x', tufRoot: r }",
            "otherHosts: { requestsPerSecond: 83, startBurst: 1.5, answerSeconds: 1 }",
            "hosts: { 'localhost:5000': {}, '[::1]:5000': {}, 'A.io': { tokenHosts: [b.io], absenceCodes: [] } }",
        ] {
            parse(text).unwrap();
        }
    }

    #[test]
    fn the_schema_knows_what_names_are() {
        fn names<T: std::str::FromStr>(of: &str, texts: &[&str]) {
            for text in texts {
                let document = format!("production: {{ {of}: '{text}' }}");
                assert_eq!(is_accepted_by_schema(&document), text.parse::<T>().is_ok(), "{text}");
            }
        }
        let hosts = ["a", "a.io", "A-b.io:1", "127.0.0.1:5000", "[::1]", "[::1]:80", "a.io:080"];
        names::<Host>("reference", &hosts);
        names::<Host>(
            "reference",
            &["", ".", "a.", "-a", "a-", "a_b", "a/b", "a:", "a:0", "a:b", "https://a", "[::1]a"],
        );
        let long = "a".repeat(256);
        let paths = ["a", "a/b", "a.b", "a_b", "a__b", "a---b", "0/1-2", &long[..255]];
        names::<RepositoryPath>("path", &paths);
        names::<RepositoryPath>(
            "path",
            &["", "/", "a/", "/a", "A", "a..b", "a___b", "a-", ".a", "a//b", "a b", &long],
        );
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
            ("signing: { acount: a@b.c }", "acount"),
            ("signing: { format: cosign }", "cosign"),
            ("signing: { maxOps: 0 }", "signing: `maxOps` must be from 1 to 1000"),
            ("signing: { key: '' }", "signing: `key` is empty"),
            ("signing: { key: k, identityToken: t }", "`key` and `identityToken` cannot be used together"),
            ("signing: { key: k, account: a@b.c }", "`key` and `account` cannot be used together"),
            ("verification: { identities: [] }", "identities"),
            (
                "verification: { identity: a, identityRegexp: b }",
                "`identity` and `identityRegexp` cannot be used together",
            ),
            ("verification: { key: k, issuer: i }", "`key` cannot be used with"),
            (
                "verification: { trustedRoot: r, tufMirror: m, tufRoot: t }",
                "`trustedRoot` cannot be used with",
            ),
            ("verification: { tufMirror: 'https://x' }", "`tufMirror` needs `tufRoot`"),
            ("otherHosts: { plainHttp: true }", "`plainHttp` can only be set for individual hosts"),
            (
                "otherHosts: { conditionalWrites: true }",
                "`conditionalWrites` can only be set for individual hosts",
            ),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
