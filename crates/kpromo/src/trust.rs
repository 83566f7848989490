//! Whom this run believes, and as whom it signs: from flags, files and the environment to a [`Notary`]. Whatever is wrong
//! with them is found here, before anything is begun; who has to be asked is asked later.

use std::path::Path;
use std::sync::Arc;

use oci::Host;
use promote::evidence::Room;
use promote::manifest::checkout;
use promote::{Notary, Production, Promoter, Signing, SummarySigner, Verification};
use serde_json::Value;
use sigstore::{
    AccessTokens, Given, Identity, PROJECTED_TOKEN, Pattern, SignerPattern, SignerSource, SigningKey,
    Sources, Trust, TrustSettings, VerificationKey, Verifier,
};
use transport::{Door, shown};
use url::Url;

use crate::args::{
    CipArgs, HolderArgs, ManifestSource, PatternText, SigningArgs, SummaryArgs, TokenFile, TrustArgs,
};
use crate::config::{InvalidConfig, read_bytes};
use crate::connect::Connection;
use crate::credentials::metadata_host;
use crate::environment::Environment;

/// What a promotion needs to know of trust.
///
/// # Errors
/// When a file cannot be read or used, or a pattern or URL is none.
pub(crate) fn notary(
    args: &CipArgs,
    environment: &Environment,
    connection: &Connection,
) -> Result<Notary, InvalidConfig> {
    let trust = trust(&args.trust, environment, &connection.door)?;
    let signing = args.signing.as_ref().map(|signing| {
        let promoter = promoter(&args.manifests, environment);
        Signers { environment, connection, trust: &trust }.signing(signing, promoter)
    });
    let signing = signing.transpose()?;
    let verification = Verification { trust, staging: signer_pattern(&args.trust)?, room: Room::default() };
    let Production { canonical_host, path, reference } = &connection.production;
    tracing::debug!(canonical = %canonical_host, %path, %reference, "production");
    Ok(Notary { verification, signing, production: connection.production.clone() })
}

/// Trust, as flags and environment have it.
///
/// # Errors
/// When a file cannot be read or used, or a URL is none that may be asked.
pub(crate) fn trust(
    args: &TrustArgs,
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
        .map(|text| speakable(text, door).map_err(|why| InvalidConfig::flag("--tuf-mirror", why)));
    let verification_key = args.verification_key.as_deref().map(verification_key);
    let settings = TrustSettings {
        trusted_root,
        signing_config,
        mirror: mirror.transpose()?,
        initial_root,
        cache: environment.caches.trust(),
        verification_key: verification_key.transpose()?,
    };
    // The rest has been looked at above, so what is wrong is wrong with this file.
    let place = args.signing_config.as_deref().unwrap_or(Path::new("--signing-config"));
    Trust::new(door.clone(), settings).map_err(|error| InvalidConfig::new(place, error.to_string()))
}

/// Whose signatures count.
///
/// # Errors
/// When an expression is none.
pub(crate) fn signer_pattern(args: &TrustArgs) -> Result<SignerPattern, InvalidConfig> {
    Ok(SignerPattern { issuer: pattern(&args.issuer)?, subject: pattern(&args.identity)? })
}

fn pattern(text: &PatternText) -> Result<Pattern, InvalidConfig> {
    let (place, pattern) = match text {
        PatternText::Exact(text) => ("the signer", Pattern::exact(text)),
        PatternText::Regex { flag, text } => (*flag, Pattern::regex(text)),
    };
    pattern.map_err(|error| InvalidConfig::flag(place, error.to_string()))
}

fn verification_key(path: &Path) -> Result<VerificationKey, InvalidConfig> {
    VerificationKey::from_pem(&read_bytes(path)?).map_err(|error| InvalidConfig::new(path, error.to_string()))
}

/// Whether a file may be the first of a TUF repository. Whether it is, TUF finds out.
fn is_tuf_root(bytes: &[u8]) -> bool {
    let json: Option<Value> = serde_json::from_slice(bytes).ok();
    json.is_some_and(|json| json["signed"]["_type"] == "root" && json["signatures"].is_array())
}

/// Whether the services of a signing configuration may be asked at all.
fn check_services(path: &Path, config: &[u8], door: &Door) -> Result<(), InvalidConfig> {
    // What else is wrong with it is for trust to say.
    let json: Value = serde_json::from_slice(config).unwrap_or_default();
    let services = ["caUrls", "rekorTlogUrls", "tsaUrls"].iter().filter_map(|kind| json[kind].as_array());
    for service in services.flatten() {
        let url = service["url"].as_str().unwrap_or_default();
        speakable(url, door).map_err(|why| InvalidConfig::new(path, why))?;
    }
    Ok(())
}

/// A URL that may be asked: plain HTTP is spoken with this machine, and where the registry configuration says so.
fn speakable(text: &str, door: &Door) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{}` is no URL: {error}", text.escape_debug()))?;
    let Some(host) = url.host_str() else { return Err(format!("{} names no host", shown(&url))) };
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let is_loopback = || authority.parse::<Host>().is_ok_and(|host| host.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback() || door.host_settings(&authority).plain_http => Ok(url),
        "http" => Err(format!(
            "plain HTTP is not spoken with {authority}: use https, or say `plainHttp: true` of it in --registry-config"
        )),
        _ => Err(format!("{} is neither https nor http", shown(&url))),
    }
}

/// What signers are made of.
struct Signers<'a> {
    environment: &'a Environment,
    connection: &'a Connection,
    trust: &'a Trust,
}

impl Signers<'_> {
    fn signing(&self, args: &SigningArgs, promoter: Promoter) -> Result<Signing, InvalidConfig> {
        let signer = match &args.holder {
            HolderArgs::Key(path) => self.key(path)?,
            HolderArgs::Identity { account, token } => self.identity(Sources {
                account: account.clone(),
                given: token.as_ref().map(given).transpose()?,
                value: self.environment.tokens.value.clone(),
                ..self.sources()
            }),
        };
        let summaries = args.summaries.as_ref().map(|summaries| match summaries {
            SummaryArgs::Same => SummarySigner::Same,
            // A token that was given is of one identity: the other's has to come from where both may.
            SummaryArgs::Account(account) => SummarySigner::Other(
                self.identity(Sources { account: Some(account.clone()), ..self.sources() }),
            ),
        });
        Ok(Signing { signer, format: args.format, at_once: args.at_once, summaries, promoter })
    }

    fn key(&self, path: &Path) -> Result<SignerSource, InvalidConfig> {
        let password = self.environment.tokens.key_password.as_ref();
        let key = SigningKey::from_pem(&read_bytes(path)?, password)
            .map_err(|error| InvalidConfig::new(path, error.to_string()))?;
        Ok(SignerSource::key(self.connection.door.clone(), key, self.trust.clone()))
    }

    fn identity(&self, sources: Sources) -> SignerSource {
        let door = self.connection.door.clone();
        SignerSource::identity(door.clone(), Identity::new(sources, door), self.trust.clone())
    }

    /// Where tokens of any account may come from.
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

/// Where the token is that was given. A file is read anew for each token; that it can be read is found out now.
fn given(token: &TokenFile) -> Result<Given, InvalidConfig> {
    match token {
        TokenFile::Input => Ok(Given::input(tokio::io::stdin())),
        TokenFile::File(path) => read_bytes(path).map(|_| Given::file(path)),
    }
}

/// What records say of this run.
fn promoter(manifests: &ManifestSource, environment: &Environment) -> Promoter {
    let (ManifestSource::Plain(path) | ManifestSource::Thin(path)) = manifests;
    let commit = env!("KPROMO_GIT_COMMIT");
    Promoter {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: (commit != "unknown").then(|| commit.to_owned()),
        job: environment.job.clone(),
        checkout: checkout(path),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use promote::SignatureFormat;
    use serde_json::json;
    use transport::{HostSettings, Settings};

    use super::*;
    use crate::args::PatternText;

    /// A door that speaks plain HTTP with one other host.
    fn door() -> Door {
        let host = HostSettings { plain_http: true, ..HostSettings::default() };
        let hosts = [("plain.example:8080".to_owned(), host)].into();
        Door::open(Settings { hosts, ..Settings::default() }).unwrap()
    }

    fn refused(args: &TrustArgs) -> String {
        trust(args, &Environment::default(), &door()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn urls_that_cannot_be_asked_are_refused_and_plain_http_is_for_this_machine_or_where_it_is_configured() {
        let (door, refused) = (door(), |text: &str| speakable(text, &door()).unwrap_err());
        for good in [
            "https://tuf.example/root",
            "http://127.0.0.1:8080",
            "http://[::1]:80/x",
            "http://tuf.localhost:9/",
            "http://plain.example:8080/tuf",
        ] {
            assert!(speakable(good, &door).is_ok(), "{good}");
        }
        for plain in ["http://tuf.example", "http://plain.example", "http://127.0.0.1.evil.example"] {
            assert!(refused(plain).contains("plainHttp"), "{plain}");
        }
        assert!(refused("ftp://tuf.example").contains("neither https nor http"));
        assert!(refused("tuf.example").contains("no URL"));
        assert!(!refused("http://me:hush@tuf.example?hush").contains("hush"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let config = |url: &str| {
            json!({
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [{ "url": url, "majorApiVersion": 1, "operator": "a", "validFor": { "start": "2024-01-01T00:00:00Z" } }],
                "rekorTlogConfig": { "selector": "ANY" }, "tsaConfig": { "selector": "ANY" },
            })
            .to_string()
        };
        let default = TrustArgs::default;
        let cases = [
            (TrustArgs { trusted_root: file("root", "{}"), ..default() }, "root: the trusted root"),
            (
                TrustArgs { trusted_root: Some(folder.path().join("absent")), ..default() },
                "absent: cannot be read",
            ),
            (TrustArgs { trusted_root: Some(folder.path().to_owned()), ..default() }, "not a regular file"),
            (
                TrustArgs { signing_config: file("config", "{"), ..default() },
                "config: the signing configuration",
            ),
            (
                TrustArgs { signing_config: file("plain", &config("http://ca.example")), ..default() },
                "plain: plain HTTP",
            ),
            (
                TrustArgs { verification_key: file("key", "nothing"), ..default() },
                "key: the verification key",
            ),
            (TrustArgs { tuf_root: file("tuf", "{\"signed\": {}}"), ..default() }, "tuf: not the root.json"),
            (TrustArgs { tuf_mirror: Some("x".into()), ..default() }, "--tuf-mirror: `x` is no URL"),
        ];
        for (args, expected) in cases {
            let error = refused(&args);
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let good = TrustArgs { signing_config: file("good", &config("http://127.0.0.1:5555")), ..default() };
        assert!(trust(&good, &Environment::default(), &door()).is_ok());
    }

    #[test]
    fn an_expression_that_is_none_is_told_with_its_flag() {
        let identity = PatternText::Regex { flag: "--certificate-identity-regexp", text: "(".to_owned() };
        let error = signer_pattern(&TrustArgs { identity, ..TrustArgs::default() }).unwrap_err();
        assert!(error.to_string().starts_with("--certificate-identity-regexp: "), "{error}");
    }

    /// What a promotion with this holder is told.
    fn notary_of(holder: HolderArgs) -> Result<Notary, String> {
        let environment = Environment::default();
        let connection = crate::connect::connect(None, &environment).unwrap();
        let signing = SigningArgs {
            holder,
            format: SignatureFormat::Both,
            at_once: 7,
            summaries: Some(SummaryArgs::Account("other@example.com".to_owned())),
        };
        let manifests = ManifestSource::Plain("/no/such/manifest.yaml".into());
        let args = CipArgs { signing: Some(signing), ..CipArgs::of(manifests) };
        notary(&args, &environment, &connection).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn who_signs_is_whoever_holds_the_key_that_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        let key = aws_lc_rs::signature::EcdsaKeyPair::generate(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        )
        .unwrap();
        let der = key.to_pkcs8v1().unwrap();
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        fs::write(&path, format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
            .unwrap();
        let expected = SigningKey::from_pem(&fs::read(&path).unwrap(), None).unwrap().verification_key();

        let signing = notary_of(HolderArgs::Key(path)).unwrap().signing.unwrap();
        assert!(signing.signer.owner().await.unwrap().is(&expected.signatory()));
        assert_eq!((signing.format, signing.at_once), (SignatureFormat::Both, 7));
        assert!(matches!(signing.summaries, Some(SummarySigner::Other(_))));
        assert_eq!(signing.promoter.version, env!("CARGO_PKG_VERSION"));
    }

    #[tokio::test]
    async fn a_key_or_a_token_that_is_not_there_is_told_before_anything_is_begun() {
        let absent = PathBuf::from("/no/such/file");
        for holder in [
            HolderArgs::Key(absent.clone()),
            HolderArgs::Identity { account: None, token: Some(TokenFile::File(absent)) },
        ] {
            let error = notary_of(holder).unwrap_err();
            assert!(error.contains("/no/such/file: cannot be read"), "{error}");
        }
    }
}
