//! Google Container Analysis: the occurrences of vulnerabilities in images of Google's registries, and whether their scans have
//! finished (Container Analysis API v1, *projects.occurrences.list*). Grafeas servers implement the same API.

mod analysis;
mod wire;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use analysis::Analysis;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use oci::{Digest, Repository};
use oci_types::text::shown;
use serde::Deserialize;
use sigstore::AccessTokens;
use tokio::sync::OnceCell;
use transport::{Answer, Class, Door, ErrorKind, Request};
use url::Url;
use wire::{Occurrence, Page};

use super::error::ScanError;
use super::finding::Finding;
use super::part::Part;
use super::report::FINDINGS_MAX;
use super::reports::Times;
use super::scanner::{PartScan, ScanImage, Scanner};
use super::sourced::Sourced;

/// The URL of Google's service.
pub const CONTAINER_ANALYSIS: &str = "https://containeranalysis.googleapis.com";
/// The version of the API that is used, unless the URL of the service has a path.
const VERSION: &str = "/v1";
/// The number of occurrences to request per page: the maximum of the service.
const PAGE_SIZE: &str = "1000";
/// The maximum number of pages for one image manifest.
const PAGES_MAX: usize = 1_000;
/// The maximum size of a page, in bytes.
const PAGE_MAX: u64 = 32 * 1024 * 1024;
/// The maximum length of an untrusted text in an error, in characters.
const SHOWN_MAX: usize = 300;

/// A scanner that lists the occurrences of one service. Each image manifest is requested once.
pub struct ContainerAnalysis {
    door: Door,
    /// The URL, with the version of the API and without a slash at the end.
    base: Url,
    /// The tokens of the caller, if they may be sent to this service.
    tokens: Option<Arc<dyn AccessTokens>>,
    max_age: Option<Duration>,
    known: Mutex<HashMap<(Repository, Digest), ScanCell>>,
}

/// The scan of an image manifest, which is set by the first request.
type ScanCell = Arc<OnceCell<PartScan>>;

/// The reason why a URL cannot be that of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidService {
    /// It is not a URL, or it has another scheme.
    #[error("not an https or http URL")]
    Url,
    /// It has more than a host and a path.
    #[error("the URL of a service must have only a host and a path")]
    Parts,
    /// Plain HTTP is allowed only for this machine and for configured hosts.
    #[error(
        "plain HTTP is not allowed for this host: use https, or set `plainHttp: true` for it in the \
         configuration"
    )]
    PlainHttp,
}

impl ContainerAnalysis {
    /// Creates the client of the service at a URL: [`CONTAINER_ANALYSIS`], or that of a Grafeas server. The path is the
    /// version of the API, by default `/v1`. `tokens` are those of the caller. They are sent only to hosts of
    /// `googleapis.com` and to this machine.
    ///
    /// # Errors
    /// If the URL is invalid, or plain HTTP must not be used with its host.
    pub fn new(door: Door, url: &str, tokens: Option<Arc<dyn AccessTokens>>) -> Result<Self, InvalidService> {
        let mut base = Url::parse(url).map_err(|_| InvalidService::Url)?;
        let Some(host) = base.host_str().map(str::to_owned) else { return Err(InvalidService::Url) };
        let has_more = !base.username().is_empty()
            || base.password().is_some()
            || base.query().is_some()
            || base.fragment().is_some();
        if has_more {
            return Err(InvalidService::Parts);
        }
        let authority = base.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let is_loopback = authority.parse::<oci::Host>().is_ok_and(|host| host.is_loopback());
        match base.scheme() {
            "https" => {}
            "http" if is_loopback || door.host_settings(&authority).plain_http => {}
            "http" => return Err(InvalidService::PlainHttp),
            _ => return Err(InvalidService::Url),
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(if path.is_empty() { VERSION } else { &path });
        let is_google =
            base.scheme() == "https" && base.port().is_none() && host.ends_with(".googleapis.com");
        let tokens = tokens.filter(|_| is_google || is_loopback);
        Ok(Self { door, base, tokens, max_age: None, known: Mutex::default() })
    }

    /// Sets the maximum age of scans that count.
    #[must_use]
    pub fn with_max_age(self, max_age: Option<Duration>) -> Self {
        Self { max_age, ..self }
    }

    /// Returns the scan of an image manifest. The service is asked only once.
    async fn scan_once(&self, image: ScanImage<'_>, digest: Digest) -> Result<PartScan, ScanError> {
        let repository = image.repository;
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry((repository.clone(), digest)).or_default())
        };
        cell.get_or_try_init(|| self.ask(repository, digest, image.now)).await.cloned()
    }

    async fn ask(
        &self,
        repository: &Repository,
        digest: Digest,
        now: Timestamp,
    ) -> Result<PartScan, ScanError> {
        let query = Query::new(self, repository, digest)?;
        let (mut scan, mut analyses) = (PartScan::default(), Vec::new());
        let mut tokens: HashSet<String> = HashSet::new();
        let mut token = String::new();
        loop {
            let page = self.page(&query, &token).await?;
            if let Some(why) = page.incomplete() {
                return Err(query.fail(&why, None));
            }
            for occurrence in page.occurrences.into_iter().flatten() {
                match occurrence.resource().map(without_scheme) {
                    // Some servers ignore filters, and some occurrences name images without `https://`.
                    Some(resource) if resource == without_scheme(&query.resource) => {
                        query.add(&occurrence, &mut scan, &mut analyses);
                    }
                    None if occurrence.is_vulnerability() => {
                        return Err(query.fail("the answer has a vulnerability that names no image", None));
                    }
                    _ => {}
                }
            }
            if scan.findings.len() > FINDINGS_MAX {
                return Err(query.fail(&format!("more than {FINDINGS_MAX} vulnerabilities"), None));
            }
            token = page.next_page_token.unwrap_or_default();
            if token.is_empty() {
                break;
            }
            if !tokens.insert(token.clone()) {
                return Err(query.fail("the answer names a page that was read before", None));
            }
            if tokens.len() >= PAGES_MAX {
                return Err(query.fail(&format!("the answer has more than {PAGES_MAX} pages"), None));
            }
        }
        match analysis::unfinished(&analyses, Times { now, max_age: self.max_age }) {
            None => scan.finished.push(query.source.to_string()),
            Some(why) => scan.unscanned.push(format!("{}: {why}", query.source)),
        }
        Ok(scan)
    }

    async fn page(&self, query: &Query<'_>, token: &str) -> Result<Page, ScanError> {
        let mut url = query.url.clone();
        if !token.is_empty() {
            url.query_pairs_mut().append_pair("pageToken", token);
        }
        let mut request = Request::new(Method::GET, url, "occurrences-list", Class::Read).limit(PAGE_MAX);
        if let Some(tokens) = &self.tokens {
            let token = tokens.access_token().await.map_err(|why| query.fail(&why, None))?;
            if let Some(token) = token {
                let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
                let mut value = value.map_err(|_| query.fail("the access token is not valid", None))?;
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
        }
        let answer = self.door.send(request).await.map_err(|error| {
            let is_refused = matches!(error.kind(), ErrorKind::NotAdmitted { .. });
            query.fail(&error.to_string(), is_refused.then(|| query.quota()))
        })?;
        if !answer.status().is_success() {
            return Err(query.refused(&answer));
        }
        serde_json::from_slice(answer.body()).map_err(|error| {
            let why =
                format!("the answer is not a list of occurrences: {}", shown(&error.to_string(), SHOWN_MAX));
            query.fail(
                &why,
                Some("check that this is the URL of Container Analysis or of a Grafeas server".to_owned()),
            )
        })
    }
}

/// A query for the occurrences of one image manifest.
struct Query<'a> {
    project: String,
    /// The manifest, as occurrences name it.
    resource: String,
    url: Url,
    /// The service, for messages.
    host: &'a str,
    source: Arc<str>,
}

impl<'a> Query<'a> {
    fn new(
        service: &'a ContainerAnalysis,
        repository: &Repository,
        digest: Digest,
    ) -> Result<Self, ScanError> {
        let host = service.base.host_str().unwrap_or_default();
        let resource = format!("https://{}", repository.at(digest));
        let project = project_of(repository);
        let mut url = service.base.clone();
        let filter = format!("resourceUrl=\"{resource}\" AND (kind=\"VULNERABILITY\" OR kind=\"DISCOVERY\")");
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(["projects", &project, "occurrences"]);
        }
        url.query_pairs_mut().append_pair("filter", &filter).append_pair("pageSize", PAGE_SIZE);
        let source = format!("Container Analysis at {host}, project {project}").into();
        Ok(Self { project, resource, url, host, source })
    }

    /// Adds an occurrence.
    fn add(&self, occurrence: &Occurrence, scan: &mut PartScan, analyses: &mut Vec<Analysis>) {
        analyses.extend(occurrence.analysis());
        let findings: Vec<Finding> = occurrence.findings();
        scan.findings.extend(
            findings.into_iter().map(|content| Sourced { source: Arc::clone(&self.source), content }),
        );
    }

    fn quota(&self) -> String {
        let host = self.host;
        format!(
            "if its quota is used up, try later, or set `requestsPerSecond` for {host} in the configuration"
        )
    }

    fn fail(&self, why: &str, advice: Option<String>) -> ScanError {
        let Self { host, resource, .. } = self;
        ScanError { problem: format!("asking {host} for the vulnerabilities of {resource}: {why}"), advice }
    }

    /// Returns the error for a refusal, with the message of the service (`google.rpc.Status`).
    fn refused(&self, answer: &Answer) -> ScanError {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Refusal {
            Google { error: Message },
            Grafeas(Message),
        }
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        let detail = match serde_json::from_slice(answer.body()) {
            Ok(Refusal::Google { error } | Refusal::Grafeas(error)) => {
                format!(": {}", shown(&answer.masked(&error.message), SHOWN_MAX))
            }
            Err(_) => String::new(),
        };
        let project = &self.project;
        let advice = match answer.status() {
            StatusCode::UNAUTHORIZED => Some(
                "log in with `gcloud auth application-default login`, or run where Google has a service account for it"
                    .to_owned(),
            ),
            StatusCode::FORBIDDEN => Some(format!(
                "check that the Container Analysis API is enabled in the project {project}, and that \
                 the account has `roles/containeranalysis.occurrences.viewer` there"
            )),
            StatusCode::NOT_FOUND => Some(format!("check that the project {project} exists there")),
            StatusCode::TOO_MANY_REQUESTS => Some(self.quota()),
            _ => None,
        };
        self.fail(&format!("it answered {}{detail}", answer.status()), advice)
    }
}

/// Returns the name of an image without the scheme that Google prepends to it.
fn without_scheme(resource: &str) -> &str {
    resource.strip_prefix("https://").or_else(|| resource.strip_prefix("http://")).unwrap_or(resource)
}

/// Returns the project of a repository in a registry of Google: the first component of its path. A domain-scoped project has
/// two components, `example.com/project`, and is named `example.com:project`.
fn project_of(repository: &Repository) -> String {
    let path = repository.path.as_str();
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or(path);
    match parts.next() {
        // The name of a project has no dot, so this is a domain.
        Some(second) if first.contains('.') => format!("{first}:{second}"),
        _ => first.to_owned(),
    }
}

impl Scanner for ContainerAnalysis {
    fn scan<'a>(
        &'a self,
        image: ScanImage<'a>,
        part: &'a Part,
    ) -> BoxFuture<'a, Result<PartScan, ScanError>> {
        Box::pin(self.scan_once(image, part.digest))
    }
}

impl fmt::Debug for ContainerAnalysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerAnalysis").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_derived_from_the_repository() {
        for (repository, expected) in [
            ("us-central1-docker.pkg.dev/k8s-artifacts-prod/images/app", "k8s-artifacts-prod"),
            ("gcr.io/k8s-staging-app/app", "k8s-staging-app"),
            ("gcr.io/example.com/project/app", "example.com:project"),
            ("us-docker.pkg.dev/example.com/project/repo/app", "example.com:project"),
            ("gcr.io/app", "app"),
        ] {
            assert_eq!(project_of(&repository.parse().unwrap()), expected, "{repository}");
        }
    }
}
