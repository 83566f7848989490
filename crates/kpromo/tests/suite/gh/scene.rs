//! A server of releases, and a directory for a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::{GitHub, GitHubAsset, GitHubRelease, GitHubRequest};

use crate::files::stores::{command, content, sha256};
use crate::support::{Desk, Ran, run};

pub(crate) const TOKEN: &str = "ghp_a-token-of-tests-0123456789";

/// Returns an asset with content of this size, whose digest GitHub knows.
pub(crate) fn asset(id: u64, name: &str, size: usize) -> GitHubAsset {
    let content = content(size, u32::try_from(id).unwrap());
    let digest = Some(format!("sha256:{}", sha256(&content)));
    let content_type = "application/octet-stream".to_owned();
    GitHubAsset { id, name: name.to_owned(), content, digest, content_type, ..GitHubAsset::default() }
}

/// Returns an asset whose digest GitHub does not know.
pub(crate) fn old_asset(id: u64, name: &str, size: usize) -> GitHubAsset {
    GitHubAsset { digest: None, ..asset(id, name, size) }
}

pub(crate) fn release(tag: &str, assets: Vec<GitHubAsset>) -> GitHubRelease {
    GitHubRelease { tag: tag.to_owned(), assets, ..GitHubRelease::default() }
}

pub(crate) struct Scene {
    pub(crate) github: GitHub,
    pub(crate) desk: Desk,
}

impl Scene {
    /// Starts a server with these releases of `acme/tool`, and makes the directory `bucket`.
    pub(crate) fn new(releases: Vec<GitHubRelease>) -> Self {
        let (github, desk) = (GitHub::start(TOKEN), Desk::new());
        github.repository("acme/tool", false, releases);
        fs::create_dir(desk.path("bucket")).unwrap();
        Self { github, desk }
    }

    /// The URL of the directory `bucket`.
    pub(crate) fn bucket(&self) -> String {
        format!("file://{}", self.desk.path("bucket").display())
    }

    /// Returns `kpromo gh` with flags, and with stores at these hosts.
    pub(crate) fn command_at(&self, api: &str, gcs: &str, s3: &str, flags: &[&str]) -> Command {
        let mut command = command(gcs, s3);
        command.current_dir(self.desk.path("."));
        command.arg("gh").args(flags).args(["--api-url", api]);
        command
    }

    /// Returns `kpromo gh` for `acme/tool` and the directory `bucket`.
    pub(crate) fn command(&self, api: &str, flags: &[&str]) -> Command {
        let bucket = self.bucket();
        let whole =
            ["--org", "acme", "--repo", "tool", "--bucket", &bucket].into_iter().chain(flags.iter().copied());
        self.command_at(api, "127.0.0.1:1", "127.0.0.1:1", &whole.collect::<Vec<_>>())
    }

    pub(crate) fn run(&self, flags: &[&str]) -> Ran {
        run(self.command(&self.github.api_url(), flags))
    }

    /// Returns the files of the directory `bucket`.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.desk.path("bucket"))
    }

    /// Returns the requests to the API, each as its path below the repository and the status.
    pub(crate) fn api_requests(&self) -> Vec<String> {
        let requests = self.github.requests().into_iter().filter(|request| request.is_api);
        requests
            .map(|GitHubRequest { path, status, .. }| {
                format!("{} {status}", path.trim_start_matches("/api/repos/"))
            })
            .collect()
    }

    /// Returns the number of requests for the content of assets.
    pub(crate) fn reads(&self) -> usize {
        self.github.requests().iter().filter(|request| !request.is_api).count()
    }
}

/// Returns the files of a directory by their names below it.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(directory: &Path, name: &str, all: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let last = entry.file_name().into_string().unwrap();
            let name = if name.is_empty() { last } else { format!("{name}/{last}") };
            if entry.path().is_dir() {
                collect(&entry.path(), &name, all);
            } else {
                all.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(directory, "", &mut all);
    all
}

/// Returns what a bucket is to have of releases below a directory.
pub(crate) fn expected(directory: &str, releases: &[GitHubRelease]) -> BTreeMap<String, Vec<u8>> {
    let each = releases.iter().flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
    each.map(|(release, asset)| {
        (format!("{directory}/{}/{}", release.tag, asset.name), asset.content.clone())
    })
    .collect()
}
