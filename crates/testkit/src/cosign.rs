//! `cosign`, in the versions that users have.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::client::{attempt, isolated, output};
use crate::credential::DockerConfig;
use crate::sigstore::{Rekor, Sigstore};

/// How a signature is attached to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the image `sha256-<hex>.sig` (or `.att`) in the same repository. It knows Rekor v1 only.
    Tag,
    /// As a Sigstore bundle that refers to the image.
    Bundle,
    /// As cosign chooses without being told.
    Any,
}

/// A key pair of cosign's; the private key is encrypted. Its folder goes when this is dropped.
#[derive(Debug)]
pub struct KeyPair {
    folder: tempfile::TempDir,
}

impl KeyPair {
    /// What the private key is encrypted with.
    pub const PASSWORD: &'static str = "kpromo-test-password";

    /// The encrypted private key.
    pub fn private(&self) -> PathBuf {
        self.folder.path().join("cosign.key")
    }

    /// The public key, as PEM.
    pub fn public(&self) -> PathBuf {
        self.folder.path().join("cosign.pub")
    }
}

/// How something is signed: by whom, in which form, with which log.
#[derive(Clone, Debug)]
pub struct Signing<'a> {
    by: Signer<'a>,
    form: Form,
    rekor: Rekor,
    recursive: bool,
}

#[derive(Clone, Debug)]
enum Signer<'a> {
    Key(&'a KeyPair),
    Token(String),
}

impl<'a> Signing<'a> {
    /// By whom an identity token names, in a tag, with Rekor v1.
    pub fn keyless(token: String) -> Self {
        Self { by: Signer::Token(token), form: Form::Tag, rekor: Rekor::V1, recursive: false }
    }

    /// By a key, in a tag, with Rekor v1.
    pub fn by_key(keys: &'a KeyPair) -> Self {
        Self { by: Signer::Key(keys), form: Form::Tag, rekor: Rekor::V1, recursive: false }
    }

    /// The same as a bundle, with this log.
    #[must_use]
    pub fn bundle(self, rekor: Rekor) -> Self {
        Self { form: Form::Bundle, rekor, ..self }
    }

    /// The same for an index and all its images.
    #[must_use]
    pub fn recursive(self) -> Self {
        Self { recursive: true, ..self }
    }
}

/// Whose signature is looked for, and in which form.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    by: By<'a>,
    form: Form,
}

#[derive(Clone, Debug)]
enum By<'a> {
    Key(PathBuf),
    Identity { identity: &'a str, issuer: &'a str },
}

impl<'a> Expected<'a> {
    /// One of this identity (an e-mail address, a URI) by this issuer, in a tag.
    pub fn identity(identity: &'a str, issuer: &'a str) -> Self {
        Self { by: By::Identity { identity, issuer }, form: Form::Tag }
    }

    /// One of the key whose public half is this PEM file, in a tag.
    pub fn key(public: &Path) -> Self {
        Self { by: By::Key(public.to_owned()), form: Form::Tag }
    }

    /// The same as a bundle.
    #[must_use]
    pub fn bundle(self) -> Self {
        Self { form: Form::Bundle, ..self }
    }

    /// The same in whichever form cosign looks for without being told: without its flags about forms.
    #[must_use]
    pub fn any_form(self) -> Self {
        Self { form: Form::Any, ..self }
    }

    fn words(&self) -> Vec<OsString> {
        match &self.by {
            By::Key(public) => vec!["--key".into(), public.into()],
            By::Identity { identity, issuer } => {
                ["--certificate-identity", identity, "--certificate-oidc-issuer", issuer]
                    .map(OsString::from)
                    .into()
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Two,
    Three,
}

/// Runs `cosign` against a [`Sigstore`] of ours, which it is told to trust, and registries on loopback.
///
/// References are texts: `127.0.0.1:5000/team/app@sha256:…`. What writes panics when cosign fails; what verifies says what
/// cosign printed, or why it refused.
#[derive(Clone, Copy, Debug)]
pub struct Cosign<'a> {
    version: Version,
    sigstore: &'a Sigstore,
    config: &'a DockerConfig,
}

impl<'a> Cosign<'a> {
    /// Version 2, to which tags come naturally.
    pub fn v2(sigstore: &'a Sigstore, config: &'a DockerConfig) -> Self {
        Self { version: Version::Two, sigstore, config }
    }

    /// Version 3, to which bundles come naturally.
    pub fn v3(sigstore: &'a Sigstore, config: &'a DockerConfig) -> Self {
        Self { version: Version::Three, sigstore, config }
    }

    /// A new key pair.
    pub fn generate_key_pair(&self) -> KeyPair {
        let folder = tempfile::tempdir().expect("a temporary folder for keys");
        let mut command = self.command();
        command.arg("generate-key-pair").current_dir(folder.path());
        output(command);
        KeyPair { folder }
    }

    /// Signs an image.
    pub fn sign(&self, reference: &str, signing: &Signing<'_>) {
        let recursive = signing.recursive.then_some("--recursive");
        self.write("sign", recursive.into_iter().map(OsString::from), signing, reference);
    }

    /// Signs a statement about an image: a predicate of this type, a URI or one of the names that cosign has for some.
    pub fn attest(&self, reference: &str, predicate_type: &str, predicate: &Value, signing: &Signing<'_>) {
        let folder = tempfile::tempdir().expect("a temporary folder for a predicate");
        let file = folder.path().join("predicate.json");
        fs::write(&file, predicate.to_string()).expect("the predicate can be written");
        let words = ["--type".into(), predicate_type.into(), "--predicate".into(), file.into_os_string()];
        self.write("attest", words, signing, reference);
    }

    /// Verifies an image's signatures. Gives what those say that were accepted: a JSON array of payloads.
    ///
    /// # Errors
    /// What cosign complained of, when it accepts none.
    pub fn verify(&self, reference: &str, expected: &Expected<'_>) -> Result<String, String> {
        self.judge("verify", [], reference, expected)
    }

    /// Verifies the statements about an image that have a predicate of this type. Gives those that were accepted: DSSE
    /// envelopes, a line each.
    ///
    /// # Errors
    /// What cosign complained of, when it accepts none.
    pub fn verify_attestation(
        &self,
        reference: &str,
        predicate_type: &str,
        expected: &Expected<'_>,
    ) -> Result<String, String> {
        self.judge("verify-attestation", ["--type", predicate_type], reference, expected)
    }

    /// Runs any other subcommand, which is told nothing of the Sigstore.
    ///
    /// # Errors
    /// What cosign complained of, when it fails.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<String, String> {
        let mut command = self.command();
        command.args(arguments);
        printed(command)
    }

    fn command(&self) -> Command {
        let program = match self.version {
            Version::Two => "cosign2",
            Version::Three => "cosign",
        };
        let mut command = isolated(program, self.config);
        let sigstore = self.sigstore;
        command
            .env("COSIGN_PASSWORD", KeyPair::PASSWORD)
            // Without it cosign asks the public instance whom to trust.
            .env("SIGSTORE_NO_CACHE", "true")
            .env("SIGSTORE_ROOT_FILE", sigstore.certificate_authority())
            .env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", sigstore.certificate_log_key())
            .env("SIGSTORE_REKOR_PUBLIC_KEY", sigstore.rekor_key(Rekor::V1));
        command
    }

    fn write(
        &self,
        subcommand: &str,
        words: impl IntoIterator<Item = OsString>,
        signing: &Signing<'_>,
        reference: &str,
    ) {
        let mut command = self.command();
        command.args([subcommand, "--yes", "--allow-http-registry", "--allow-insecure-registry"]).args(words);
        // In a file: a token among the arguments would be shown by whatever goes wrong.
        let folder = tempfile::tempdir().expect("a temporary folder for a token");
        match &signing.by {
            Signer::Key(keys) => command.arg("--key").arg(keys.private()),
            Signer::Token(token) => {
                let file = folder.path().join("token");
                fs::write(&file, token).expect("the token can be written");
                command.arg("--identity-token").arg(file)
            }
        };
        self.places(&mut command, signing);
        command.arg(reference);
        output(command);
    }

    /// Says where to sign.
    fn places(&self, command: &mut Command, signing: &Signing<'_>) {
        let sigstore = self.sigstore;
        match signing.form {
            Form::Bundle => {
                command.arg("--new-bundle-format=true").arg("--trusted-root").arg(sigstore.trusted_root());
                command.arg("--signing-config").arg(sigstore.signing_config(signing.rekor));
            }
            Form::Tag | Form::Any => {
                command.args(["--new-bundle-format=false", "--use-signing-config=false"]);
                command.args(["--rekor-url", sigstore.rekor(Rekor::V1), "--fulcio-url", sigstore.fulcio()]);
            }
        }
    }

    fn judge<'w>(
        &self,
        subcommand: &str,
        words: impl IntoIterator<Item = &'w str>,
        reference: &str,
        expected: &Expected<'_>,
    ) -> Result<String, String> {
        let mut command = self.command();
        command.args([subcommand, "--allow-http-registry", "--allow-insecure-registry"]).args(words);
        command.args(expected.words());
        command.args(match expected.form {
            Form::Bundle => &["--new-bundle-format=true", "--use-signed-timestamps"][..],
            Form::Tag => &["--new-bundle-format=false"],
            Form::Any => &[],
        });
        // Of tags version 2 believes the files that the environment names, and refuses to be told otherwise.
        if (self.version, expected.form) != (Version::Two, Form::Tag) {
            command.arg("--trusted-root").arg(self.sigstore.trusted_root());
        }
        command.arg(reference);
        printed(command)
    }
}

fn printed(command: Command) -> Result<String, String> {
    attempt(command).map(|bytes| String::from_utf8(bytes).expect("cosign prints UTF-8"))
}
