//! An HTTP client that returns responses unchanged and follows no redirects.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use oci::{Digest, Host, RawManifest, RepositoryPath};
use registry::{Config, Server};
use reqwest::{Body, RequestBuilder};

/// A server and a client for it.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn new(config: Config) -> Self {
        let server = Server::start(config).await.unwrap();
        let client = Client::new(&server);
        Self { server, client }
    }

    pub(crate) async fn plain() -> Self {
        Self::new(Config::default()).await
    }

    /// Puts a blob into the repository `app` without HTTP.
    pub(crate) async fn blob(&self, bytes: &'static [u8]) -> Digest {
        self.server.store().put_blob(&repository("app"), Bytes::from_static(bytes)).await.unwrap()
    }
}

/// A plain HTTP client.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(crate) fn new(server: &Server) -> Self {
        Self::of_host(server.host())
    }

    pub(crate) fn of_host(host: &Host) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests of the server need a client without limits and retries"
        )]
        let builder = reqwest::Client::builder();
        let http = builder.no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, base: format!("http://{host}") }
    }

    pub(crate) fn request(&self, method: Method, target: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{target}", self.base))
    }

    pub(crate) async fn send(&self, method: Method, target: &str, body: impl Into<Body>) -> Answer {
        Answer::of(self.request(method, target).body(body)).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        Answer::of(self.request(Method::GET, target)).await
    }

    pub(crate) async fn head(&self, target: &str) -> Answer {
        Answer::of(self.request(Method::HEAD, target)).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, target)).await
    }

    /// Puts a manifest under a tag or a digest.
    pub(crate) async fn put_manifest(&self, target: &str, manifest: &RawManifest) -> Answer {
        let request = self
            .request(Method::PUT, target)
            .header("Content-Type", manifest.media_type().as_str())
            .body(manifest.bytes().clone());
        Answer::of(request).await
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {self:?}")).to_str().unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the status and the code of an error response.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["errors"][0]["code"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn repository(name: &str) -> RepositoryPath {
    name.parse().unwrap()
}

pub(crate) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
