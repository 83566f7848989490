//! Google's credentials for Google's registries: application default credentials, then the metadata service.
//!
//! The requests are few and simple, and have to go through the one HTTP door, so they are made here.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use oci::{Credential, FoundCredential, Host};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::timeout_at;
use transport::{Body, Class, Door, Opened, Request, Secret};
use url::Url;

use super::{FAILURE_LIFE, Places, metadata_host, read_file, with_existence};

/// What a token may be used for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where tokens are got, unless a file says otherwise.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// The longest that the metadata service may take. Outside of Google's cloud nothing answers at its address.
const METADATA_TIME: Duration = Duration::from_secs(2);
/// Tokens are renewed this long before they expire.
const MARGIN: Duration = Duration::from_secs(60);
/// What the metadata service takes, and gives back as its mark: other clouds answer at the same address.
const GOOGLE: Option<&str> = Some("Google");
const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
/// The largest answer of a token service, and the largest file, in bytes.
const ANSWER_MAX: u64 = 256 * 1024;

/// What the second place of credentials is called.
const METADATA_SERVER: &str = "the metadata server";

/// What the first place of credentials is called.
fn of_file(file: &str) -> String {
    format!("application default credentials in {file}")
}

/// Whether a host is one of Google's registries.
pub(super) fn is_google(host: &Host) -> bool {
    let name = host.name();
    name == "gcr.io" || name.ends_with(".gcr.io") || name.ends_with(".pkg.dev")
}

/// A file of application default credentials.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    AuthorizedUser {
        client_id: String,
        client_secret: String,
        refresh_token: String,
        #[serde(default = "default_token_uri")]
        token_uri: String,
    },
    ServiceAccount {
        client_email: String,
        private_key: String,
        #[serde(default)]
        private_key_id: String,
        #[serde(default = "default_token_uri")]
        token_uri: String,
    },
    #[serde(other)]
    Other,
}

fn default_token_uri() -> String {
    TOKEN_URI.to_owned()
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

/// Google's credentials, got when they are first needed and kept while they are good.
#[derive(Debug)]
pub(super) struct Google {
    door: Door,
    /// The file that may hold credentials; it must exist where it is `asked_for`.
    path: Option<PathBuf>,
    asked_for: bool,
    metadata: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    /// This machine and this user have no credentials of Google.
    Absent,
    Token {
        token: Secret,
        /// Where it comes from, for error messages.
        origin: String,
        renew_at: Instant,
    },
    /// There are credentials, and they could not be used.
    Failed { why: String, retry_at: Instant },
}

impl Google {
    pub(super) fn new(places: &Places, door: Door) -> Self {
        let known =
            places.home.as_ref().map(|home| home.join(".config/gcloud/application_default_credentials.json"));
        Self {
            door,
            path: places.google_credentials.clone().or(known),
            asked_for: places.google_credentials.is_some(),
            metadata: metadata_host(places),
            state: Mutex::default(),
        }
    }

    /// An access token, which Google's registries take as it is.
    pub(super) async fn credential(&self) -> Result<Option<FoundCredential>, String> {
        Ok(self.found().await?.map(|(token, origin)| Credential::Bearer(token).from(origin)))
    }

    /// An access token that is good for another minute.
    pub(super) async fn access_token(&self) -> Result<Option<Secret>, String> {
        Ok(self.found().await?.map(|(token, _)| token))
    }

    /// Where credentials are looked for.
    pub(super) fn looked_in(&self) -> String {
        let file = self.path.as_deref().map(|path| format!("{} and ", of_file(&with_existence(path))));
        format!("{}{METADATA_SERVER}", file.unwrap_or_default())
    }

    /// An access token that is good for another minute, and where it comes from.
    async fn found(&self) -> Result<Option<(Secret, String)>, String> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Absent => return Ok(None),
            State::Token { token, origin, renew_at } if Instant::now() < *renew_at => {
                return Ok(Some((token.clone(), origin.clone())));
            }
            State::Failed { why, retry_at } if Instant::now() < *retry_at => return Err(why.clone()),
            State::Unknown | State::Token { .. } | State::Failed { .. } => {}
        }
        match self.token().await {
            Ok(None) => {
                *state = State::Absent;
                Ok(None)
            }
            Ok(Some((answer, origin))) => {
                let token = Secret::new(answer.access_token);
                let life = Duration::from_secs(answer.expires_in.min(24 * 3600));
                let renew_at = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
                *state = State::Token { token: token.clone(), origin: origin.clone(), renew_at };
                Ok(Some((token, origin)))
            }
            Err(why) => {
                *state = State::Failed { why: why.clone(), retry_at: Instant::now() + FAILURE_LIFE };
                Err(why)
            }
        }
    }

    /// A new token, the file's or else the machine's, and where it comes from.
    async fn token(&self) -> Result<Option<(TokenAnswer, String)>, String> {
        let Some((path, file)) = self.file()? else {
            return Ok(self.token_of_machine().await?.map(|answer| (answer, METADATA_SERVER.to_owned())));
        };
        let answer = self.token_of_file(&file).await;
        let answer = answer.map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Some((answer, of_file(&path.display().to_string()))))
    }

    /// The file of credentials, where there is one.
    fn file(&self) -> Result<Option<(&Path, File)>, String> {
        let Some(path) = &self.path else { return Ok(None) };
        let fail = |why: String| format!("{}: {why}", path.display());
        let bytes = match read_file(path, ANSWER_MAX).map_err(fail)? {
            Some(bytes) => bytes,
            None if self.asked_for => return Err(fail("there is no such file".to_owned())),
            None => return Ok(None),
        };
        // The parser's message could quote what is in the file.
        let file = serde_json::from_slice(&bytes)
            .map_err(|error| fail(format!("not a file of credentials, at line {}", error.line())))?;
        Ok(Some((path, file)))
    }

    async fn token_of_file(&self, file: &File) -> Result<TokenAnswer, String> {
        let (uri, grant) = file.grant()?;
        let url = Url::parse(uri).map_err(|_| "`token_uri` is not a URL")?;
        let request = Request::new(Method::POST, url, "google-token", Class::Token)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(Body::Bytes(grant.into()));
        let answer = self.door.send(request.limit(ANSWER_MAX)).await.map_err(|error| error.to_string())?;
        let refused = answer.status().is_client_error();
        let advise = |why: String| if refused { format!("{why}; {}", file.advice()) } else { why };
        read(answer.status(), answer.body()).map_err(advise)
    }

    /// The token of the machine's own account; `None` where there is no metadata service.
    async fn token_of_machine(&self) -> Result<Option<TokenAnswer>, String> {
        let text =
            format!("http://{}/computeMetadata/v1/instance/service-accounts/default/token", self.metadata);
        let url = Url::parse(&text).map_err(|_| format!("{} is not a host", self.metadata))?;
        let request =
            Request::new(Method::GET, url, "google-metadata", Class::Token).header(FLAVOR.0, FLAVOR.1).once();
        let deadline = tokio::time::Instant::now() + METADATA_TIME;
        let told = match timeout_at(deadline, self.door.stream(request)).await {
            // A proxy, or the machine of another cloud.
            Ok(Ok(Opened::Body(body))) if body.header(FLAVOR.0.as_str()) != GOOGLE => return Ok(None),
            Ok(Ok(Opened::Other(answer))) if answer.header(FLAVOR.0.as_str()) != GOOGLE => return Ok(None),
            Ok(Ok(Opened::Other(answer))) if answer.status() == StatusCode::NOT_FOUND => return Ok(None),
            Ok(Ok(Opened::Other(answer))) => read(answer.status(), answer.body()),
            Ok(Ok(Opened::Body(body))) => {
                let status = body.status();
                match timeout_at(deadline, body.bytes(ANSWER_MAX)).await {
                    Ok(body) => body.map_err(|error| error.to_string()).and_then(|body| read(status, &body)),
                    Err(_) => {
                        Err(format!("it did not finish its answer within {} s", METADATA_TIME.as_secs()))
                    }
                }
            }
            // No metadata service: so it is nearly everywhere.
            Ok(Err(_)) | Err(_) => return Ok(None),
        };
        told.map(Some).map_err(|why| format!("the metadata service of this machine: {why}"))
    }
}

impl File {
    /// Where a token is requested, and the form that asks for it (RFC 6749, *Refreshing an Access Token*; RFC 7523).
    fn grant(&self) -> Result<(&str, String), String> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let uri = match self {
            Self::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
                form.append_pair("grant_type", "refresh_token").append_pair("client_id", client_id);
                form.append_pair("client_secret", client_secret).append_pair("refresh_token", refresh_token);
                token_uri
            }
            Self::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.append_pair(
                    "assertion",
                    &assertion(client_email, private_key, private_key_id, token_uri)?,
                );
                token_uri
            }
            Self::Other => {
                return Err(format!("credentials of this type are not supported; {}", self.advice()));
            }
        };
        Ok((uri, form.finish()))
    }

    /// What a person can do where these credentials do not work.
    fn advice(&self) -> &'static str {
        match self {
            Self::AuthorizedUser { .. } => "log in anew with `gcloud auth application-default login`",
            Self::ServiceAccount { .. } => {
                "see whether the account and its key are still there and enabled, and whether this machine's clock is right"
            }
            Self::Other => "use gcloud's credential helper (`gcloud auth configure-docker`)",
        }
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<TokenAnswer, String> {
    if !status.is_success() {
        return Err(format!("the token service answered {status}{}", refusal_code(body)));
    }
    serde_json::from_slice(body).map_err(|_| "the token service's answer holds no token".to_owned())
}

/// The code of a refusal (RFC 6749, *Error Response*), in brackets; nothing where there is none. The rest of such an answer
/// may hold anything.
fn refusal_code(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let is_code = |text: &str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    match serde_json::from_slice(body) {
        Ok(Refusal { error }) if is_code(&error) => format!(" ({error})"),
        _ => String::new(),
    }
}

/// A service account's word, signed with its key (RFC 7523).
fn assertion(email: &str, private_key: &str, key_id: &str, audience: &str) -> Result<String, String> {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock stands before 1970")?.as_secs();
    let head = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": key_id });
    let claims = serde_json::json!({
        "iss": email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + 3600,
    });
    let text = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let pem: String = private_key.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = STANDARD.decode(pem).map_err(|_| "`private_key` is not a PEM text")?;
    let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| "`private_key` is not an RSA key in PKCS #8")?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "`private_key` cannot sign")?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests;
