//! Who we are to a registry: challenges, credentials and tokens (distribution specification, *Authentication*; RFC 9110,
//! section 11; Docker's *Token Authentication Specification*).
//!
//! No registry is pinged. The first request of a host shows how it wants to be asked; from then on tokens are got before
//! they are asked for, once per host and scope, by whoever comes first while the others wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use transport::{Body, Class, Door, Request, Secret, shown};
use url::Url;

use crate::credential::{Credential, CredentialSource};
use crate::error::{Error, ErrorKind, Refusal};
use crate::name::{Host, RepositoryPath};

/// The largest answer of a token service, in bytes.
const TOKEN_MAX: u64 = 256 * 1024;
/// How long a token is good for where its service does not say (token specification).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// Tokens are renewed this long before they expire, or at half their life where that is shorter.
const MARGIN: Duration = Duration::from_secs(30);

/// What a request wants to do, for the token it needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Scope(String);

impl Scope {
    pub(crate) fn pull(repository: &RepositoryPath) -> Self {
        Self(format!("repository:{repository}:pull"))
    }

    pub(crate) fn push(repository: &RepositoryPath) -> Self {
        Self(format!("repository:{repository}:pull,push"))
    }

    pub(crate) fn catalog() -> Self {
        Self("registry:catalog:*".to_owned())
    }
}

type Scopes = BTreeSet<Scope>;

/// Authorizes requests.
#[derive(Debug)]
pub(crate) struct Authenticator {
    door: Door,
    source: Arc<dyn CredentialSource>,
    /// Hosts, besides its own, that may see a registry's credentials.
    token_hosts: HashMap<Host, Vec<Host>>,
    hosts: Mutex<HashMap<Host, Arc<HostAuth>>>,
}

/// What is known of one host.
#[derive(Debug, Default)]
struct HostAuth {
    scheme: Mutex<Scheme>,
    /// Held by the request that finds out the scheme, so that a hundred others do not find it out beside it. `true` once
    /// that was tried: where it brought nothing, all others go ahead at once.
    finding_out: tokio::sync::Mutex<bool>,
    tokens: Mutex<HashMap<Scopes, Arc<tokio::sync::Mutex<Option<Token>>>>>,
}

#[derive(Clone, Debug, Default)]
enum Scheme {
    #[default]
    Unknown,
    /// The host answers without being told who asks.
    Open,
    Basic,
    Bearer(Bearer),
}

/// A `Bearer` challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bearer {
    realm: Url,
    service: Option<String>,
}

#[derive(Clone, Debug)]
struct Token {
    header: HeaderValue,
    renew_at: Instant,
}

impl Authenticator {
    pub(crate) fn new(
        door: Door,
        source: Arc<dyn CredentialSource>,
        mut token_hosts: HashMap<Host, Vec<Host>>,
    ) -> Self {
        // The one well-known registry whose tokens come from elsewhere.
        if let (Ok(hub), Ok(tokens)) = ("docker.io".parse(), "auth.docker.io".parse()) {
            token_hosts.entry(hub).or_default().push(tokens);
        }
        Self { door, source, token_hosts, hosts: Mutex::default() }
    }

    /// Sends a request with what the host wants to see; a refused token is renewed once.
    pub(crate) async fn send(
        &self,
        host: &Host,
        scopes: Scopes,
        request: Request,
        doing: &str,
    ) -> Result<transport::Response, Error> {
        let state = self.host(host);
        let known = || !matches!(*lock(&state.scheme), Scheme::Unknown);
        let finding_out = if known() { None } else { Some(state.finding_out.lock().await) };
        let finding_out = finding_out.filter(|tried| !**tried && !known());

        let authorization = self.authorize(host, &state, &scopes, doing).await?;
        let again = request.replica();
        let delivered = self.deliver(with(request, authorization.as_ref()), doing).await;
        let challenged =
            delivered.as_ref().is_ok_and(|response| response.status() == http::StatusCode::UNAUTHORIZED);
        if let (true, Ok(response)) = (challenged, &delivered) {
            let scheme = Scheme::of(response.headers());
            tracing::debug!(%host, ?scheme, "the registry wants to know who asks");
            *lock(&state.scheme) = scheme;
        } else if authorization.is_none() && finding_out.is_some() && delivered.is_ok() {
            // Only who was let in without saying who he is knows that nobody asks.
            *lock(&state.scheme) = Scheme::Open;
        }
        if let Some(mut tried) = finding_out {
            *tried = true;
        }
        let response = delivered?;
        if !challenged {
            return Ok(response);
        }
        state.forget(&scopes, authorization.as_ref()).await;
        let Some(again) = again else { return Ok(response) };
        match self.authorize(host, &state, &scopes, doing).await? {
            // Nothing new to say: the answer stands.
            renewed if renewed == authorization => Ok(response),
            renewed => {
                response.discard().await;
                self.deliver(with(again, renewed.as_ref()), doing).await
            }
        }
    }

    async fn deliver(&self, request: Request, doing: &str) -> Result<transport::Response, Error> {
        self.door.send(request).await.map_err(|error| Error::new(doing, ErrorKind::Transport(error)))
    }

    async fn authorize(
        &self,
        host: &Host,
        state: &HostAuth,
        scopes: &Scopes,
        doing: &str,
    ) -> Result<Option<HeaderValue>, Error> {
        let scheme = lock(&state.scheme).clone();
        if matches!(scheme, Scheme::Open) {
            return Ok(None);
        }
        let credential = match self.source.credential(host, None).await {
            Ok(found) => found.map(|found| found.credential),
            // The host may not even ask; where it does, the same problem comes up again.
            Err(_) if matches!(scheme, Scheme::Unknown) => return Ok(None),
            Err(why) => return Err(Error::new(doing, ErrorKind::Credential(why))),
        };
        match (scheme, credential) {
            (_, Some(Credential::Bearer(token))) => Ok(Some(bearer(token.reveal(), doing)?)),
            (Scheme::Basic, Some(Credential::Basic { user, password })) => {
                Ok(Some(basic(&user, &password, doing)?))
            }
            (Scheme::Bearer(challenge), credential) => state
                .token(scopes, || self.fetch(host, &challenge, scopes, credential, doing))
                .await
                .map(Some),
            (Scheme::Unknown | Scheme::Open | Scheme::Basic, _) => Ok(None),
        }
    }

    /// Gets a token from the service that a challenge names.
    async fn fetch(
        &self,
        host: &Host,
        challenge: &Bearer,
        scopes: &Scopes,
        credential: Option<Credential>,
        doing: &str,
    ) -> Result<Token, Error> {
        let mut realm = challenge.realm.clone();
        let own = self.may_have_credentials(host, &realm);
        if credential.is_some() && !own {
            return Err(Error::new(doing, ErrorKind::ForeignTokenRealm { realm: shown(&realm) }));
        }
        let scope = scopes.iter().map(|scope| scope.0.as_str());
        let service = challenge.service.as_deref().unwrap_or_default();
        let mut request = if let Some(Credential::Identity(token)) = &credential {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", "kpromo");
            form.append_pair("service", service).append_pair("scope", &scope.collect::<Vec<_>>().join(" "));
            form.append_pair("refresh_token", token.reveal());
            Request::new(Method::POST, realm, "token", Class::Token)
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
                .body(Body::Bytes(form.finish().into()))
        } else {
            realm.query_pairs_mut().append_pair("service", service);
            scope.for_each(|scope| {
                realm.query_pairs_mut().append_pair("scope", scope);
            });
            Request::new(Method::GET, realm, "token", Class::Token)
        };
        if let Some(Credential::Basic { user, password }) = &credential {
            request = request.header(header::AUTHORIZATION, basic(user, password, doing)?);
        }
        if !own && !host.is_loopback() {
            request = request.to_named_host();
        }
        let doing = format!("{doing}: getting a token");
        let response = self.deliver(request, &doing).await?;
        if !response.status().is_success() {
            return Err(Error::new(doing, ErrorKind::Refused(Refusal::read(response).await)));
        }
        let body = response
            .bytes(TOKEN_MAX)
            .await
            .map_err(|error| Error::new(&doing, ErrorKind::Transport(error)))?;
        Token::read(&body, &doing)
    }

    /// Whether credentials for a registry may go to a URL: its own host, or one that is configured as its token host.
    fn may_have_credentials(&self, host: &Host, realm: &Url) -> bool {
        let plain = realm.scheme() == "http"
            && !self.door.host_settings(host.api()).plain_http
            && !host.is_loopback();
        let Some(realm) = authority(realm) else { return false };
        let configured = self.token_hosts.get(host).is_some_and(|hosts| hosts.contains(&realm));
        !plain && (realm.as_str() == host.api() || configured)
    }

    fn host(&self, host: &Host) -> Arc<HostAuth> {
        Arc::clone(lock(&self.hosts).entry(host.clone()).or_default())
    }
}

impl HostAuth {
    /// The token for some scopes: the one that is there while it is fresh, else a new one, got once for all who want it.
    async fn token<F>(&self, scopes: &Scopes, fetch: impl FnOnce() -> F) -> Result<HeaderValue, Error>
    where
        F: Future<Output = Result<Token, Error>>,
    {
        let place = Arc::clone(lock(&self.tokens).entry(scopes.clone()).or_default());
        let mut place = place.lock().await;
        if let Some(token) = place.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.header.clone());
        }
        let token = fetch().await?;
        let header = token.header.clone();
        *place = Some(token);
        Ok(header)
    }

    /// Drops the token that was just refused, unless another request has renewed it meanwhile.
    async fn forget(&self, scopes: &Scopes, refused: Option<&HeaderValue>) {
        let place = lock(&self.tokens).get(scopes).cloned();
        if let Some(place) = place {
            let mut place = place.lock().await;
            if place.as_ref().map(|token| &token.header) == refused {
                *place = None;
            }
        }
    }
}

impl Token {
    fn read(body: &[u8], doing: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let malformed = |why: String| Error::new(doing, ErrorKind::Malformed(why));
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|error| malformed(format!("a token is expected: {error}")))?;
        let text =
            answer.token.or(answer.access_token).ok_or_else(|| malformed("it holds no token".to_owned()))?;
        // What a clock skewed by hours would make of `issued_at` is worse than not to read it.
        let life =
            answer.expires_in.map_or(DEFAULT_LIFE, |seconds| Duration::from_secs(seconds.min(24 * 3600)));
        let renew_at = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
        Ok(Self { header: bearer(&text, doing)?, renew_at })
    }
}

impl Scheme {
    /// The scheme that an answer's challenges ask for; `Bearer` before `Basic`.
    fn of(headers: &HeaderMap) -> Self {
        let challenges =
            headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut scheme = Self::Open;
        for challenge in challenges {
            let (name, rest) = challenge.trim().split_once(' ').unwrap_or((challenge.trim(), ""));
            if name.eq_ignore_ascii_case("bearer") {
                let mut parameters = parameters(rest);
                if let Some(realm) = parameters.remove("realm").and_then(|realm| Url::parse(&realm).ok()) {
                    return Self::Bearer(Bearer { realm, service: parameters.remove("service") });
                }
            } else if name.eq_ignore_ascii_case("basic") {
                scheme = Self::Basic;
            }
        }
        scheme
    }
}

/// The parameters of a challenge: `name="value"` or `name=value`, with commas between.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.insert(name, value);
        rest = next;
    }
    found
}

/// The value of a quoted string, whose opening quote is taken off, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn with(request: Request, authorization: Option<&HeaderValue>) -> Request {
    match authorization {
        Some(value) => request.header(header::AUTHORIZATION, value.clone()),
        None => request,
    }
}

fn bearer(token: &str, doing: &str) -> Result<HeaderValue, Error> {
    sensitive(format!("Bearer {token}"), doing)
}

fn basic(user: &str, password: &Secret, doing: &str) -> Result<HeaderValue, Error> {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))), doing)
}

fn sensitive(text: String, doing: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        Error::new(doing, ErrorKind::Credential("it holds characters no header can".to_owned()))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The host of a URL, as a registry's host is written.
pub(crate) fn authority(url: &Url) -> Option<Host> {
    let host = url.host_str()?;
    match url.port() {
        Some(port) => format!("{host}:{port}").parse().ok(),
        None => host.parse().ok(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(challenge: &str) -> Scheme {
        let mut headers = HeaderMap::new();
        headers.insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        Scheme::of(&headers)
    }

    #[test]
    fn a_bearer_challenge_is_read_with_commas_and_quotes_inside() {
        let Scheme::Bearer(bearer) = scheme(
            r#"Bearer realm="https://auth.example/token?a=b,c",service="a \"b\"",scope="repository:x:pull,push""#,
        ) else {
            panic!("not bearer")
        };
        assert_eq!(bearer.realm.as_str(), "https://auth.example/token?a=b,c");
        assert_eq!(bearer.service.as_deref(), Some("a \"b\""));
    }

    #[test]
    fn unquoted_and_unknown_challenges_do_no_harm() {
        assert!(matches!(scheme("bearer realm=https://a.example/t, service=x"), Scheme::Bearer(_)));
        assert!(matches!(scheme(r#"Basic realm="x""#), Scheme::Basic));
        assert!(matches!(scheme("Negotiate abc"), Scheme::Open));
        assert!(matches!(scheme(r#"Bearer realm="not a url""#), Scheme::Open));
        assert!(matches!(scheme(r#"Bearer realm=""#), Scheme::Open));
    }

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let long = Token::read(br#"{"token":"t","expires_in":300}"#, "").unwrap();
        let left = long.renew_at - Instant::now();
        assert!(left > Duration::from_secs(260) && left <= Duration::from_secs(270), "{left:?}");
        let short = Token::read(br#"{"access_token":"t","expires_in":10}"#, "").unwrap();
        assert!(short.renew_at - Instant::now() <= Duration::from_secs(5));
        assert!(Token::read(br#"{"expires_in":10}"#, "").is_err());
        assert!(Token::read(b"<html>", "").is_err());
    }
}
