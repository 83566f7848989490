//! Converts flags, the configuration and the environment to a [`TrustConfig`]: whose signatures count, and who signs. Errors in
//! these inputs are found here, before any registry is asked. Sigstore services are asked later.

mod checking;

use std::path::Path;
use std::sync::Arc;

pub(crate) use checking::{Checking, NoConfig, checking_config};
use manifest::policy::{Pattern, SignerPattern};
use manifest::{Manifests, checkout};
use oci::{Host, RegistryRoot};
use serde_json::Value;
use sigstore::{
    AccessTokens, Given, Identity, PROJECTED_TOKEN, SignerSource, SigningKey, Sources, Trust, TrustSettings,
    VerificationKey, Verifier,
};
use transport::{Door, shown};
use trust::evidence::Budget;
use trust::{Production, Promoter, Signing, SummarySigner, TrustConfig, Verification};
use url::Url;

use crate::args::{CipArgs, ManifestSource};
use crate::choice::{ACCOUNT, Account, Defaults, ISSUER, PatternText, SigningArgs, TokenFile, TrustArgs};
use crate::config::{Config, InvalidConfig, read_bytes};
use crate::connect::Connection;
use crate::credentials::metadata_host;
use crate::defaults::of_run;
use crate::environment::Environment;

/// The default number of concurrent signatures and attestations.
const AT_ONCE: usize = 50;

/// Returns the trust configuration of a promotion.
///
/// # Errors
/// Returns an error if a file cannot be read or used, if a pattern or a URL is invalid, or if no signer is chosen.
pub(crate) fn trust_config(
    args: &CipArgs,
    config: &Config,
    manifests: &Manifests,
    environment: &Environment,
    connection: &Connection,
) -> Result<TrustConfig, InvalidConfig> {
    let (defaults, outside) = of_run(config, manifests);
    let outside = outside.filter(|_| !args.parse_only);
    let choice = args.trust.clone().or(config.trust());
    let trust = trust(&choice, environment, &connection.door)?;
    let staging = signer_pattern(&choice, defaults)?;
    let signing = args.signing.clone().map(|flags| {
        let signing = flags.or(config.signing());
        if let Some(destination) = outside.filter(|_| !signing.names_signer()) {
            return Err(ask_for_signer(destination));
        }
        let signers = Signers { environment, connection, trust: &trust, defaults };
        signers.signing(&signing, &choice, promoter(Some(manifests_path(&args.manifests)), environment))
    });
    let signing = signing.transpose()?;
    if outside.is_some() && choice.verification_key.is_none() {
        tell_what_is_not_required(&choice);
    }
    let verification = Verification { trust, staging, budget: Budget::default(), scans: None };
    let Production { canonical_host, path, reference } = &connection.production;
    tracing::debug!(canonical = %canonical_host, %path, %reference, "production");
    Ok(TrustConfig { verification, signing, production: connection.production.clone() })
}

/// Returns the error for a destination that has no default signer because it is outside Kubernetes' production.
fn ask_for_signer(destination: &RegistryRoot) -> InvalidConfig {
    InvalidConfig::flag(
        "signing",
        format!(
            "no signer is chosen for the images of {destination}: name an identity with --signer-account (empty: any), or a key \
             with --signing-key, or either of them in the configuration (`signing`), or promote without signatures with \
             --sign=false"
        ),
    )
}

/// Logs which signatures in staging count if the identity or the issuer is not restricted.
fn tell_what_is_not_required(choice: &TrustArgs) {
    let (what, flag) = match (&choice.identity, &choice.issuer) {
        (None, None) => ("identity", "--certificate-identity"),
        (None, Some(_)) => ("identity of the required issuer", "--certificate-identity"),
        (Some(_), None) => ("issuer of the required identity", "--certificate-oidc-issuer"),
        (Some(_), Some(_)) => return,
    };
    tracing::info!("signatures in staging by any {what} count, because {flag} is not given");
}

/// Returns the source of trust for these choices.
///
/// # Errors
/// Returns an error if a file cannot be read or used, or if a URL may not be accessed.
pub(crate) fn trust(
    args: &TrustArgs,
    environment: &Environment,
    door: &Door,
) -> Result<Trust, InvalidConfig> {
    let verification_key = args.verification_key.as_deref().map(verification_key).transpose()?;
    trust_with(args, verification_key, environment, door)
}

/// Returns the source of trust for these choices, and a key to verify signatures with.
fn trust_with(
    args: &TrustArgs,
    verification_key: Option<VerificationKey>,
    environment: &Environment,
    door: &Door,
) -> Result<Trust, InvalidConfig> {
    let read = |path: &Option<_>| path.as_deref().map(read_bytes).transpose();
    let (trusted_root, initial_root) = (read(&args.trusted_root)?, read(&args.tuf_root)?);
    let signing_config = read(&args.signing_config)?;
    if let (Some(path), Some(root)) = (&args.trusted_root, &trusted_root) {
        Verifier::with_root(root).map_err(|error| InvalidConfig::new(path, error.to_string()))?;
    }
    if let (Some(path), Some(root)) = (&args.tuf_root, &initial_root)
        && !is_tuf_root(root)
    {
        return Err(InvalidConfig::new(path, "not the root.json of a TUF repository".to_owned()));
    }
    if let (Some(path), Some(config)) = (&args.signing_config, &signing_config) {
        check_services(path, config, door)?;
    }
    let mirror = args
        .tuf_mirror
        .as_deref()
        .map(|text| speakable(text, door).map_err(|why| InvalidConfig::flag("the TUF mirror", why)));
    let settings = TrustSettings {
        trusted_root,
        signing_config,
        mirror: mirror.transpose()?,
        initial_root,
        cache: environment.caches.trust(),
        verification_key,
    };
    Trust::new(door.clone(), settings).map_err(|error| match &args.signing_config {
        // All other settings have been checked above, so an error concerns this file.
        Some(file) => InvalidConfig::new(file, error.to_string()),
        None => InvalidConfig::flag("the settings of Sigstore", error.to_string()),
    })
}

/// Returns the pattern of the signers whose signatures count.
///
/// # Errors
/// Returns an error if a regular expression is invalid.
pub(crate) fn signer_pattern(choice: &TrustArgs, defaults: Defaults) -> Result<SignerPattern, InvalidConfig> {
    let pattern = |text: &Option<PatternText>, default: &str| match (text, defaults) {
        (Some(text), _) => pattern(text),
        (None, Defaults::Kubernetes) => pattern(&PatternText::Exact(default.to_owned())),
        (None, Defaults::None) => pattern(&PatternText::Regex { place: "any", text: "(?s).*".to_owned() }),
    };
    Ok(SignerPattern {
        issuer: pattern(&choice.issuer, ISSUER)?,
        subject: pattern(&choice.identity, ACCOUNT)?,
    })
}

fn pattern(text: &PatternText) -> Result<Pattern, InvalidConfig> {
    let (place, pattern) = match text {
        PatternText::Exact(text) => ("the signer", Pattern::exact(text)),
        PatternText::Regex { place, text } => (*place, Pattern::regex(text)),
    };
    pattern.map_err(|error| InvalidConfig::flag(place, error.to_string()))
}

fn verification_key(path: &Path) -> Result<VerificationKey, InvalidConfig> {
    VerificationKey::from_pem(&read_bytes(path)?).map_err(|error| InvalidConfig::new(path, error.to_string()))
}

/// Returns whether a file may be the initial root of a TUF repository. TUF verifies it later.
fn is_tuf_root(bytes: &[u8]) -> bool {
    let json: Option<Value> = serde_json::from_slice(bytes).ok();
    json.is_some_and(|json| json["signed"]["_type"] == "root" && json["signatures"].is_array())
}

/// Checks that the door may access the services of a signing configuration.
fn check_services(path: &Path, config: &[u8], door: &Door) -> Result<(), InvalidConfig> {
    // Any other defect is reported when the trust is loaded.
    let json: Value = serde_json::from_slice(config).unwrap_or_default();
    let services = ["caUrls", "rekorTlogUrls", "tsaUrls"].iter().filter_map(|kind| json[kind].as_array());
    for service in services.flatten() {
        let url = service["url"].as_str().unwrap_or_default();
        speakable(url, door).map_err(|why| InvalidConfig::new(path, why))?;
    }
    Ok(())
}

/// Reads a URL that may be accessed: plain HTTP is permitted for this machine and for hosts of the configuration.
fn speakable(text: &str, door: &Door) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{}` is not a URL: {error}", text.escape_debug()))?;
    let Some(host) = url.host_str() else { return Err(format!("{} names no host", shown(&url))) };
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let is_loopback = || authority.parse::<Host>().is_ok_and(|host| host.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback() || door.host_settings(&authority).plain_http => Ok(url),
        "http" => Err(format!(
            "plain HTTP is not allowed for {authority}: use https, or set `plainHttp: true` for it in \
             the configuration"
        )),
        _ => Err(format!("{} is neither https nor http", shown(&url))),
    }
}

/// The inputs from which signers are created.
struct Signers<'a> {
    environment: &'a Environment,
    connection: &'a Connection,
    trust: &'a Trust,
    defaults: Defaults,
}

impl Signers<'_> {
    fn signing(
        &self,
        choice: &SigningArgs,
        trust: &TrustArgs,
        promoter: Promoter,
    ) -> Result<Signing, InvalidConfig> {
        let account = match (&choice.account, self.defaults) {
            (Some(account), _) => account.name(),
            (None, Defaults::Kubernetes) => Some(ACCOUNT),
            (None, Defaults::None) => None,
        };
        let summary_account = self.summary_account(choice, account);
        let with_certificates = choice.key.is_none() || summary_account.is_some();
        // The file may be named by a flag or by the configuration, and is the same in both cases.
        if let Some(root) = trust.trusted_root.as_deref().filter(|_| with_certificates)
            && trust.signing_config.is_none()
        {
            let problem = "a private trusted root needs a signing configuration: give --signing-config \
             or `signing.config` in the configuration, or do not sign (--sign=false)";
            return Err(InvalidConfig::new(root, problem.to_owned()));
        }
        let signer = match &choice.key {
            Some(path) => self.key(path)?,
            None => self.identity(Sources {
                account: account.map(str::to_owned),
                given: choice.token.as_ref().map(given).transpose()?,
                value: self.environment.tokens.value.clone(),
                ..self.sources()
            }),
        };
        // A given token is of one identity, so the summary signer's tokens must come from a source that has tokens of any
        // account.
        let other = summary_account
            .map(|account| self.identity(Sources { account: Some(account), ..self.sources() }));
        let summaries = choice
            .summaries
            .unwrap_or_default()
            .then(|| other.map_or(SummarySigner::Same, SummarySigner::Other));
        let (format, at_once) = (choice.format.unwrap_or_default(), choice.at_once.unwrap_or(AT_ONCE));
        Ok(Signing { signer, format, at_once, summaries, promoter })
    }

    /// Returns the account that signs summaries, if it is not the signer of the images.
    fn summary_account(&self, choice: &SigningArgs, account: Option<&str>) -> Option<String> {
        let other = choice.summary_account.as_ref().and_then(Account::name)?;
        let is_other = choice.key.is_some() || account != Some(other);
        (is_other && choice.summaries.unwrap_or_default()).then(|| other.to_owned())
    }

    fn key(&self, path: &Path) -> Result<SignerSource, InvalidConfig> {
        let key = signing_key(path, self.environment)?;
        Ok(SignerSource::key(self.connection.door.clone(), key, self.trust.clone()))
    }

    fn identity(&self, sources: Sources) -> SignerSource {
        let door = self.connection.door.clone();
        SignerSource::identity(door.clone(), Identity::new(sources, door), self.trust.clone())
    }

    /// Returns the sources that can have tokens of any account.
    fn sources(&self) -> Sources {
        let Environment { tokens, places, .. } = self.environment;
        let access_tokens: Arc<dyn AccessTokens> = self.connection.keychain.clone();
        Sources {
            github_url: tokens.github_url.clone(),
            github_token: tokens.github_token.clone(),
            access_tokens: Some(access_tokens),
            metadata_host: Some(metadata_host(places)),
            is_at_google: places.is_at_google,
            projected: Some(PROJECTED_TOKEN.into()),
            ..Sources::default()
        }
    }
}

/// Returns the location of a given token. A file is read again for each token. Whether it is readable is checked now.
fn given(token: &TokenFile) -> Result<Given, InvalidConfig> {
    match token {
        TokenFile::Input => Ok(Given::input(tokio::io::stdin())),
        TokenFile::File(path) => read_bytes(path).map(|_| Given::file(path)),
    }
}

fn signing_key(path: &Path, environment: &Environment) -> Result<SigningKey, InvalidConfig> {
    SigningKey::from_pem(&read_bytes(path)?, environment.tokens.key_password.as_ref())
        .map_err(|error| InvalidConfig::new(path, error.to_string()))
}

fn manifests_path(manifests: &ManifestSource) -> &Path {
    let (ManifestSource::Plain(path) | ManifestSource::Thin(path)) = manifests;
    path
}

/// Returns what records state about this run. `manifests` is the path of the manifests, if there are any.
fn promoter(manifests: Option<&Path>, environment: &Environment) -> Promoter {
    let commit = env!("KPROMO_GIT_COMMIT");
    Promoter {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: (commit != "unknown").then(|| commit.to_owned()),
        job: environment.job.clone(),
        checkout: manifests.and_then(checkout),
    }
}

#[cfg(test)]
mod tests;
