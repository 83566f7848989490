//! Authentication to registries (distribution specification, *Authentication*; RFC 9110, section 11; Docker's *Token
//! Authentication Specification*).
//!
//! If credentials exist for a host, this client first determines with one `GET /v2/` which scheme the host requires. All further
//! requests carry the credentials, since a registry may hide content from anonymous readers. For any other host, the first
//! answer shows which scheme it requires. A token is fetched once per host and scope, by the first request that
//! needs it while the others wait, and is renewed before it expires. A request that succeeds without credentials says nothing
//! about the next one.

mod challenge;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod token;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use challenge::{Bearer, Challenges};
use http::{HeaderValue, Method, StatusCode, header};
use oci_types::{Host, RepositoryPath};
use token::{Token, basic, bearer};
use transport::{Answer, Body, Class, Door, Opened, Request, Sink, shown};
use url::{Url, form_urlencoded};

use crate::credential::{Credential, CredentialSource, FoundCredential};
use crate::error::{Error, ErrorKind, Identity, Refusal};

/// The maximum size of an answer of a token service, in bytes.
const TOKEN_MAX: u64 = 256 * 1024;

/// The access that a request needs, for its token.
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

pub(crate) type Scopes = BTreeSet<Scope>;

/// The sender of a request and its purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) host: &'a Host,
    /// The repository whose credentials are used; `None` for those of the host.
    pub(crate) repository: Option<&'a RepositoryPath>,
    pub(crate) scopes: &'a Scopes,
    /// The operation that the request is part of, for error messages.
    pub(crate) doing: &'a str,
}

/// Authenticates requests to all hosts.
#[derive(Debug)]
pub(crate) struct Authenticator {
    door: Door,
    source: Arc<dyn CredentialSource>,
    /// Further hosts whose token services may receive the credentials of a registry.
    token_hosts: HashMap<Host, Vec<Host>>,
}

/// What is known about the authentication of a host.
#[derive(Debug, Default)]
pub(crate) struct HostAuth {
    /// The schemes that the host has offered, if it has offered any.
    offered: Mutex<Option<Challenges>>,
    /// Held while a request determines which scheme the host requires. `true` once it was answered.
    probed: tokio::sync::Mutex<bool>,
    /// Held by the first request without credentials, while the others wait. `true` once it has ended.
    tried: tokio::sync::Mutex<bool>,
    tokens: Mutex<HashMap<Scopes, Arc<Slot>>>,
}

/// The token for a set of scopes.
#[derive(Debug, Default)]
struct Slot {
    /// The schemes that the repository itself has offered, if any: repositories of one host may have different realms.
    offered: Mutex<Option<Challenges>>,
    token: tokio::sync::Mutex<Option<Token>>,
}

/// The scheme by which a credential is sent.
#[derive(Clone, Debug)]
enum Scheme {
    /// The host has made no challenge.
    Unknown,
    Basic,
    Bearer(Bearer),
}

/// The `Authorization` header of a request, and the identity that it proves.
#[derive(Clone, Debug)]
struct Authorization {
    header: Option<HeaderValue>,
    identity: Identity,
}

/// How the body of an answer is received.
pub(crate) enum Way<'a> {
    /// As a whole.
    Whole,
    /// In pieces, by a sink.
    Pieces(&'a mut dyn Sink),
    /// As a stream.
    Stream,
}

/// The answer, and the credentials that the request carried.
pub(crate) struct Replied {
    pub(crate) opened: Opened,
    pub(crate) identity: Identity,
}

impl Authenticator {
    pub(crate) fn new(
        door: Door,
        source: Arc<dyn CredentialSource>,
        mut token_hosts: HashMap<Host, Vec<Host>>,
    ) -> Self {
        // Docker Hub is the one well-known registry whose token service is on another host.
        if let (Ok(hub), Ok(tokens)) = ("docker.io".parse(), "auth.docker.io".parse()) {
            token_hosts.entry(hub).or_default().push(tokens);
        }
        Self { door, source, token_hosts }
    }

    /// Sends a request with the credentials that the host requires. A token that is refused is renewed once. `ping` is the URL of
    /// the host's `/v2/`.
    pub(crate) async fn send(
        &self,
        state: &HostAuth,
        asking: Asking<'_>,
        ping: &Url,
        request: Request,
        mut way: Way<'_>,
    ) -> Result<Replied, Error> {
        if request.url().origin() != ping.origin() {
            // Credentials are never sent to another host.
            let to = shown(request.url());
            return Err(Error::new(asking.doing, ErrorKind::ForeignHost { header: "answer", to }));
        }
        let found = self.source.credential(asking.host, asking.repository).await;
        let first = match &found {
            Ok(None) => state.first().await,
            found => {
                if needs_probe(found) {
                    self.probe(state, ping, asking.doing).await?;
                }
                None
            }
        };
        let authorization = self.authorize(state, asking, &found).await?;
        let (again, is_once) = (request.replica(), request.is_once());
        let delivered =
            self.deliver(with(request, authorization.header.as_ref()), &mut way, asking.doing).await;
        let challenges = delivered.as_ref().ok().and_then(|opened| challenges(opened, ping));
        if let Some(challenges) = &challenges {
            state.learn(asking.scopes, challenges);
        }
        mark_tried(first);
        let opened = delivered?;
        if challenges.is_none() {
            return Ok(Replied { opened, identity: authorization.identity });
        }
        state.forget(asking.scopes, authorization.header.as_ref()).await;
        let Some(again) = again.filter(|_| !is_once) else {
            return Ok(Replied { opened, identity: authorization.identity });
        };
        let renewed = self.authorize(state, asking, &found).await?;
        if renewed.header == authorization.header {
            // There are no other credentials to send, so the answer is final.
            return Ok(Replied { opened, identity: authorization.identity });
        }
        let opened = self.deliver(with(again, renewed.header.as_ref()), &mut way, asking.doing).await?;
        Ok(Replied { opened, identity: renewed.identity })
    }

    async fn deliver(&self, request: Request, way: &mut Way<'_>, doing: &str) -> Result<Opened, Error> {
        let delivered = match way {
            Way::Whole => self.door.send(request).await.map(whole),
            Way::Pieces(sink) => self.door.pieces(request, *sink).await.map(whole),
            Way::Stream => self.door.stream(request).await,
        };
        delivered.map_err(|error| Error::new(doing, ErrorKind::Transport(error)))
    }

    /// Determines which scheme a host requires, once for each host.
    async fn probe(&self, state: &HostAuth, ping: &Url, doing: &str) -> Result<(), Error> {
        let mut probed = state.probed.lock().await;
        if *probed || lock(&state.offered).is_some() {
            return Ok(());
        }
        let request = Request::new(Method::GET, ping.clone(), "ping", Class::Read);
        let opened = self.deliver(request, &mut Way::Whole, doing).await?;
        if let Some(challenges) = challenges(&opened, ping) {
            tracing::debug!(url = shown(ping), ?challenges, "the registry wants credentials");
            *lock(&state.offered) = Some(challenges.for_all_repositories());
        }
        *probed = true;
        Ok(())
    }

    /// Returns the authorization that a request must carry.
    async fn authorize(
        &self,
        state: &HostAuth,
        asking: Asking<'_>,
        found: &Result<Option<FoundCredential>, String>,
    ) -> Result<Authorization, Error> {
        let Asking { host, scopes, doing, .. } = asking;
        // Without a credential, any token service may be used.
        let is_usable = |realm: &Url| matches!(found, Ok(None)) || self.may_have_credentials(host, realm);
        let scheme = state.offered(scopes).map_or(Scheme::Unknown, |offered| Scheme::of(&offered, is_usable));
        let host_name = || host.to_string();
        let shown_as =
            |found: &FoundCredential| Identity::From { host: host_name(), origin: found.origin.clone() };
        let none = || Identity::None { host: host_name(), places: self.source.places() };
        let unusable = |why: &str| Identity::Unusable { host: host_name(), why: why.to_owned() };
        let found = match (found, &scheme) {
            (Ok(found), _) => found.as_ref(),
            // The host has not required credentials. If it does later, the same error occurs again.
            (Err(why), Scheme::Unknown) => {
                return Ok(Authorization { header: None, identity: unusable(why) });
            }
            (Err(why), _) => return Err(Error::new(doing, ErrorKind::Credential(why.clone()))),
        };
        let (header, identity) = match (scheme, found.map(|found| (found, &found.credential))) {
            (_, Some((found, Credential::Bearer(token)))) => {
                (Some(bearer(token.reveal(), doing)?), shown_as(found))
            }
            // A host that has not required credentials may still show more to authenticated clients.
            (Scheme::Basic | Scheme::Unknown, Some((found, Credential::Basic { user, password }))) => {
                (Some(basic(user, password, doing)?), shown_as(found))
            }
            (Scheme::Bearer(challenge), with) => {
                let credential = with.map(|(_, credential)| credential);
                let identity = found.map_or_else(none, shown_as);
                let fetch = || self.fetch(asking, &challenge, credential, &identity);
                let header = state.slot(scopes).token(fetch).await?;
                (Some(header), identity)
            }
            (Scheme::Basic | Scheme::Unknown, Some((_, Credential::Identity(_)))) => {
                (None, unusable("the registry names no token service that takes the refresh token"))
            }
            (Scheme::Basic | Scheme::Unknown, None) => (None, none()),
        };
        Ok(Authorization { header, identity })
    }

    /// Fetches a token from the service that a challenge names.
    async fn fetch(
        &self,
        asking: Asking<'_>,
        challenge: &Bearer,
        credential: Option<&Credential>,
        identity: &Identity,
    ) -> Result<Token, Error> {
        let Asking { host, scopes, doing, .. } = asking;
        let mut realm = challenge.realm.clone();
        let own = self.may_have_credentials(host, &realm);
        if credential.is_some() && !own {
            return Err(Error::new(doing, ErrorKind::ForeignTokenRealm { realm: shown(&realm) }));
        }
        let ours = scopes.iter().map(|scope| scope.0.as_str());
        let theirs = challenge.scopes.iter().map(String::as_str);
        let wanted: BTreeSet<&str> = ours.chain(theirs).collect();
        let service = challenge.service.as_deref();
        let is_exchange = matches!(credential, Some(Credential::Identity(_)));
        let mut request = if let Some(Credential::Identity(token)) = credential {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", "kpromo");
            form.append_pair("service", service.unwrap_or_default());
            form.append_pair("scope", &wanted.into_iter().collect::<Vec<_>>().join(" "));
            form.append_pair("refresh_token", token.reveal());
            Request::new(Method::POST, realm, "token", Class::Token)
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
                .body(Body::Bytes(form.finish().into()))
                .secret(token)
        } else {
            let named = service.map(|service| ("service", service));
            let scopes = wanted.into_iter().map(|scope| ("scope", scope));
            let query = named.into_iter().chain(scopes);
            realm.query_pairs_mut().extend_pairs(query);
            Request::new(Method::GET, realm, "token", Class::Token)
        };
        if let Some(Credential::Basic { user, password }) = credential {
            request = request.header(header::AUTHORIZATION, basic(user, password, doing)?);
        }
        if !own {
            let is_local =
                host.is_loopback() && authority(request.url()).is_some_and(|realm| realm.is_loopback());
            request = if is_local { request.to_configured_host() } else { request.to_named_host() };
        }
        let doing = format!("{doing}: getting a token");
        let answer = self
            .door
            .send(request.limit(TOKEN_MAX))
            .await
            .map_err(|error| Error::new(&doing, ErrorKind::Transport(error)))?;
        match answer.status() {
            status if status.is_success() => Token::read(answer.body(), &doing),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if is_exchange => {
                let why = format!(
                    "the token service answered {} to the refresh token: log in with a user name and a password instead",
                    answer.status()
                );
                Err(Error::new(doing, ErrorKind::Credential(why)))
            }
            _ => Err(Error::new(doing, ErrorKind::Refused(Refusal::of(&answer, identity.clone())))),
        }
    }

    /// Returns `true` if a URL may receive credentials for a registry: on its own host or on a configured token host.
    fn may_have_credentials(&self, host: &Host, realm: &Url) -> bool {
        let plain = realm.scheme() == "http"
            && !self.door.host_settings(host.api()).plain_http
            && !host.is_loopback();
        let Some(realm) = authority(realm) else { return false };
        let configured = self.token_hosts.get(host).is_some_and(|hosts| hosts.contains(&realm));
        !plain && (realm.as_str() == host.api() || configured)
    }
}

impl HostAuth {
    /// Returns the guard of the first request without credentials; `None` if there was such a request.
    async fn first(&self) -> Option<tokio::sync::MutexGuard<'_, bool>> {
        if lock(&self.offered).is_some() {
            return None;
        }
        Some(self.tried.lock().await).filter(|tried| !**tried)
    }

    /// Returns the schemes for a set of scopes: those that their repository has offered, or else those of the host.
    fn offered(&self, scopes: &Scopes) -> Option<Challenges> {
        let own = lock(&self.tokens).get(scopes).and_then(|slot| lock(&slot.offered).clone());
        own.or_else(|| lock(&self.offered).clone())
    }

    /// Stores the challenges of an answer to a request with these scopes. If there are none, the credentials that were sent are
    /// no longer valid.
    fn learn(&self, scopes: &Scopes, challenges: &Challenges) {
        if challenges.is_empty() {
            return;
        }
        tracing::debug!(?challenges, "the registry wants credentials");
        *lock(&self.slot(scopes).offered) = Some(challenges.clone());
        *lock(&self.offered) = Some(challenges.clone().for_all_repositories());
    }

    fn slot(&self, scopes: &Scopes) -> Arc<Slot> {
        Arc::clone(lock(&self.tokens).entry(scopes.clone()).or_default())
    }

    /// Drops the token that was just refused, unless another request has renewed it in the meantime.
    async fn forget(&self, scopes: &Scopes, refused: Option<&HeaderValue>) {
        let slot = lock(&self.tokens).get(scopes).cloned();
        if let Some(slot) = slot {
            let mut token = slot.token.lock().await;
            if token.as_ref().map(|token| &token.header) == refused {
                *token = None;
            }
        }
    }
}

impl Slot {
    /// Returns the stored token while it is fresh, or else fetches a new one, once for all requests that need it.
    async fn token<F>(&self, fetch: impl FnOnce() -> F) -> Result<HeaderValue, Error>
    where
        F: Future<Output = Result<Token, Error>>,
    {
        let mut place = self.token.lock().await;
        if let Some(token) = place.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.header.clone());
        }
        let token = fetch().await?;
        let header = token.header.clone();
        *place = Some(token);
        Ok(header)
    }
}

impl Scheme {
    /// Selects a scheme: `Bearer` if its realm is usable, then `Basic`. If neither can be used, it selects `Bearer` anyway, so
    /// that the error names the realm.
    fn of(challenges: &Challenges, is_usable: impl Fn(&Url) -> bool) -> Self {
        match &challenges.bearer {
            Some(bearer) if is_usable(&bearer.realm) || !challenges.basic => Self::Bearer(bearer.clone()),
            _ if challenges.basic => Self::Basic,
            _ => Self::Unknown,
        }
    }
}

/// Returns `true` if the scheme of the host must be known before a credential is sent. An access token is always sent unchanged.
fn needs_probe(found: &Result<Option<FoundCredential>, String>) -> bool {
    match found {
        Ok(None) => false,
        Ok(Some(found)) => !matches!(found.credential, Credential::Bearer(_)),
        Err(_) => true,
    }
}

fn whole(answer: Answer) -> Opened {
    Opened::Other(Box::new(answer))
}

/// Returns the challenges of an answer if it is a 401 of the requested host. Challenges of other hosts are ignored.
fn challenges(opened: &Opened, ping: &Url) -> Option<Challenges> {
    let answer: &Answer = match opened {
        Opened::Other(answer) => answer,
        Opened::Body(_) => return None,
    };
    let is_ours = answer.status() == StatusCode::UNAUTHORIZED && answer.url().origin() == ping.origin();
    is_ours.then(|| Challenges::of(answer.headers(), answer.url()))
}

/// Returns why the challenge of a 401 cannot be answered; `None` if it can, or if the answer is not a 401.
pub(crate) fn challenge_not_understood(answer: &Answer) -> Option<String> {
    let is_challenge = answer.status() == StatusCode::UNAUTHORIZED && !answer.is_redirected();
    let why = challenge::not_understood(answer.headers(), answer.url()).filter(|_| is_challenge)?;
    Some(answer.masked(&why))
}

/// Releases the other requests without credentials.
fn mark_tried(first: Option<tokio::sync::MutexGuard<'_, bool>>) {
    if let Some(mut tried) = first {
        *tried = true;
    }
}

fn with(request: Request, authorization: Option<&HeaderValue>) -> Request {
    match authorization {
        Some(value) => request.header(header::AUTHORIZATION, value.clone()),
        None => request,
    }
}

/// Returns the host of a URL in the notation of a registry host.
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
