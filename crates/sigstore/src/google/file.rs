//! Application Default Credentials files (AIP-4112, AIP-4113, AIP-4117).

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;
use transport::{Door, Secret};
use url::form_urlencoded::Serializer;

use super::federation::Federation;
use super::impersonation::impersonate;
use super::token::{SCOPE, Token, granted};
use super::urls::google_url;
use crate::identity::answer::Failure;
use crate::identity::read_file;

/// The token endpoint, unless a file sets one.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// The requested lifetime of an impersonated account's token, in seconds.
const LIFETIME: u32 = 3600;

/// A credential file, by its type.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum File {
    AuthorizedUser(User),
    ServiceAccount(Account),
    ExternalAccount(Box<Federation>),
    ImpersonatedServiceAccount(Impersonation),
    #[serde(other)]
    Other,
}

/// A logged-in user.
#[derive(Deserialize)]
pub(super) struct User {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    #[serde(default = "default_token_uri")]
    token_uri: String,
}

/// A service account with its own key.
#[derive(Deserialize)]
pub(super) struct Account {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default = "default_token_uri")]
    token_uri: String,
}

/// A service account to impersonate.
#[derive(Deserialize)]
pub(super) struct Impersonation {
    service_account_impersonation_url: String,
    source_credentials: Box<File>,
    #[serde(default)]
    delegates: Vec<String>,
}

fn default_token_uri() -> String {
    TOKEN_URI.to_owned()
}

impl File {
    /// Reads the credential file at a path. Returns `None` if there is no such file.
    pub(super) async fn read(path: &Path) -> Result<Option<Self>, String> {
        let Some(text) = read_file(path).await? else { return Ok(None) };
        // The parser's message could quote the file's content.
        serde_json::from_str(text.reveal()).map(Some).map_err(|error| {
            format!("{}: not a file of credentials, at line {}", path.display(), error.line())
        })
    }

    /// Returns an access token for these credentials.
    pub(super) async fn token(&self, door: &Door) -> Result<Token, Failure> {
        match self {
            Self::ImpersonatedServiceAccount(impersonation) => impersonation.token(door).await,
            source => source.own_token(door).await,
        }
    }

    /// Returns an access token for credentials that do not depend on other credentials.
    async fn own_token(&self, door: &Door) -> Result<Token, Failure> {
        match self {
            Self::AuthorizedUser(user) => user.token(door).await,
            Self::ServiceAccount(account) => account.token(door).await,
            Self::ExternalAccount(federation) => federation.token(door).await,
            Self::ImpersonatedServiceAccount(_) => {
                Err("`source_credentials` are of type impersonated_service_account too, which is not supported; list the \
                     accounts in between in `delegates`"
                    .into())
            }
            Self::Other => Err("the type of these credentials is not supported; supported types are \
                                authorized_user, service_account, external_account and \
                                impersonated_service_account"
                .into()),
        }
    }
}

impl User {
    /// Requests an access token with the refresh token (RFC 6749, section 6, *Refreshing an Access Token*).
    async fn token(&self, door: &Door) -> Result<Token, Failure> {
        let url = google_url("token_uri", &self.token_uri)?;
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", &self.client_secret)
            .append_pair("refresh_token", &self.refresh_token)
            .finish();
        let secret = Secret::new(self.refresh_token.clone());
        granted(door, url, form, &secret, None)
            .await
            .map_err(|refused| refused.advised("log in again with `gcloud auth application-default login`"))
    }
}

impl Account {
    /// Requests an access token with a signed assertion (RFC 7523, *JWT Profile for OAuth 2.0 Client Authentication and
    /// Authorization Grants*).
    async fn token(&self, door: &Door) -> Result<Token, Failure> {
        const ADVICE: &str = "check that the account and its key exist and are enabled, and that this \
         machine's clock is right";
        let url = google_url("token_uri", &self.token_uri)?;
        let assertion = self.assertion()?;
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &assertion)
            .finish();
        granted(door, url, form, &Secret::new(assertion), None)
            .await
            .map_err(|refused| refused.advised(ADVICE))
    }

    /// Returns the account's assertion, signed with its key.
    fn assertion(&self) -> Result<String, String> {
        let now = Timestamp::now().as_second();
        let head = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": self.private_key_id });
        let claims = serde_json::json!({
            "iss": self.client_email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + 3600,
        });
        let text = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let lines = self.private_key.lines().filter(|line| !line.starts_with("-----"));
        let pem: String = lines.map(str::trim).collect();
        let der = STANDARD.decode(pem).map_err(|_| "`private_key` is not a PEM text")?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| "`private_key` is not an RSA key in PKCS #8")?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| "`private_key` cannot sign")?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Impersonation {
    async fn token(&self, door: &Door) -> Result<Token, Failure> {
        let url = google_url("service_account_impersonation_url", &self.service_account_impersonation_url)?;
        let source = Box::pin(self.source_credentials.own_token(door)).await?;
        impersonate(door, url, &source, &self.delegates, LIFETIME).await
    }
}
