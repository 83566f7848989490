//! A session for each host: its protocol, its capabilities, and whether its answers about absence are reliable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, StatusCode};
use oci_types::{Host, Repository, RepositoryPath};
use transport::{Answer, BodyStream, Class, Door, Opened, Request, Sink};
use url::Url;

use crate::absent::Absent;
use crate::auth::{Asking, Authenticator, HostAuth, Replied, Scope, Scopes, Way, challenge_not_understood};
use crate::credential::CredentialSource;
use crate::error::{Error, ErrorKind, Identity, Refusal};

/// The codes with which a registry reports that a repository or a manifest does not exist (distribution specification, *Error
/// Codes*).
pub(crate) const NO_REPOSITORY: &[&str] = &["NAME_UNKNOWN"];
pub(crate) const NO_MANIFEST: &[&str] = &["MANIFEST_UNKNOWN", "NAME_UNKNOWN"];
/// After this many failed mounts in a row, each followed by a successful plain upload, no more mounts are requested from a host.
const MOUNTS_FAILED: u8 = 3;
/// The chunk size, in bytes, for a host that refuses whole blobs and does not state what it accepts.
const DEFAULT_CHUNK: u64 = 16 * 1024 * 1024;

/// The settings of one host.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Plain HTTP (`true`) or TLS (`false`). `None`: plain HTTP for the names of the local machine, TLS for all others.
    pub plain_http: Option<bool>,
    /// Further hosts whose token services may receive the credentials of the registry.
    pub token_hosts: Vec<Host>,
    /// The chunk size of uploads, in bytes. `None`: blobs are uploaded whole, until the host refuses that.
    pub upload_chunk: Option<u64>,
    /// Whether the host honours `If-None-Match` and `If-Match` for writes of manifests, so that a tag that another client
    /// has written in the meantime is not overwritten.
    pub conditional_writes: bool,
    /// Codes, in addition to those of the specification, with which the host reports in a 404 that something does not exist.
    pub absence_codes: Vec<String>,
}

/// All sessions of a client.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) door: Door,
    authenticator: Authenticator,
    options: HashMap<Host, HostOptions>,
    hosts: Mutex<HashMap<Host, Arc<Session>>>,
}

/// The session of one host.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) host: Host,
    pub(crate) options: HostOptions,
    ping: Url,
    auth: HostAuth,
    abilities: Mutex<Abilities>,
    /// Held by the first mount of the host, which determines whether the host mounts, while the others wait. `true` once it is
    /// known.
    mount_tried: tokio::sync::Mutex<bool>,
    referrers_tried: tokio::sync::Mutex<bool>,
}

/// The capabilities of a host, as far as they are known.
#[derive(Debug, Default)]
struct Abilities {
    /// It has refused a page size.
    refuses_page_size: bool,
    /// It has refused `HEAD` of manifests, or `HEAD` has denied a manifest that `GET` then returned.
    refuses_head: bool,
    /// It has refused `Range`.
    refuses_range: bool,
    /// It does not mount.
    refuses_mounts: bool,
    /// It has mounted a blob, or has opened the upload that is the alternative to a mount.
    has_mounted: bool,
    /// The number of mounts in a row that failed although an upload succeeded.
    failed_mounts: u8,
    /// It has refused an upload in one piece.
    wants_chunks: bool,
    /// Whether it has a referrers API, if that is known.
    referrers: Option<bool>,
    /// It was asked for the list of a digest that no manifest has, which shows whether it has the API.
    has_looked_for_referrers: bool,
}

/// One call of the API.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) kind: &'static str,
    pub(crate) class: Class,
    pub(crate) session: Arc<Session>,
    pub(crate) repository: Option<&'a RepositoryPath>,
    pub(crate) scopes: Scopes,
}

/// An answer, and the credentials that its request carried.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) identity: Identity,
}

/// The result of a request for a stream.
pub(crate) enum Streamed {
    Body(Box<BodyStream>),
    Other(Box<Reply>),
}

impl Call<'_> {
    pub(crate) fn request(&self) -> Request {
        Request::new(self.method.clone(), self.url.clone(), self.kind, self.class)
    }

    fn asking<'b>(&'b self, doing: &'b str) -> Asking<'b> {
        Asking { host: &self.session.host, repository: self.repository, scopes: &self.scopes, doing }
    }
}

impl Sessions {
    pub(crate) fn new(
        door: Door,
        credentials: Arc<dyn CredentialSource>,
        options: HashMap<Host, HostOptions>,
    ) -> Self {
        let token_hosts =
            options.iter().map(|(host, options)| (host.clone(), options.token_hosts.clone())).collect();
        let authenticator = Authenticator::new(door.clone(), credentials, token_hosts);
        Self { door, authenticator, options, hosts: Mutex::default() }
    }

    /// Returns the session of a host.
    pub(crate) fn of(&self, host: &Host) -> Result<Arc<Session>, Error> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = hosts.get(host) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Session::new(host, self.options.get(host).cloned().unwrap_or_default())?);
        hosts.insert(host.clone(), Arc::clone(&session));
        Ok(session)
    }

    /// Constructs a call about a repository; `path` is the part after its name.
    pub(crate) fn call<'a>(
        &self,
        method: Method,
        repository: &'a Repository,
        path: &str,
        kind: &'static str,
    ) -> Result<Call<'a>, Error> {
        let session = self.of(&repository.host)?;
        let url = session.url(&format!("{}/{path}", repository.path))?;
        let writes = !matches!(method, Method::GET | Method::HEAD);
        let scope = if writes { Scope::push } else { Scope::pull };
        let class = if writes { Class::Write } else { Class::Read };
        let scopes = Scopes::from([scope(&repository.path)]);
        Ok(Call { method, url, kind, class, session, repository: Some(&repository.path), scopes })
    }

    /// Sends a call with the credentials of its host, and returns the whole answer.
    pub(crate) async fn send(&self, call: &Call<'_>, request: Request, doing: &str) -> Result<Reply, Error> {
        self.reply(call, request, doing, Way::Whole).await
    }

    /// Sends a call as [`Sessions::send`] does, but passes the body of a successful answer to `sink`.
    pub(crate) async fn pieces(
        &self,
        call: &Call<'_>,
        request: Request,
        doing: &str,
        sink: &mut dyn Sink,
    ) -> Result<Reply, Error> {
        self.reply(call, request, doing, Way::Pieces(sink)).await
    }

    async fn reply(
        &self,
        call: &Call<'_>,
        request: Request,
        doing: &str,
        way: Way<'_>,
    ) -> Result<Reply, Error> {
        match self.exchange(call, request, doing, way).await? {
            Replied { opened: Opened::Other(answer), identity } => Ok(Reply { answer: *answer, identity }),
            Replied { opened: Opened::Body(_), .. } => {
                Err(Error::new(doing, ErrorKind::Content("a whole answer was expected".to_owned())))
            }
        }
    }

    /// Sends a call as [`Sessions::send`] does, but returns the body of a successful answer as a stream.
    pub(crate) async fn stream(
        &self,
        call: &Call<'_>,
        request: Request,
        doing: &str,
    ) -> Result<Streamed, Error> {
        let Replied { opened, identity } = self.exchange(call, request, doing, Way::Stream).await?;
        Ok(match opened {
            Opened::Body(body) => Streamed::Body(body),
            Opened::Other(answer) => Streamed::Other(Box::new(Reply { answer: *answer, identity })),
        })
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        request: Request,
        doing: &str,
        way: Way<'_>,
    ) -> Result<Replied, Error> {
        let session = &call.session;
        self.authenticator.send(&session.auth, call.asking(doing), &session.ping, request, way).await
    }
}

impl Session {
    fn new(host: &Host, options: HostOptions) -> Result<Self, Error> {
        let plain = options.plain_http.unwrap_or_else(|| host.is_loopback());
        let text = format!("{}://{}/v2/", if plain { "http" } else { "https" }, host.api());
        // Names are validated when they are constructed, so this does not fail for any host.
        let ping =
            Url::parse(&text).map_err(|error| Error::new(&text, ErrorKind::Malformed(error.to_string())))?;
        let (auth, abilities, mount_tried, referrers_tried) = Default::default();
        let host = host.clone();
        Ok(Self { host, options, ping, auth, abilities, mount_tried, referrers_tried })
    }

    /// Returns the URL of a path below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        let text = format!("{}{path}", self.ping);
        Url::parse(&text).map_err(|error| Error::new(&text, ErrorKind::Malformed(error.to_string())))
    }

    /// Returns the proof of absence if the answer is a 404 with one of these codes, or the reason why it proves nothing.
    pub(crate) fn absence(&self, reply: &Reply, codes: &[&str], doing: &str) -> Result<Absent, Error> {
        let refusal = reply.refusal();
        let unproven =
            |reason: String| Err(Error::new(doing, ErrorKind::Unproven { refusal: refusal.clone(), reason }));
        if refusal.status != StatusCode::NOT_FOUND {
            return Err(Error::new(doing, ErrorKind::Refused(refusal)));
        }
        let own: Vec<&str> = self.options.absence_codes.iter().map(String::as_str).collect();
        if !refusal.says_only(&[codes, &own].concat()) {
            let only = if refusal.says(codes) { "only " } else { "" };
            return unproven(format!("its error code is not {only}{}", codes.join(" or ")));
        }
        if let Identity::Unusable { why, .. } = &refusal.identity {
            return unproven(format!("the configured credentials were not sent: {why}"));
        }
        if !self.is_own(reply) && matches!(refusal.identity, Identity::From { .. }) {
            return unproven(
                "another host answered, and the configured credentials were not sent to it".to_owned(),
            );
        }
        Ok(Absent::proven())
    }

    /// Returns `true` if the answer comes from the host itself rather than from the target of a redirect.
    pub(crate) fn is_own(&self, reply: &Reply) -> bool {
        reply.answer.url().origin() == self.ping.origin()
    }

    /// Returns the page size to request; `None` if the host refuses one.
    pub(crate) fn page_size(&self) -> Option<usize> {
        /// Registries may return fewer entries.
        const PAGE_SIZE: usize = 1_000;
        (!self.abilities().refuses_page_size).then_some(PAGE_SIZE)
    }

    pub(crate) fn learn_page_size_refused(&self) {
        self.abilities().refuses_page_size = true;
    }

    /// Returns `true` if `HEAD` of manifests is useful.
    pub(crate) fn takes_head(&self) -> bool {
        !self.abilities().refuses_head
    }

    pub(crate) fn learn_head_refused(&self) {
        self.abilities().refuses_head = true;
    }

    pub(crate) fn takes_range(&self) -> bool {
        !self.abilities().refuses_range
    }

    pub(crate) fn learn_range_refused(&self) {
        self.abilities().refuses_range = true;
    }

    pub(crate) fn mounts(&self) -> bool {
        !self.abilities().refuses_mounts
    }

    /// Returns the guard of the first mount of the host; `None` if there was a mount before.
    pub(crate) async fn first_mount(&self) -> Option<First<'_>> {
        First::of(&self.mount_tried).await
    }

    /// Returns the guard of the first list of referrers of the host; `None` if there was one before.
    pub(crate) async fn first_referrers(&self) -> Option<First<'_>> {
        First::of(&self.referrers_tried).await
    }

    /// Returns whether it is unknown if the host has a referrers API. Returns this once.
    pub(crate) fn may_look_for_referrers(&self) -> bool {
        let mut abilities = self.abilities();
        abilities.referrers.is_none() && !std::mem::replace(&mut abilities.has_looked_for_referrers, true)
    }

    /// Returns how often a mount is repeated after a temporary failure: like any other request (`None`) if the host has mounted
    /// before, a few times if nothing is known, and never if the last mount has failed.
    pub(crate) fn mount_repeats(&self) -> Option<u32> {
        const UNKNOWN: u32 = 4;
        let abilities = self.abilities();
        match abilities.failed_mounts {
            _ if abilities.has_mounted => None,
            0 => Some(UNKNOWN),
            _ => Some(0),
        }
    }

    /// Records that a mount, or the upload that it opens, has succeeded.
    pub(crate) fn learn_mount_worked(&self) {
        let mut abilities = self.abilities();
        abilities.has_mounted = true;
        abilities.failed_mounts = 0;
    }

    /// Records that a mount has failed although a plain upload was opened right after it. `for_good` means that the status says
    /// that the host does not mount.
    pub(crate) fn learn_mount_failed(&self, for_good: bool) {
        let mut abilities = self.abilities();
        abilities.failed_mounts = abilities.failed_mounts.saturating_add(1);
        abilities.refuses_mounts |= for_good || abilities.failed_mounts >= MOUNTS_FAILED;
    }

    /// Returns the chunk size of uploads; `None` for whole blobs.
    pub(crate) fn upload_chunk(&self) -> Option<u64> {
        self.options.upload_chunk.or(self.abilities().wants_chunks.then_some(DEFAULT_CHUNK))
    }

    /// Returns the chunk size to try if whole blobs fail.
    pub(crate) fn fallback_chunk(&self) -> u64 {
        self.options.upload_chunk.unwrap_or(DEFAULT_CHUNK)
    }

    pub(crate) fn learn_chunks_wanted(&self) {
        self.abilities().wants_chunks = true;
    }

    /// Returns `true` if the host is known to have no referrers API.
    pub(crate) fn lacks_referrers(&self) -> bool {
        self.abilities().referrers == Some(false)
    }

    /// Returns `true` if the host is known to have a referrers API.
    pub(crate) fn has_referrers(&self) -> bool {
        self.abilities().referrers == Some(true)
    }

    /// Records whether the host has a referrers API. Once it is known to have one, a single answer that denies it has another
    /// cause and is ignored.
    pub(crate) fn learn_referrers(&self, there: bool) {
        let mut abilities = self.abilities();
        let known = abilities.referrers.get_or_insert(there);
        *known |= there;
    }

    fn abilities(&self) -> MutexGuard<'_, Abilities> {
        self.abilities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guard of the first request of a kind to a host, from which the others learn. Dropping it releases them.
pub(crate) struct First<'a> {
    tried: tokio::sync::MutexGuard<'a, bool>,
}

impl<'a> First<'a> {
    async fn of(tried: &'a tokio::sync::Mutex<bool>) -> Option<Self> {
        let tried = tried.lock().await;
        (!*tried).then_some(Self { tried })
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        *self.tried = true;
    }
}

impl Reply {
    pub(crate) fn status(&self) -> StatusCode {
        self.answer.status()
    }

    /// Returns the reasons of the registry for refusing the request.
    pub(crate) fn refusal(&self) -> Refusal {
        let challenge = challenge_not_understood(&self.answer);
        Refusal { challenge, ..Refusal::of(&self.answer, self.identity.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(&"registry.example".parse().unwrap(), HostOptions::default()).unwrap()
    }

    #[test]
    fn a_host_that_had_a_referrers_api_keeps_it() {
        let session = session();
        assert!(!session.lacks_referrers(), "nothing is known");
        session.learn_referrers(false);
        assert!(session.lacks_referrers());
        session.learn_referrers(true);
        session.learn_referrers(false);
        assert!(!session.lacks_referrers());
    }

    #[test]
    fn only_several_failures_in_a_row_end_mounting() {
        let session = session();
        for _ in 0..10 {
            session.learn_mount_failed(false);
            session.learn_mount_failed(false);
            session.learn_mount_worked();
        }
        assert!(session.mounts());
        (0..MOUNTS_FAILED).for_each(|_| session.learn_mount_failed(false));
        assert!(!session.mounts());
    }
}
