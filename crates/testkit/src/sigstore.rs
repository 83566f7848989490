//! The Sigstore that `cargo xtask test` has started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::issuer::Issuer;
use crate::loopback;
use crate::token::TokenRequest;
use crate::tool::variable;

/// Which transparency log is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rekor {
    /// Rekor v1: an entry is in the log, and promised to be, when it is answered.
    V1,
    /// Rekor v2: an entry is answered when a checkpoint has it, which the tests' log makes every 200 ms.
    V2,
}

/// A running Sigstore: Fulcio, a certificate transparency log, Rekor v1 and v2, a timestamp authority, issuers of identity
/// tokens.
///
/// There is one for all tests of a run, so what a test finds in a log may be another test's. Its keys are those of the
/// run.
#[derive(Debug)]
pub struct Sigstore {
    folder: PathBuf,
    urls: BTreeMap<String, String>,
}

impl Sigstore {
    /// The Sigstore of this run.
    ///
    /// # Panics
    /// When `KPROMO_TEST_SIGSTORE` does not name the folder of one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Sigstore> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder = variable("KPROMO_TEST_SIGSTORE").map(PathBuf::from).expect(
                "KPROMO_TEST_SIGSTORE names the folder of a running Sigstore: run this test by `cargo xtask test`, which \
                 starts one, or start one by `cargo xtask sigstore`",
            );
            Self::of(&folder)
        })
    }

    fn of(folder: &Path) -> Self {
        let file = folder.join("urls");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("reading {}: {error}. Does the Sigstore still run whose folder this is?", file.display())
        });
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let urls = lines.map(|(name, url)| (name.to_owned(), url.to_owned())).collect();
        Self { folder: folder.to_owned(), urls }
    }

    /// The folder with everything of it: besides what methods here name, `NAME.key` and `NAME.pub` of `ca`, `ct`, `rekor1`
    /// and `rekor2` (`ca.plain` and `ct.plain` are not encrypted), and the parts' logs in `log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The `trusted_root.json` that trusts it, and nobody else.
    pub fn trusted_root(&self) -> PathBuf {
        self.folder.join("trusted_root.json")
    }

    /// The `signing_config.json` that says to sign here, with this log, a timestamp always.
    pub fn signing_config(&self, rekor: Rekor) -> PathBuf {
        self.folder.join(match rekor {
            Rekor::V1 => "signing_config.rekor1.json",
            Rekor::V2 => "signing_config.rekor2.json",
        })
    }

    /// The certificate of Fulcio's authority, as PEM.
    pub fn certificate_authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The public key of the certificate transparency log, as PEM.
    pub fn certificate_log_key(&self) -> PathBuf {
        self.folder.join("ct.pub")
    }

    /// The public key of a transparency log, as PEM: P-256 of v1, Ed25519 of v2.
    pub fn rekor_key(&self, rekor: Rekor) -> PathBuf {
        self.folder.join(match rekor {
            Rekor::V1 => "rekor1.pub",
            Rekor::V2 => "rekor2.pub",
        })
    }

    /// Where Fulcio is.
    pub fn fulcio(&self) -> &str {
        self.url("fulcio")
    }

    /// Where a transparency log is.
    pub fn rekor(&self, rekor: Rekor) -> &str {
        self.url(match rekor {
            Rekor::V1 => "rekor1",
            Rekor::V2 => "rekor2",
        })
    }

    /// Where the timestamp authority is, path and all.
    pub fn timestamps(&self) -> &str {
        self.url("timestamps")
    }

    /// An issuer's URL, which is what certificates name.
    ///
    /// Below it are also what machines get their tokens from: `/github` as `ACTIONS_ID_TOKEN_REQUEST_URL` (with the request
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
        self.urls.get(name).unwrap_or_else(|| panic!("{}/urls lacks {name}", self.folder.display()))
    }

    /// An identity token for the holder of a verified e-mail address.
    ///
    /// # Panics
    /// When the issuer does not answer.
    pub fn token(&self, email: &str) -> String {
        self.token_of(&TokenRequest::email(email))
    }

    /// An identity token that says what is asked for.
    ///
    /// # Panics
    /// When the issuer does not answer.
    pub fn token_of(&self, request: &TokenRequest) -> String {
        let url = format!("{}/token?{}", self.issuer(request.issuer()), request.query());
        String::from_utf8(loopback::get(&url)).expect("tokens are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_where_its_parts_are() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("urls"), "fulcio http://127.0.0.1:1\nrekor2 http://127.0.0.1:2\n")
            .unwrap();
        let sigstore = Sigstore::of(folder.path());
        assert_eq!(sigstore.fulcio(), "http://127.0.0.1:1");
        assert_eq!(sigstore.rekor(Rekor::V2), "http://127.0.0.1:2");
    }

    #[test]
    #[should_panic(expected = "Does the Sigstore still run")]
    fn a_folder_that_is_gone_is_named() {
        Sigstore::of(Path::new("/no/such/folder"));
    }
}
