//! What reading and writing share: where a host's API is, who we are there, what an answer has to look like.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, header};
use transport::{Class, Door, Request, Response};
use url::Url;

use crate::attach::Memory;
use crate::auth::{Authenticator, Scope, authority};
use crate::credential::CredentialSource;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Refusal, printable};
use crate::name::{Host, Repository};
use crate::read::Reader;
use crate::write::Writer;

/// How one host is spoken with.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Plain HTTP (`true`) or TLS (`false`). `None`: plain HTTP with this machine's own names, TLS with all others.
    pub plain_http: Option<bool>,
    /// Hosts, besides its own, whose token services may have the registry's credentials.
    pub token_hosts: Vec<Host>,
    /// The size of the pieces that blobs are uploaded in, in bytes. `None`: in one, until the host refuses that.
    pub upload_chunk: Option<u64>,
}

/// A client of every OCI registry there is. It hands out what may read and what may write; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) door: Door,
    authenticator: Authenticator,
    options: HashMap<Host, HostOptions>,
    /// Hosts that have refused an upload in one piece.
    chunked: Mutex<HashSet<Host>>,
    /// What was learnt while things were attached.
    pub(crate) attached: Memory,
}

impl Client {
    /// A client that goes through `door` and proves who it is with what `credentials` gives.
    pub fn new(
        door: Door,
        credentials: Arc<dyn CredentialSource>,
        options: HashMap<Host, HostOptions>,
    ) -> Self {
        let token_hosts =
            options.iter().map(|(host, options)| (host.clone(), options.token_hosts.clone())).collect();
        let authenticator = Authenticator::new(door.clone(), credentials, token_hosts);
        Self {
            shared: Arc::new(Shared {
                door,
                authenticator,
                options,
                chunked: Mutex::default(),
                attached: Memory::default(),
            }),
        }
    }

    /// What may read.
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }

    /// What may write. Whoever holds none cannot change a registry.
    pub fn writer(&self) -> Writer {
        Writer { reader: self.reader() }
    }
}

/// One call of the API.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) kind: &'static str,
    pub(crate) class: Class,
    pub(crate) host: &'a Host,
    pub(crate) scopes: BTreeSet<Scope>,
}

impl Call<'_> {
    pub(crate) fn request(&self) -> Request {
        Request::new(self.method.clone(), self.url.clone(), self.kind, self.class)
    }
}

impl Shared {
    /// The URL of something below `/v2/` on a host.
    pub(crate) fn url(&self, host: &Host, path: &str) -> Result<Url, Error> {
        let options = self.options.get(host);
        let plain = options.and_then(|options| options.plain_http).unwrap_or_else(|| host.is_loopback());
        let text = format!("{}://{}/v2/{path}", if plain { "http" } else { "https" }, host.api());
        // Names are checked when they are made, so this fails for no name that there is.
        Url::parse(&text).map_err(|error| Error::new(&text, ErrorKind::Malformed(error.to_string())))
    }

    /// A call that reads a repository.
    pub(crate) fn reading<'a>(
        &self,
        method: Method,
        repository: &'a Repository,
        path: &str,
        kind: &'static str,
    ) -> Result<Call<'a>, Error> {
        let url = self.url(&repository.host, &format!("{}/{path}", repository.path))?;
        let scopes = BTreeSet::from([Scope::pull(&repository.path)]);
        Ok(Call { method, url, kind, class: Class::Read, host: &repository.host, scopes })
    }

    /// A call that writes to a repository.
    pub(crate) fn writing<'a>(
        &self,
        method: Method,
        repository: &'a Repository,
        url: Url,
        kind: &'static str,
    ) -> Call<'a> {
        let scopes = BTreeSet::from([Scope::push(&repository.path)]);
        Call { method, url, kind, class: Class::Write, host: &repository.host, scopes }
    }

    /// Sends a call with our credentials.
    pub(crate) async fn send(
        &self,
        call: Call<'_>,
        request: Request,
        doing: &str,
    ) -> Result<Response, Error> {
        self.authenticator.send(call.host, call.scopes, request, doing).await
    }

    /// The size of upload pieces for a host; `None` for whole blobs.
    pub(crate) fn upload_chunk(&self, host: &Host) -> Option<u64> {
        /// What a host gets that refused whole blobs without saying what it takes.
        const DEFAULT: u64 = 16 * 1024 * 1024;
        let configured = self.options.get(host).and_then(|options| options.upload_chunk);
        let learnt = self.chunked.lock().unwrap_or_else(PoisonError::into_inner).contains(host);
        configured.or(learnt.then_some(DEFAULT))
    }

    /// Takes note that a host wants blobs in pieces.
    pub(crate) fn learn_chunked(&self, host: &Host) {
        self.chunked.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone());
    }
}

/// The answer, if it has one of the statuses that the specification gives for success.
pub(crate) async fn expect(response: Response, statuses: &[u16], doing: &str) -> Result<Response, Error> {
    if statuses.contains(&response.status().as_u16()) {
        return Ok(response);
    }
    if response.status().is_redirection() {
        let to = presentable(response.url(), response.header(header::LOCATION.as_str()).unwrap_or_default());
        return Err(Error::new(doing, ErrorKind::ForeignHost { header: "redirect", to }));
    }
    if response.status().is_success() {
        let status = response.status();
        return Err(Error::new(doing, ErrorKind::Malformed(format!("{status} was not expected"))));
    }
    Err(Error::new(doing, ErrorKind::Refused(Refusal::read(response).await)))
}

/// The body of an answer, bounded.
pub(crate) async fn body(response: Response, limit: usize, doing: &str) -> Result<bytes::Bytes, Error> {
    response.bytes(limit as u64).await.map_err(|error| Error::new(doing, ErrorKind::Transport(error)))
}

/// The digest that an answer names in `Docker-Content-Digest`, where it names one that can be read.
pub(crate) fn named_digest(response: &Response) -> Option<Digest> {
    response.header("docker-content-digest")?.parse().ok()
}

/// Where a header leads, as it may be shown: such URLs may be signed.
fn presentable(asked: &Url, to: &str) -> String {
    asked
        .join(to)
        .map_or_else(|_| "what is not a URL".to_owned(), |url| printable(&transport::shown(&url), 200))
}

/// Where a header of an answer leads, if it stays with the host that was asked. The scheme stays what it was: behind a
/// proxy registries often misname it.
pub(crate) fn same_host(asked: &Url, to: &str, header: &'static str, doing: &str) -> Result<Url, Error> {
    let foreign = || ErrorKind::ForeignHost { header, to: presentable(asked, to) };
    let mut url = asked.join(to).map_err(|_| Error::new(doing, foreign()))?;
    let scheme = asked.scheme();
    if url.scheme() != scheme
        && authority(&url).map(|h| h.name().to_owned()) == authority(asked).map(|h| h.name().to_owned())
    {
        let _ = url.set_scheme(scheme);
    }
    if authority(&url) != authority(asked) || url.scheme() != scheme {
        return Err(Error::new(doing, foreign()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_that_was_asked_is_followed() {
        let asked = Url::parse("https://gcr.io/v2/a/tags/list").unwrap();
        let follow = |to| same_host(&asked, to, "Link", "testing").map(String::from);
        assert_eq!(follow("/v2/a/tags/list?last=b").unwrap(), "https://gcr.io/v2/a/tags/list?last=b");
        assert_eq!(follow("https://gcr.io/x").unwrap(), "https://gcr.io/x");
        assert_eq!(follow("http://gcr.io/x").unwrap(), "https://gcr.io/x", "the scheme stays");
        for foreign in [
            "https://evil.example/x",
            "//evil.example/x",
            "https://gcr.io:444/x",
            "https://gcr.io@evil.example/",
            "ftp://gcr.io.evil/",
        ] {
            assert!(follow(foreign).is_err(), "{foreign}");
        }
    }
}
