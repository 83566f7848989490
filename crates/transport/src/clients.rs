//! The HTTP clients of the door. The choice of the client determines which addresses a request can reach.

use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::address::{Allowed, has_metadata_host, has_private_host, is_loopback};
use crate::error::ErrorKind;
use crate::request::NamedBy;
use crate::settings::{InvalidSettings, Settings};
use crate::tls;

/// One client for each route to a host.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Uses the proxy of the environment, if there is one.
    usual: reqwest::Client,
    /// Never uses a proxy.
    direct: reqwest::Client,
    /// Uses no proxy, and connects to any address except those of metadata services.
    configured: reqwest::Client,
    /// Uses no proxy, and connects to public addresses only.
    public: reqwest::Client,
    proxies: Matcher,
}

impl Clients {
    pub(crate) fn new(settings: &Settings) -> Result<Self, InvalidSettings> {
        let tls = tls::config(&settings.authorities)?;
        #[expect(clippy::disallowed_methods, reason = "only the door creates HTTP clients")]
        let builder = || {
            reqwest::Client::builder()
                .user_agent(&settings.user_agent)
                .connect_timeout(settings.timeouts.connect)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                // If a connection dies silently, its requests are lost, and the next attempt would be lost too. The answer to a
                // ping may be queued behind a body that is sent slowly, so it gets as much time as any other answer.
                .http2_keep_alive_interval(settings.timeouts.answer / 2)
                .http2_keep_alive_timeout(settings.timeouts.answer)
                .tls_backend_preconfigured(tls.clone())
        };
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(InvalidSettings::Client);
        Ok(Self {
            usual: build(builder())?,
            direct: build(builder().no_proxy())?,
            configured: build(builder().no_proxy().dns_resolver(Arc::new(Allowed::NO_METADATA)))?,
            public: build(builder().no_proxy().dns_resolver(Arc::new(Allowed::PUBLIC)))?,
            proxies: Matcher::from_system(),
        })
    }

    /// Returns the client for a URL. `direct` means that no proxy is used.
    ///
    /// # Errors
    /// Returns an error if an answer named the host, and answers must not name this host.
    pub(crate) async fn of(
        &self,
        url: &Url,
        named_by: NamedBy,
        direct: bool,
    ) -> Result<&reqwest::Client, ErrorKind> {
        let allowed = match named_by {
            // A proxy would resolve the loopback to itself instead of this machine.
            NamedBy::User if direct || is_loopback(url) => return Ok(&self.direct),
            NamedBy::User => return Ok(&self.usual),
            NamedBy::AnswerAndUser | NamedBy::Answer if has_metadata_host(url) => {
                return Err(ErrorKind::Forbidden("an answer points to the metadata service of a cloud"));
            }
            NamedBy::Answer if has_private_host(url) => {
                return Err(ErrorKind::Forbidden(Allowed::PUBLIC.refusal));
            }
            NamedBy::AnswerAndUser if direct || is_loopback(url) => return Ok(&self.configured),
            NamedBy::AnswerAndUser => Allowed::NO_METADATA,
            NamedBy::Answer => Allowed::PUBLIC,
        };
        // The proxy resolves the name, so no resolver of this process can check it, and the proxy may have a private address.
        if self.is_proxied(url) {
            return if allowed.allows_all_of(url).await {
                Ok(&self.usual)
            } else {
                Err(ErrorKind::Forbidden(allowed.refusal))
            };
        }
        Ok(if named_by == NamedBy::Answer { &self.public } else { &self.configured })
    }

    fn is_proxied(&self, url: &Url) -> bool {
        url.as_str().parse().is_ok_and(|uri| self.proxies.intercept(&uri).is_some())
    }
}
