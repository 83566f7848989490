//! Google's credentials for Google's registries: application default credentials, then the metadata service.
//!
//! The requests are few and simple, and have to go through the one HTTP door, so they are made here.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, Method, header};
use oci::{Credential, Host};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::timeout_at;
use transport::{Body, Class, Door, Request, Response, Secret};
use url::Url;

use super::{FAILURE_LIFE, Places, metadata_host, read_file};

/// What a token may be used for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where tokens are got, unless a file says otherwise.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// The longest that the metadata service may take. Elsewhere than at Google nobody answers at its address.
const METADATA_TIME: Duration = Duration::from_secs(2);
/// Tokens are renewed this long before they expire.
const MARGIN: Duration = Duration::from_secs(60);
/// What the metadata service takes, and gives back as its mark: other clouds answer at the same address.
const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
/// The largest answer of a token service, and the largest file, in bytes.
const ANSWER_MAX: u64 = 256 * 1024;

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
    /// Nobody here has credentials of Google.
    Absent,
    Token {
        token: Secret,
        renew_at: Instant,
    },
    /// There are credentials, and they could not be had.
    Failed {
        why: String,
        retry_at: Instant,
    },
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
    pub(super) async fn credential(&self) -> Result<Option<Credential>, String> {
        Ok(self.access_token().await?.map(Credential::Bearer))
    }

    /// An access token that is good for another minute.
    pub(super) async fn access_token(&self) -> Result<Option<Secret>, String> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Absent => return Ok(None),
            State::Token { token, renew_at } if Instant::now() < *renew_at => {
                return Ok(Some(token.clone()));
            }
            State::Failed { why, retry_at } if Instant::now() < *retry_at => return Err(why.clone()),
            State::Unknown | State::Token { .. } | State::Failed { .. } => {}
        }
        match self.token().await {
            Ok(None) => {
                *state = State::Absent;
                Ok(None)
            }
            Ok(Some(answer)) => {
                let token = Secret::new(answer.access_token);
                let life = Duration::from_secs(answer.expires_in.min(24 * 3600));
                let renew_at = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
                *state = State::Token { token: token.clone(), renew_at };
                Ok(Some(token))
            }
            Err(why) => {
                *state = State::Failed { why: why.clone(), retry_at: Instant::now() + FAILURE_LIFE };
                Err(why)
            }
        }
    }

    /// A new token: the file's, else the machine's.
    async fn token(&self) -> Result<Option<TokenAnswer>, String> {
        let Some((path, file)) = self.file()? else { return self.token_of_machine().await };
        self.token_of_file(&file).await.map(Some).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// The file of credentials, where there is one.
    fn file(&self) -> Result<Option<(PathBuf, File)>, String> {
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
        Ok(Some((path.clone(), file)))
    }

    async fn token_of_file(&self, file: &File) -> Result<TokenAnswer, String> {
        let (uri, grant) = file.grant()?;
        let url = Url::parse(uri).map_err(|_| "`token_uri` is not a URL")?;
        let request = Request::new(Method::POST, url, "google-token", Class::Token)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(Body::Bytes(grant.into()));
        let response = self.door.send(request).await.map_err(|error| error.to_string())?;
        let refused = response.status().is_client_error();
        let advise = |why: String| if refused { format!("{why}; {}", file.advice()) } else { why };
        read(response).await.map_err(advise)
    }

    /// The token of the machine's own account; `None` where there is no metadata service.
    async fn token_of_machine(&self) -> Result<Option<TokenAnswer>, String> {
        let text =
            format!("http://{}/computeMetadata/v1/instance/service-accounts/default/token", self.metadata);
        let url = Url::parse(&text).map_err(|_| format!("{} is not a host", self.metadata))?;
        let request =
            Request::new(Method::GET, url, "google-metadata", Class::Token).header(FLAVOR.0, FLAVOR.1).once();
        let deadline = tokio::time::Instant::now() + METADATA_TIME;
        match timeout_at(deadline, self.door.send(request)).await {
            // A proxy, or the machine of another cloud.
            Ok(Ok(response)) if response.headers().get(FLAVOR.0) != Some(&FLAVOR.1) => Ok(None),
            Ok(Ok(response)) if response.status() == http::StatusCode::NOT_FOUND => Ok(None),
            Ok(Ok(response)) => timeout_at(deadline, read(response))
                .await
                .unwrap_or_else(|_| {
                    Err(format!("it did not finish its answer within {} s", METADATA_TIME.as_secs()))
                })
                .map(Some)
                .map_err(|why| format!("the metadata service of this machine: {why}")),
            // Nobody is there, which is how it is nearly everywhere.
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }
}

impl File {
    /// Where a token is to be had, and the form that asks for it (RFC 6749, *Refreshing an Access Token*; RFC 7523).
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

async fn read(response: Response) -> Result<TokenAnswer, String> {
    let status = response.status();
    let body = response.bytes(ANSWER_MAX).await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("the token service answered {status}{}", refusal_code(&body)));
    }
    serde_json::from_slice(&body).map_err(|_| "the token service's answer holds no token".to_owned())
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
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::sync::Arc;

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use sigstore::AccessTokens;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::credentials::Keychain;

    const ANSWER: &str = r#"{"access_token": "token-of-google", "expires_in": 3600, "token_type": "Bearer"}"#;

    /// A token service that answers everything with a token, and remembers what it was asked.
    async fn service() -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
        answering(&format!("200 OK\r\nmetadata-flavor: Google\r\ncontent-length: {}", ANSWER.len()), ANSWER)
            .await
    }

    /// A service that gives everything the same answer, of this head and body, and remembers what it was asked.
    async fn answering(head: &str, body: &str) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
        let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                // A request of this client ends with its body, which is a form, or with its head.
                while !is_whole(&request) {
                    let read = stream.read(&mut piece).await.unwrap();
                    request.extend_from_slice(&piece[..read]);
                }
                log.lock().unwrap().push(String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, asked)
    }

    fn is_whole(request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        body.len() >= length.map_or(0, |length| length.parse().unwrap())
    }

    fn form(request: &str) -> HashMap<String, String> {
        let body = request.split_once("\r\n\r\n").unwrap().1;
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
    }

    /// Google's credentials with a file of this content.
    fn with_file(content: &str) -> (Google, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials.json");
        fs::write(&file, content).unwrap();
        let places = Places { google_credentials: Some(file), ..Places::default() };
        (Google::new(&places, Door::open(transport::Settings::default()).unwrap()), folder)
    }

    async fn token(google: &Google) -> String {
        match google.credential().await.unwrap() {
            Some(Credential::Bearer(token)) => token.reveal().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_user_s_refresh_token_gets_one_access_token_for_all_who_ask() {
        let (address, asked) = service().await;
        let (google, _folder) = with_file(&format!(
            r#"{{"type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "again",
                "token_uri": "http://{address}/token"}}"#
        ));
        assert_eq!(
            tokio::join!(token(&google), token(&google)),
            ("token-of-google".into(), "token-of-google".into())
        );
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        let form = form(&asked[0]);
        assert_eq!((form["grant_type"].as_str(), form["refresh_token"].as_str()), ("refresh_token", "again"));
    }

    #[tokio::test]
    async fn a_service_account_signs_its_word() {
        let (address, asked) = service().await;
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let uri = format!("http://{address}/token");
        let (google, _folder) = with_file(
            &serde_json::json!({
                "type": "service_account", "client_email": "promoter@example.com", "private_key": pem,
                "private_key_id": "key-1", "token_uri": uri,
            })
            .to_string(),
        );
        assert_eq!(token(&google).await, "token-of-google");
        let form = form(&asked.lock().unwrap()[0]);
        let (text, signature) = form["assertion"].rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
        public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let [head, claims] = [0, 1].map(|part| -> serde_json::Value {
            let part = URL_SAFE_NO_PAD.decode(text.split('.').nth(part).unwrap()).unwrap();
            serde_json::from_slice(&part).unwrap()
        });
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(head, serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
        let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now - issued < 60 && expires - issued == 3600, "{claims}");
        assert_eq!(
            (claims["iss"].as_str(), claims["aud"].as_str(), claims["scope"].as_str()),
            (Some("promoter@example.com"), Some(uri.as_str()), Some(SCOPE))
        );
    }

    #[tokio::test]
    async fn the_metadata_service_is_asked_where_there_is_no_file() {
        let (address, asked) = service().await;
        let places = Places { metadata_host: Some(address), ..Places::default() };
        let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
        assert_eq!(token(&google).await, "token-of-google");
        assert!(asked.lock().unwrap()[0].contains("metadata-flavor: Google"));
    }

    /// Whatever files say of Google's registries: that is no access token.
    #[tokio::test]
    async fn who_asks_for_identities_gets_the_same_access_token() {
        let (address, asked) = service().await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), r#"{"auths": {"gcr.io": {"auth": "dTpw"}}}"#).unwrap();
        let docker_config = Some(folder.path().to_owned());
        let places = Places { docker_config, metadata_host: Some(address), ..Places::default() };
        let keychain = Keychain::new(places, Door::open(transport::Settings::default()).unwrap());
        for _ in 0..2 {
            assert_eq!(keychain.access_token().await.unwrap().unwrap().reveal(), "token-of-google");
        }
        assert_eq!(asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn where_nobody_has_credentials_there_are_none_and_nobody_is_asked_again() {
        // A port that was free a moment ago: nobody listens there.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let places = Places { metadata_host: Some(free.clone()), ..Places::default() };
        let door = Door::open(transport::Settings::default()).unwrap();
        let google = Google::new(&places, door.clone());
        for _ in 0..2 {
            assert!(google.credential().await.unwrap().is_none());
        }
        assert_eq!(door.tally()[&free].total(), 1);
    }

    #[tokio::test]
    async fn what_another_cloud_or_a_proxy_answers_at_that_address_is_no_credential_and_no_error() {
        for head in ["401 Unauthorized", "400 Bad Request", "200 OK"] {
            let (address, _) =
                answering(&format!("{head}\r\ncontent-length: {}", ANSWER.len()), ANSWER).await;
            let places = Places { metadata_host: Some(address), ..Places::default() };
            let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
            assert!(google.credential().await.unwrap().is_none(), "{head}");
        }
    }

    #[tokio::test]
    async fn a_service_that_refuses_is_not_asked_again_for_every_request() {
        let (address, asked) = answering("403 Forbidden\r\ncontent-length: 0", "").await;
        let (google, _folder) = with_file(&format!(
            r#"{{"type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "again",
                "token_uri": "http://{address}/token"}}"#
        ));
        for _ in 0..3 {
            assert!(google.credential().await.unwrap_err().contains("403"));
        }
        assert_eq!(asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_metadata_service_that_hangs_is_waited_for_once_and_two_seconds() {
        for head in ["", "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-length: 9\r\n\r\n{"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let places = Places {
                metadata_host: Some(listener.local_addr().unwrap().to_string()),
                ..Places::default()
            };
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                stream.write_all(head.as_bytes()).await.unwrap();
                // Held open, and never finished.
                std::future::pending::<()>().await;
            });
            let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
            let started = Instant::now();
            let answers = [google.credential().await, google.credential().await];
            assert!(started.elapsed() < METADATA_TIME * 2, "{head}: {:?}", started.elapsed());
            for answer in answers {
                match answer {
                    Ok(found) => assert!(found.is_none() && head.is_empty(), "{head}"),
                    Err(error) => assert!(error.contains("within 2 s") && !head.is_empty(), "{error}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn a_token_is_kept_until_a_minute_before_it_expires_and_then_renewed() {
        let (address, asked) = service().await;
        let places = Places { metadata_host: Some(address), ..Places::default() };
        let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
        token(&google).await;
        token(&google).await;
        assert_eq!(asked.lock().unwrap().len(), 1);
        {
            let mut state = google.state.lock().await;
            let State::Token { renew_at, .. } = &mut *state else { panic!("{state:?}") };
            let left = *renew_at - Instant::now();
            assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3540), "{left:?}");
            *renew_at = Instant::now();
        }
        token(&google).await;
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_refused_grant_says_why_and_what_to_do_and_no_more() {
        let body = r#"{"error": "invalid_grant", "error_description": "hush"}"#;
        let (address, _) =
            answering(&format!("400 Bad Request\r\ncontent-length: {}", body.len()), body).await;
        let (google, _folder) = with_file(&format!(
            r#"{{"type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "hush",
                "token_uri": "http://{address}/token"}}"#
        ));
        let error = google.credential().await.unwrap_err();
        for part in ["credentials.json", "400", "invalid_grant", "gcloud auth application-default login"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("hush"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named_without_its_secrets() {
        for (content, expected) in [
            (r#"{"type": "external_account"}"#, "gcloud"),
            (r#"{"type": "service_account", "client_email": "x", "private_key": "hush"}"#, "private_key"),
            (r#"{"type": "authorized_user", "client_secret": "hush"}"#, "not a file of credentials"),
            ("hush", "not a file of credentials"),
        ] {
            let (google, _folder) = with_file(content);
            let error = google.credential().await.unwrap_err();
            assert!(
                error.contains(expected) && error.contains("credentials.json") && !error.contains("hush"),
                "{error}"
            );
        }
        let places = Places { google_credentials: Some("/no/such/file".into()), ..Places::default() };
        let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
        assert!(
            google.credential().await.unwrap_err().contains("/no/such/file"),
            "what is asked for must be there"
        );
    }

    #[test]
    fn only_google_s_registries_are_google_s() {
        let is = |host: &str| is_google(&host.parse().unwrap());
        assert!(is("gcr.io") && is("eu.gcr.io") && is("us-central1-docker.pkg.dev"));
        assert!(!is("gcr.io.evil.example") && !is("notgcr.io") && !is("pkg.dev.example"));
    }
}
