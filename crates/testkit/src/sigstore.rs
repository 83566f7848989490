//! The Sigstore that `cargo xtask test` starts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::issuer::Issuer;
use crate::loopback;
use crate::token::TokenRequest;
use crate::tool::variable;

/// A transparency log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rekor {
    /// Rekor v1. It responds to a new entry when the log has it, and the response includes an inclusion promise.
    V1,
    /// Rekor v2. It responds to a new entry when a checkpoint includes it. The log of the tests makes one every 200 ms.
    V2,
}

/// A running Sigstore: Fulcio, a certificate transparency log, Rekor v1 and v2, a timestamp authority, and issuers of
/// identity tokens.
///
/// All tests of a run share it, so an entry in a log may be from another test. Each run has new keys.
#[derive(Debug)]
pub struct Sigstore {
    directory: PathBuf,
    urls: BTreeMap<String, String>,
}

impl Sigstore {
    /// Returns the Sigstore of this run.
    ///
    /// # Panics
    /// If `KPROMO_TEST_SIGSTORE` does not name the directory of a Sigstore.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Sigstore> = OnceLock::new();
        SHARED.get_or_init(|| {
            let directory = variable("KPROMO_TEST_SIGSTORE").map(PathBuf::from).expect(
                "KPROMO_TEST_SIGSTORE must name the directory of a running Sigstore: run this test with `cargo xtask test`, \
                 which starts one, or start one with `cargo xtask sigstore`",
            );
            Self::of(&directory)
        })
    }

    fn of(directory: &Path) -> Self {
        let file = directory.join("urls");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("reading {}: {error}. Is the Sigstore of this directory still running?", file.display())
        });
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let urls = lines.map(|(name, url)| (name.to_owned(), url.to_owned())).collect();
        Self { directory: directory.to_owned(), urls }
    }

    /// Returns the directory with all files of the Sigstore. Besides the files that methods here return, it has `NAME.key` and
    /// `NAME.pub` of `ca`, `ct`, `rekor1` and `rekor2` (`ca.plain` and `ct.plain` are not encrypted), and logs in `log`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the path of the `trusted_root.json` that trusts only this Sigstore.
    pub fn trusted_root(&self) -> PathBuf {
        self.directory.join("trusted_root.json")
    }

    /// Returns the path of the `signing_config.json` for this Sigstore with this log. It always requires a timestamp.
    pub fn signing_config(&self, rekor: Rekor) -> PathBuf {
        self.directory.join(match rekor {
            Rekor::V1 => "signing_config.rekor1.json",
            Rekor::V2 => "signing_config.rekor2.json",
        })
    }

    /// Returns the path of the certificate of Fulcio's certificate authority, a PEM file.
    pub fn certificate_authority(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Returns the path of the public key of the certificate transparency log, a PEM file.
    pub fn certificate_log_key(&self) -> PathBuf {
        self.directory.join("ct.pub")
    }

    /// Returns the path of the public key of a transparency log, a PEM file: P-256 for v1, Ed25519 for v2.
    pub fn rekor_key(&self, rekor: Rekor) -> PathBuf {
        self.directory.join(match rekor {
            Rekor::V1 => "rekor1.pub",
            Rekor::V2 => "rekor2.pub",
        })
    }

    /// Returns the URL of Fulcio.
    pub fn fulcio(&self) -> &str {
        self.url("fulcio")
    }

    /// Returns the URL of a transparency log.
    pub fn rekor(&self, rekor: Rekor) -> &str {
        self.url(match rekor {
            Rekor::V1 => "rekor1",
            Rekor::V2 => "rekor2",
        })
    }

    /// Returns the URL of the timestamp authority, including its path.
    pub fn timestamps(&self) -> &str {
        self.url("timestamps")
    }

    /// Returns the URL of an issuer, as it is in certificates.
    ///
    /// Below it are also the token endpoints for machines: `/github` as `ACTIONS_ID_TOKEN_REQUEST_URL` (with the request
    /// token `kpromo-test`; parameters besides `audience` become claims), `/computeMetadata/v1/…` as Google's metadata
    /// server (account `default@kpromo.test`, access token `kpromo-test`) and
    /// `/v1/projects/-/serviceAccounts/{email}:generateIdToken` as IAM Credentials.
    pub fn issuer(&self, issuer: Issuer) -> &str {
        self.url(match issuer {
            Issuer::Usual => "issuer",
            Issuer::Other => "issuer.other",
            Issuer::Workload => "issuer.workload",
            Issuer::Workflow => "issuer.workflow",
            Issuer::Stranger => "issuer.stranger",
        })
    }

    fn url(&self, name: &str) -> &str {
        self.urls.get(name).unwrap_or_else(|| panic!("{}/urls lacks {name}", self.directory.display()))
    }

    /// Requests an identity token with a verified e-mail address.
    ///
    /// # Panics
    /// If the issuer does not respond.
    pub fn token(&self, email: &str) -> String {
        self.token_of(&TokenRequest::email(email))
    }

    /// Requests an identity token with the given content.
    ///
    /// # Panics
    /// If the issuer does not respond.
    pub fn token_of(&self, request: &TokenRequest) -> String {
        let url = format!("{}/token?{}", self.issuer(request.issuer()), request.query());
        String::from_utf8(loopback::get(&url)).expect("tokens are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_the_parts_are_read_from_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("urls"), "fulcio http://127.0.0.1:1\nrekor2 http://127.0.0.1:2\n")
            .unwrap();
        let sigstore = Sigstore::of(directory.path());
        assert_eq!(sigstore.fulcio(), "http://127.0.0.1:1");
        assert_eq!(sigstore.rekor(Rekor::V2), "http://127.0.0.1:2");
    }

    #[test]
    #[should_panic(expected = "Is the Sigstore of this directory still running?")]
    fn a_missing_directory_is_reported() {
        Sigstore::of(Path::new("/no/such/directory"));
    }
}
