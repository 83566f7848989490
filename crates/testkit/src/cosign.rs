//! `cosign`, in the versions in use.

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
    /// As the image `sha256-<hex>.sig` (or `.att`) in the same repository. This form supports only Rekor v1.
    Tag,
    /// As a Sigstore bundle that refers to the image.
    Bundle,
    /// In the form that cosign chooses by default.
    Any,
}

/// A key pair of cosign with an encrypted private key. Its directory is removed when it is dropped.
#[derive(Debug)]
pub struct KeyPair {
    directory: tempfile::TempDir,
}

impl KeyPair {
    /// The password of the private key.
    pub const PASSWORD: &'static str = "kpromo-test-password";

    /// Returns the path of the encrypted private key.
    pub fn private(&self) -> PathBuf {
        self.directory.path().join("cosign.key")
    }

    /// Returns the path of the public key, a PEM file.
    pub fn public(&self) -> PathBuf {
        self.directory.path().join("cosign.pub")
    }
}

/// The signer, the form and the transparency log of a signature.
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
    /// Signs as the identity in a token, in a tag, with Rekor v1.
    pub fn keyless(token: String) -> Self {
        Self { by: Signer::Token(token), form: Form::Tag, rekor: Rekor::V1, recursive: false }
    }

    /// Signs with a key, in a tag, with Rekor v1.
    pub fn by_key(keys: &'a KeyPair) -> Self {
        Self { by: Signer::Key(keys), form: Form::Tag, rekor: Rekor::V1, recursive: false }
    }

    /// Signs in a bundle, with this log.
    #[must_use]
    pub fn bundle(self, rekor: Rekor) -> Self {
        Self { form: Form::Bundle, rekor, ..self }
    }

    /// Signs an index and all its images.
    #[must_use]
    pub fn recursive(self) -> Self {
        Self { recursive: true, ..self }
    }
}

/// The expected signer and form of a signature.
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
    /// Expects a signature in a tag by this identity (an e-mail address or a URI) of this issuer.
    pub fn identity(identity: &'a str, issuer: &'a str) -> Self {
        Self { by: By::Identity { identity, issuer }, form: Form::Tag }
    }

    /// Expects a signature in a tag by the key whose public half is this PEM file.
    pub fn key(public: &Path) -> Self {
        Self { by: By::Key(public.to_owned()), form: Form::Tag }
    }

    /// Expects a bundle.
    #[must_use]
    pub fn bundle(self) -> Self {
        Self { form: Form::Bundle, ..self }
    }

    /// Expects any form that cosign finds by default, without its flags for forms.
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

/// Runs `cosign` with the [`Sigstore`] of the tests, which it trusts, and registries on loopback.
///
/// References are strings: `127.0.0.1:5000/team/app@sha256:…`. Methods that write panic if cosign fails. Methods that verify
/// return cosign's output, or its error output as the error.
#[derive(Clone, Copy, Debug)]
pub struct Cosign<'a> {
    version: Version,
    sigstore: &'a Sigstore,
    config: &'a DockerConfig,
}

impl<'a> Cosign<'a> {
    /// Returns cosign version 2, whose default form is tags.
    pub fn v2(sigstore: &'a Sigstore, config: &'a DockerConfig) -> Self {
        Self { version: Version::Two, sigstore, config }
    }

    /// Returns cosign version 3, whose default form is bundles.
    pub fn v3(sigstore: &'a Sigstore, config: &'a DockerConfig) -> Self {
        Self { version: Version::Three, sigstore, config }
    }

    /// Generates a key pair.
    pub fn generate_key_pair(&self) -> KeyPair {
        let directory = tempfile::tempdir().expect("a temporary directory for keys");
        let mut command = self.command();
        command.arg("generate-key-pair").current_dir(directory.path());
        output(command);
        KeyPair { directory }
    }

    /// Signs an image.
    pub fn sign(&self, reference: &str, signing: &Signing<'_>) {
        let recursive = signing.recursive.then_some("--recursive");
        self.write("sign", recursive.into_iter().map(OsString::from), signing, reference);
    }

    /// Signs a statement about an image. The predicate type is a URI or one of cosign's names.
    pub fn attest(&self, reference: &str, predicate_type: &str, predicate: &Value, signing: &Signing<'_>) {
        let directory = tempfile::tempdir().expect("a temporary directory for a predicate");
        let file = directory.path().join("predicate.json");
        fs::write(&file, predicate.to_string()).expect("the predicate can be written");
        let words = ["--type".into(), predicate_type.into(), "--predicate".into(), file.into_os_string()];
        self.write("attest", words, signing, reference);
    }

    /// Verifies the signatures of an image. Returns the payloads of the accepted signatures as a JSON array.
    ///
    /// # Errors
    /// The error output of cosign, if it accepts no signature.
    pub fn verify(&self, reference: &str, expected: &Expected<'_>) -> Result<String, String> {
        self.run_verification("verify", [], reference, expected)
    }

    /// Verifies the statements about an image that have a predicate of this type. Returns the DSSE envelopes of the accepted
    /// statements, one a line.
    ///
    /// # Errors
    /// The error output of cosign, if it accepts no statement.
    pub fn verify_attestation(
        &self,
        reference: &str,
        predicate_type: &str,
        expected: &Expected<'_>,
    ) -> Result<String, String> {
        self.run_verification("verify-attestation", ["--type", predicate_type], reference, expected)
    }

    /// Runs any other subcommand, without arguments for the Sigstore.
    ///
    /// # Errors
    /// The error output of cosign, if it fails.
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
            // Without this, cosign gets its trust root from the public instance.
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
        // The token is passed in a file, because error messages show the arguments.
        let directory = tempfile::tempdir().expect("a temporary directory for a token");
        match &signing.by {
            Signer::Key(keys) => command.arg("--key").arg(keys.private()),
            Signer::Token(token) => {
                let file = directory.path().join("token");
                fs::write(&file, token).expect("the token can be written");
                command.arg("--identity-token").arg(file)
            }
        };
        self.add_services(&mut command, signing);
        command.arg(reference);
        output(command);
    }

    /// Adds the arguments that select the form and the services.
    fn add_services(&self, command: &mut Command, signing: &Signing<'_>) {
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

    fn run_verification<'w>(
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
        // For tags, version 2 trusts the files named in the environment, and it does not accept another trust root.
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
