//! The trust configuration of `kpromo sigcheck`: whose signatures count in production, and who repairs them.

use sigstore::{Identity, SignerSource, Sources};
use trust::evidence::Budget;
use trust::{Signing, TrustConfig, Verification};

use super::{AT_ONCE, Signers, promoter, signer_pattern, signing_key, trust_with, verification_key};
use crate::args::SigcheckArgs;
use crate::choice::{Defaults, SigningArgs, TrustArgs};
use crate::config::{Config, InvalidConfig};
use crate::connect::Connection;
use crate::environment::Environment;

/// The trusted signers, and the signer of repairs.
pub(crate) struct Checking {
    pub(crate) trust_config: TrustConfig,
    /// The signers whose signatures count, as a text for a person.
    pub(crate) signer: String,
}

/// The reason why the trust configuration cannot be determined.
pub(crate) enum NoConfig {
    /// A file or a value is invalid.
    Invalid(InvalidConfig),
    /// Flags are missing.
    Usage(String),
}

impl From<InvalidConfig> for NoConfig {
    fn from(error: InvalidConfig) -> Self {
        Self::Invalid(error)
    }
}

/// Returns the trust configuration of a check. With a signing key and no other choice, signatures by that key count. Without
/// `--confirm`, the signer is never used.
///
/// # Errors
/// Returns an error if a file cannot be read or used, if a pattern or a URL is invalid, if no signer is named, or if the signer is
/// not one whose signatures count.
pub(crate) fn checking_config(
    args: &SigcheckArgs,
    config: &Config,
    defaults: Defaults,
    environment: &Environment,
    connection: &Connection,
) -> Result<Checking, NoConfig> {
    let choice = args.trust.clone().or(config.trust());
    let signing = args.signing.clone().or(config.signing());
    let names_no_signer = choice.verification_key.is_none() && !choice.names_signer();
    let own = signing.key.as_deref().map(|path| signing_key(path, environment)).transpose()?;
    let own = own.map(|key| key.verification_key());
    let given = choice.verification_key.as_deref().map(verification_key).transpose()?;
    let key = given.or_else(|| own.clone().filter(|_| names_no_signer));
    if key.is_none() {
        ask_for_identity(&choice, defaults)?;
    }
    if args.confirm {
        ask_for_signer(&signing, defaults)?;
        let fits = match (&key, &own) {
            (Some(key), Some(own)) => key.fingerprint() == own.fingerprint(),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !fits {
            let text = "repairs would not count: kpromo would sign with a key or identity other than \
             the one whose signatures count";
            return Err(InvalidConfig::flag("--signing-key and --verification-key", text.to_owned()).into());
        }
    }
    let signer = match (&choice.verification_key, &signing.key, &key) {
        (Some(path), _, Some(_)) | (None, Some(path), Some(_)) => format!("the key {}", path.display()),
        _ => signer_pattern(&choice, defaults)?.to_string(),
    };
    let trust = trust_with(&choice, key, environment, &connection.door)?;
    let signing = match args.confirm {
        true => {
            let signers = Signers { environment, connection, trust: &trust, defaults };
            let signing = SigningArgs { summaries: None, summary_account: None, ..signing };
            signers.signing(&signing, &choice, promoter(args.manifests.as_deref(), environment))?
        }
        false => {
            let no_identity = Identity::new(Sources::default(), connection.door.clone());
            Signing {
                signer: SignerSource::identity(connection.door.clone(), no_identity, trust.clone()),
                format: signing.format.unwrap_or_default(),
                at_once: AT_ONCE,
                summaries: None,
                promoter: promoter(args.manifests.as_deref(), environment),
            }
        }
    };
    let staging = signer_pattern(&choice, defaults)?;
    let verification = Verification { trust, staging, budget: Budget::default(), scans: None };
    let production = connection.production.clone();
    Ok(Checking { trust_config: TrustConfig { verification, signing: Some(signing), production }, signer })
}

/// Requires the identity of the signer outside Kubernetes' production: a signature by an arbitrary identity proves nothing.
fn ask_for_identity(choice: &TrustArgs, defaults: Defaults) -> Result<(), NoConfig> {
    if defaults == Defaults::Kubernetes || (choice.identity.is_some() && choice.issuer.is_some()) {
        return Ok(());
    }
    let text = "whose signatures count is not named: give --certificate-identity or --certificate-identity-regexp together with \
                --certificate-oidc-issuer or --certificate-oidc-issuer-regexp, or --verification-key";
    Err(NoConfig::Usage(text.to_owned()))
}

/// Requires a signer outside Kubernetes' production.
fn ask_for_signer(signing: &SigningArgs, defaults: Defaults) -> Result<(), NoConfig> {
    if defaults == Defaults::Kubernetes || signing.names_signer() {
        return Ok(());
    }
    let text = "no signer is chosen to repair with: name an identity with --signer-account (empty: any), or a key with \
                --signing-key";
    Err(NoConfig::Usage(text.to_owned()))
}
