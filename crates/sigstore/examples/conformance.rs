//! The client of sigstore-conformance (`docs/cli_protocol.md` there): signs and verifies bundles of files.
//!
//! ```console
//! $ cargo run --package sigstore --example conformance -- sign-bundle [--staging] [--in-toto] --identity-token TOKEN \
//!       --bundle FILE [--trusted-root FILE] [--signing-config FILE] FILE
//! $ cargo run --package sigstore --example conformance -- verify-bundle [--staging] --bundle FILE \
//!       (--certificate-identity IDENTITY --certificate-oidc-issuer URL | --key FILE) [--trusted-root FILE] FILE_OR_DIGEST
//! ```
//!
//! It prints nothing on success. On failure, it prints the error and exits with status 1.

#![expect(clippy::print_stderr, reason = "a command-line program reports errors on standard error")]

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use manifest::policy::{Pattern, SignerPattern};
use sigstore::{
    Form, Identity, Signatory, Signer, Sources, Statement, Trust, TrustSettings, VerificationKey, Verifier,
};
use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_SIGNING_CONFIG, SIGSTORE_STAGING_TRUSTED_ROOT,
};
use transport::{Door, Secret, Settings};

type Outcome<T> = Result<T, Box<dyn Error>>;

const FLAGS: [&str; 2] = ["--staging", "--in-toto"];
const OPTIONS: [&str; 7] = [
    "--bundle",
    "--certificate-identity",
    "--certificate-oidc-issuer",
    "--identity-token",
    "--key",
    "--signing-config",
    "--trusted-root",
];

/// The arguments after the subcommand.
struct Arguments {
    options: HashMap<String, String>,
    artifact: String,
}

impl Arguments {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Outcome<Self> {
        let (mut options, mut artifacts) = (HashMap::new(), Vec::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if FLAGS.contains(&argument.as_str()) {
                options.insert(argument, String::new());
            } else if OPTIONS.contains(&argument.as_str()) {
                let value = arguments.next().ok_or_else(|| format!("{argument} wants a value"))?;
                options.insert(argument, value);
            } else if argument.starts_with("--") {
                return Err(format!("{argument} is not known").into());
            } else {
                artifacts.push(argument);
            }
        }
        let number = artifacts.len();
        match artifacts.pop() {
            Some(artifact) if number == 1 => Ok(Self { options, artifact }),
            _ => Err(format!("{number} artifacts where one is wanted").into()),
        }
    }

    fn has(&self, flag: &str) -> bool {
        self.options.contains_key(flag)
    }

    fn value(&self, option: &str) -> Outcome<&str> {
        self.options.get(option).map(String::as_str).ok_or_else(|| format!("{option} is missing").into())
    }

    /// Reads the file that an option names.
    fn file(&self, option: &str) -> Outcome<Option<Vec<u8>>> {
        self.options.get(option).map(|path| read(path)).transpose()
    }

    /// Returns the source of trust: the named files, or else the embedded files of the staging instance if requested, or else the
    /// public instance.
    fn trust(&self, door: Door) -> Outcome<Trust> {
        let staging = |text: &str| self.has("--staging").then(|| text.as_bytes().to_vec());
        let settings = TrustSettings {
            trusted_root: self.file("--trusted-root")?.or_else(|| staging(SIGSTORE_STAGING_TRUSTED_ROOT)),
            signing_config: self
                .file("--signing-config")?
                .or_else(|| staging(SIGSTORE_STAGING_SIGNING_CONFIG)),
            ..TrustSettings::default()
        };
        Ok(Trust::new(door, settings)?)
    }
}

fn read(path: &str) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{path}: {error}").into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut arguments: impl Iterator<Item = String>) -> Outcome<()> {
    let subcommand = arguments.next().unwrap_or_default();
    let arguments = Arguments::parse(arguments)?;
    match subcommand.as_str() {
        "sign-bundle" => sign(&arguments).await,
        "verify-bundle" => verify(&arguments).await,
        other => Err(format!("`{other}` is neither sign-bundle nor verify-bundle").into()),
    }
}

async fn sign(arguments: &Arguments) -> Outcome<()> {
    let door = Door::open(Settings::default())?;
    let trust = arguments.trust(door.clone())?;
    let token = Secret::new(arguments.value("--identity-token")?);
    let identity = Identity::new(Sources { value: Some(token), ..Sources::default() }, door.clone());
    let services = trust.services(Form::Bundle).await?;
    let signer = Signer::with_identity(door, identity, services, trust.verifier().await?);
    let artifact = read(&arguments.artifact)?;
    let signed = if arguments.has("--in-toto") {
        let statement = Statement::parse(&artifact)?;
        let about = statement.subject.iter().find_map(|subject| subject.digest.get("sha256"));
        signer.statement_bytes(&artifact, about.ok_or("no subject has a SHA-256 digest")?).await?
    } else {
        signer.message(&artifact).await?
    };
    Ok(fs::write(arguments.value("--bundle")?, signed.bundle())?)
}

async fn verify(arguments: &Arguments) -> Outcome<()> {
    let bundle = read(arguments.value("--bundle")?)?;
    let expected = match arguments.file("--key")? {
        Some(_) => None,
        None => Some(SignerPattern {
            issuer: Pattern::exact(arguments.value("--certificate-oidc-issuer")?)?,
            subject: Pattern::exact(arguments.value("--certificate-identity")?)?,
        }),
    };
    let verifier = match arguments.file("--key")? {
        Some(key) => {
            let root = arguments.file("--trusted-root")?;
            let root = root.as_deref().unwrap_or(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes());
            std::sync::Arc::new(Verifier::with_key(VerificationKey::from_pem(&key)?, Some(root))?)
        }
        None => arguments.trust(Door::open(Settings::default())?)?.verifier().await?,
    };
    let verified = match digest(&arguments.artifact) {
        Some(sha256) => verifier.artifact(&bundle, sha256)?,
        None => verifier.message(&bundle, &read(&arguments.artifact)?)?,
    };
    match expected {
        Some(expected) if !is_match(&expected, &verified.signatory) => {
            Err(format!("signed by {}, not by {expected}", verified.signatory).into())
        }
        _ => Ok(()),
    }
}

/// Returns whether a pattern matches the holder of the signing certificate.
fn is_match(pattern: &SignerPattern, signatory: &Signatory) -> bool {
    signatory.identity().is_some_and(|(issuer, subject)| pattern.matches(issuer, subject))
}

/// Returns the digest if the artifact is given as `sha256:DIGEST` and no file has this name.
fn digest(artifact: &str) -> Option<&str> {
    let sha256 = artifact.strip_prefix("sha256:")?;
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_digest && !Path::new(artifact).exists()).then_some(sha256)
}
