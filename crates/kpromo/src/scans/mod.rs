//! Creates the vulnerability gate from flags, the policy file and report files. Errors in these are reported before the first
//! request.

mod files;
mod policy;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::{reports, statements};
use jiff::Timestamp;
use policy::PolicyFile;
use sigstore::AccessTokens;
use trust::Verification;
use trust::scan::{
    AttestedReports, CONTAINER_ANALYSIS, ContainerAnalysis, ReportFiles, ScanGate, ScanPolicy, ScanSource,
    ScannedHosts, Scanner,
};

use crate::args::VulnArgs;
use crate::config::InvalidConfig;
use crate::connect::Connection;
use crate::named_files::Content;

/// The vulnerability gate of a run.
pub(crate) struct Scans {
    /// The gate.
    pub(crate) gate: ScanGate,
    /// The report files, to list at the end those that matched no image.
    files: Vec<Arc<ReportFiles>>,
    /// The files and directories that the policy file names, each with its field.
    named: Vec<(&'static str, PathBuf)>,
    /// Whether all images of the manifests are scanned, and not only those that lack something.
    is_all: bool,
}

impl Scans {
    /// Returns the files and directories that the policy file names, with the names of its fields.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (String, PathBuf, Content)> {
        let named = self.named.iter();
        named.map(|(field, path)| (format!("`{field}` of --vuln-policy"), path.clone(), Content::ScanReports))
    }

    /// Logs the reports that matched none of the scanned images.
    pub(crate) fn tell_unused(&self) {
        let unused: Vec<&str> = self.files.iter().flat_map(|files| files.unused()).collect();
        if let [first, rest @ ..] = &unused[..] {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            let what = "the report is about none of the images that were scanned";
            // A promotion scans only images that lack something, and a directory may have the reports of all.
            match self.is_all {
                true => tracing::warn!("{first}{more}: {what}"),
                false => tracing::debug!("{first}{more}: {what}"),
            }
        }
    }
}

/// A source, as flags and the policy file name it.
enum Source {
    Google,
    Attestations,
    Service(String),
    Path(PathBuf),
}

impl Source {
    /// Parses a source. `directory` is the base of relative paths.
    fn of(text: &str, directory: &Path) -> Self {
        match text {
            "google" => Self::Google,
            "attestations" => Self::Attestations,
            url if url.starts_with("https://") || url.starts_with("http://") => Self::Service(url.to_owned()),
            path => Self::Path(directory.join(path)),
        }
    }

    /// Returns the file or directory of the source, if it is one.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Google | Self::Attestations | Self::Service(_) => None,
        }
    }
}

/// Returns the vulnerability gate, if there is one.
///
/// # Errors
/// Returns an error if a file cannot be read or used, or if a source is invalid.
pub(crate) fn scans(
    args: &VulnArgs,
    verification: &Verification,
    connection: &Connection,
) -> Result<Option<Scans>, InvalidConfig> {
    let file = args.policy.as_deref().map(PolicyFile::read).transpose()?;
    let threshold = match (args.only_scan, &file) {
        (Some(threshold), _) => threshold,
        (None, Some(file)) => file.threshold(),
        (None, None) => return Ok(None),
    };
    let mut policy = ScanPolicy::new(threshold);
    let (mut sources, mut named) = (Vec::new(), Vec::new());
    if let (Some(file), Some(path)) = (file, args.policy.as_deref()) {
        let directory = path.parent().unwrap_or(Path::new("."));
        sources = file.sources().iter().map(|text| Source::of(text, directory)).collect();
        for name in file.vex() {
            let path = directory.join(name);
            policy.vex.extend(statements(&path)?);
            named.push(("vex", path));
        }
        policy = file.into_policy(policy);
        for rule in policy.expired(Timestamp::now()) {
            let (id, expires) = (rule.id(), rule.expires());
            tracing::warn!(
                "{}: the rule that ignores {id} expired at {expires} and no longer applies",
                path.display()
            );
        }
    }
    policy.counts_unfixed |= args.counts_unfixed;
    policy.allows_unscanned |= args.allows_unscanned;
    // Also those that --vuln-source replaces in this run: the next run may read them.
    named.extend(sources.iter().filter_map(Source::path).map(|path| ("sources", path.to_owned())));
    if !args.sources.is_empty() {
        sources = args.sources.iter().map(|text| Source::of(text, Path::new(""))).collect();
    }
    let mut made = Made { policy, verification, connection, sources: Vec::new(), files: Vec::new() };
    if sources.is_empty() {
        made.add(&Source::Google, ScannedHosts::Google)?;
        made.add(&Source::Attestations, ScannedHosts::NotGoogle)?;
    }
    sources.iter().try_for_each(|source| made.add(source, ScannedHosts::All))?;
    let (gate, is_all) = (ScanGate::new(made.policy, made.sources), args.only_scan.is_some());
    Ok(Some(Scans { gate, files: made.files, named, is_all }))
}

/// The scanners.
struct Made<'a> {
    policy: ScanPolicy,
    verification: &'a Verification,
    connection: &'a Connection,
    sources: Vec<ScanSource>,
    files: Vec<Arc<ReportFiles>>,
}

impl Made<'_> {
    fn add(&mut self, source: &Source, hosts: ScannedHosts) -> Result<(), InvalidConfig> {
        let scanner: Arc<dyn Scanner> = match source {
            Source::Google => Arc::new(self.service(CONTAINER_ANALYSIS)?),
            Source::Service(url) => Arc::new(self.service(url)?),
            Source::Attestations => {
                let (signers, max_age) = (&self.policy.signers, self.policy.attested_max_age());
                Arc::new(AttestedReports::new(signers, self.verification, max_age))
            }
            Source::Path(path) => {
                let files = Arc::new(reports(path, self.policy.max_age)?);
                self.files.push(Arc::clone(&files));
                files
            }
        };
        self.sources.push(ScanSource { hosts, scanner });
        Ok(())
    }

    fn service(&self, url: &str) -> Result<ContainerAnalysis, InvalidConfig> {
        // Other services do not need Google tokens, and searching for them may take a while.
        let host = url::Url::parse(url).ok().and_then(|url| Some(url.host_str()?.to_owned()));
        let is_google = host.is_some_and(|host| host.ends_with(".googleapis.com"));
        let tokens: Arc<dyn AccessTokens> = self.connection.keychain.clone();
        ContainerAnalysis::new(self.connection.door.clone(), url, is_google.then_some(tokens))
            .map(|service| service.with_max_age(self.policy.max_age))
            .map_err(|error| InvalidConfig::flag(url, error.to_string()))
    }
}
