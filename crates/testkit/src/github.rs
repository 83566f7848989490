//! A server of GitHub releases on loopback: the calls of the API (docs.github.com, *REST API*, *Releases*), and a second origin,
//! to which the API redirects for the content of assets.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::forge::wire::{Received, Reply};
use crate::loopback::{Listening, locked};

/// How long an exhausted quota refuses requests, in seconds.
const QUOTA_SECONDS: u64 = 2;

/// A release.
#[derive(Clone, Debug, Default)]
pub struct GitHubRelease {
    /// The tag.
    pub tag: String,
    /// Whether it is a draft. Drafts are listed only with the token.
    pub is_draft: bool,
    /// Whether it is a prerelease.
    pub is_prerelease: bool,
    /// The assets.
    pub assets: Vec<GitHubAsset>,
}

/// An asset of a release.
#[derive(Clone, Debug, Default)]
pub struct GitHubAsset {
    /// The number.
    pub id: u64,
    /// The name of the file.
    pub name: String,
    /// The content.
    pub content: Vec<u8>,
    /// The digest that the API reports, such as `sha256:…`. `None` is null in the JSON.
    pub digest: Option<String>,
    /// The size that the API reports. `None` is the size of the content.
    pub size: Option<u64>,
    /// The media type that the API reports.
    pub content_type: String,
    /// Whether the upload to GitHub is not complete.
    pub is_incomplete: bool,
}

/// The deviations of the server from a correct one.
#[derive(Clone, Debug, Default)]
pub struct GitHubQuirks {
    /// Whether the list of releases never ends. Each page has different releases.
    pub is_endless: bool,
    /// Whether every page of the list repeats the first one and links to a next one.
    pub repeats_page: bool,
    /// The origin that requests for content are redirected to. `None` is the second origin of the server.
    pub redirect_to: Option<String>,
    /// The number of requests after which the quota is exhausted. The API then answers with 403 until the time that it reports.
    pub quota: Option<usize>,
    /// The time until an exhausted quota is renewed, in seconds. The default is short enough to wait for.
    pub quota_seconds: Option<u64>,
    /// Whether responses other than refusals also report the remaining quota.
    pub announces_quota: bool,
    /// Whether requests for content ignore `Range`.
    pub ignores_ranges: bool,
    /// Whether a range of content is from another version, with another ETag.
    pub replaces_when_resumed: bool,
    /// The text that replaces `rel="next"` in `Link`.
    pub next_relation: Option<&'static str>,
    /// The size of every page of releases, whatever size is requested. These pages have no `Link`.
    pub page_max: Option<usize>,
    /// The scopes of the token that the API reports. With scopes, the token does not show private repositories.
    pub scopes: Option<String>,
    /// The maximum number of assets in the JSON of a release.
    pub shown_assets: Option<usize>,
}

/// A request that the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHubRequest {
    /// Whether it was sent to the API, not to the second origin.
    pub is_api: bool,
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The value of `Accept`.
    pub accept: Option<String>,
    /// The value of `Range`.
    pub range: Option<String>,
    /// The status of the response.
    pub status: u16,
}

/// A server. It stops when it is dropped.
#[derive(Debug)]
pub struct GitHub {
    api: Listening,
    objects: Listening,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    token: String,
    objects: Mutex<String>,
    model: Mutex<Model>,
    requests: Mutex<Vec<GitHubRequest>>,
}

#[derive(Debug, Default)]
struct Model {
    /// The repositories, `owner/name`, each with whether it is private and its releases.
    repositories: Vec<(String, bool, Vec<GitHubRelease>)>,
    quirks: GitHubQuirks,
    /// When the quota is renewed, in seconds since 1970.
    renewed: Option<u64>,
    /// The number of requests that count for the quota.
    counted: usize,
    /// The number of requests that arrived before the announced renewal of the quota.
    too_early: usize,
}

impl GitHub {
    /// Starts a server without repositories. It accepts requests with this token and requests without a token.
    pub fn start(token: &str) -> Self {
        let state = Arc::new(State {
            token: token.to_owned(),
            objects: Mutex::default(),
            model: Mutex::default(),
            requests: Mutex::default(),
        });
        let serve = |is_api: bool| {
            let state = Arc::clone(&state);
            Listening::start(move |stream, _| {
                let state = Arc::clone(&state);
                thread::spawn(move || drop(state.serve(&stream, is_api)));
            })
        };
        let (api, objects) = (serve(true), serve(false));
        *locked(&state.objects) = objects.url();
        Self { api, objects, state }
    }

    /// Returns the URL of the API.
    pub fn api_url(&self) -> String {
        format!("{}/api", self.api.url())
    }

    /// Returns `host:port` of the API.
    pub fn host(&self) -> String {
        self.api.address().to_string()
    }

    /// Returns `host:port` of the second origin, which has the content of assets.
    pub fn objects_host(&self) -> String {
        self.objects.address().to_string()
    }

    /// Adds a repository, or replaces it. A private repository is shown only with the token.
    pub fn repository(&self, slug: &str, is_private: bool, releases: Vec<GitHubRelease>) {
        let mut all = locked(&self.state.model);
        all.repositories.retain(|(other, ..)| other != slug);
        all.repositories.push((slug.to_owned(), is_private, releases));
    }

    /// Changes how the server behaves.
    pub fn set(&self, quirks: GitHubQuirks) {
        locked(&self.state.model).quirks = quirks;
    }

    /// Returns the requests so far, in order.
    pub fn requests(&self) -> Vec<GitHubRequest> {
        locked(&self.state.requests).clone()
    }

    /// Clears the list of requests.
    pub fn forget_requests(&self) {
        locked(&self.state.requests).clear();
    }

    /// Returns how many requests arrived before the renewal of the quota, although an earlier response had announced it.
    pub fn too_early(&self) -> usize {
        locked(&self.state.model).too_early
    }
}

impl State {
    /// Answers the one request of a connection.
    fn serve(&self, stream: &TcpStream, is_api: bool) -> std::io::Result<()> {
        let Some(received) = Received::read(stream)? else { return Ok(()) };
        let reply = if is_api { self.api(&received) } else { self.object(&received) };
        let Received { method, path, query, .. } = &received;
        let separator = if query.is_empty() { "" } else { "?" };
        let header = |name: &str| received.header(name).map(str::to_owned);
        locked(&self.requests).push(GitHubRequest {
            is_api,
            method: method.clone(),
            path: format!("{path}{separator}{query}"),
            authorization: header("authorization"),
            accept: header("accept"),
            range: header("range"),
            status: reply.status,
        });
        reply.write(stream)
    }

    fn api(&self, received: &Received) -> Reply {
        let is_known = match received.header("authorization") {
            None => false,
            Some(value) if value == format!("Bearer {}", self.token) => true,
            Some(_) => return Reply::json(401, &json!({ "message": "Bad credentials" })),
        };
        let mut all = locked(&self.model);
        if let Some(reply) = all.over_quota() {
            return reply;
        }
        let path: Vec<&str> = received.path.trim_start_matches("/api/").split('/').collect();
        let ["repos", owner, name, "releases", rest @ ..] = &path[..] else { return not_found() };
        let slug = format!("{owner}/{name}");
        let found = all.repositories.iter().find(|(other, is_private, _)| {
            *other == slug && (!is_private || (is_known && all.quirks.scopes.is_none()))
        });
        let mut reply = match found {
            None => not_found(),
            Some((_, _, releases)) => self.releases(&all.quirks, received, &slug, releases, is_known, rest),
        };
        if all.quirks.announces_quota {
            all.announce_quota(&mut reply);
        }
        if let Some(scopes) = &all.quirks.scopes {
            reply.headers.push(("X-OAuth-Scopes".to_owned(), scopes.clone()));
        }
        reply
    }

    fn releases(
        &self,
        quirks: &GitHubQuirks,
        received: &Received,
        slug: &str,
        releases: &[GitHubRelease],
        is_known: bool,
        path: &[&str],
    ) -> Reply {
        let shown = |release: &GitHubRelease| {
            let number = releases.iter().position(|other| other.tag == release.tag).unwrap_or_default() + 1;
            release_json(slug, number, release, quirks.shown_assets)
        };
        let assets = || releases.iter().flat_map(|release| &release.assets);
        match path {
            [] if quirks.is_endless => {
                let page: u64 = parameter(received, "page").unwrap_or(1);
                let all = (0..100)
                    .map(|index| json!({ "id": page * 100 + index, "tag_name": format!("v{page}.{index}") }));
                next_page(Reply::json(200, &Value::Array(all.collect())))
            }
            [] => {
                let visible = releases.iter().filter(|release| is_known || !release.is_draft);
                let all: Vec<Value> = visible.map(shown).collect();
                if let Some(size) = quirks.page_max {
                    let page: usize = parameter(received, "page").unwrap_or(1);
                    let items = all.into_iter().skip((page - 1) * size).take(size);
                    return Reply::json(200, &Value::Array(items.collect()));
                }
                let mut reply = paged(received, &all, quirks.repeats_page);
                if let Some(relation) = quirks.next_relation {
                    reply.headers.iter_mut().for_each(|(_, value)| {
                        *value = value.replace("rel=\"next\"", relation);
                    });
                }
                if quirks.repeats_page { next_page(reply) } else { reply }
            }
            ["tags", tag @ ..] => {
                let tag = tag.join("/").replace("%2F", "/");
                match releases.iter().find(|release| release.tag == tag && !release.is_draft) {
                    Some(release) => Reply::json(200, &shown(release)),
                    None => not_found(),
                }
            }
            ["assets", id] => match assets().find(|asset| asset.id.to_string() == *id) {
                Some(asset) if received.header("accept") == Some("application/octet-stream") => {
                    let to = quirks.redirect_to.clone().unwrap_or_else(|| locked(&self.objects).clone());
                    let location = format!("{to}/{slug}/{}?signature=hush", asset.id);
                    Reply { status: 302, headers: vec![("Location".to_owned(), location)], body: Vec::new() }
                }
                Some(asset) => Reply::json(200, &asset_json(slug, "", asset)),
                None => not_found(),
            },
            [id, "assets"] => {
                let number = id.parse::<usize>().unwrap_or_default();
                match releases.get(number.wrapping_sub(1)) {
                    Some(release) => {
                        let all = release.assets.iter().map(|asset| asset_json(slug, &release.tag, asset));
                        paged(received, &all.collect::<Vec<_>>(), false)
                    }
                    None => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    /// Answers with the content of an asset.
    fn object(&self, received: &Received) -> Reply {
        let all = locked(&self.model);
        let Some((slug, id)) = received.path.trim_start_matches('/').rsplit_once('/') else {
            return not_found();
        };
        let releases =
            all.repositories.iter().filter(|(other, ..)| other == slug).flat_map(|(_, _, all)| all);
        let asset = releases.flat_map(|release| &release.assets).find(|asset| asset.id.to_string() == id);
        let Some(asset) = asset else { return not_found() };
        let start = received
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let start: usize = start.filter(|_| !all.quirks.ignores_ranges).unwrap_or(0);
        let content = asset.content.get(start..).unwrap_or_default().to_vec();
        let whole = asset.content.len();
        let etag = ("ETag".to_owned(), format!("\"{id}\""));
        if start == 0 {
            return Reply { status: 200, headers: vec![etag], body: content };
        }
        let range = ("Content-Range".to_owned(), format!("bytes {start}-{}/{whole}", whole - 1));
        if all.quirks.replaces_when_resumed {
            let other = ("ETag".to_owned(), "\"other\"".to_owned());
            return Reply { status: 206, headers: vec![range, other], body: vec![b'x'; content.len()] };
        }
        Reply { status: 206, headers: vec![range, etag], body: content }
    }
}

impl Model {
    /// Refuses a request if the quota is exhausted.
    fn over_quota(&mut self) -> Option<Reply> {
        let quota = self.quirks.quota?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.renewed {
            Some(renewed) if now.as_secs() >= renewed => {
                self.quirks.quota = None;
                return None;
            }
            Some(_) => self.too_early += 1,
            None if self.counted < quota => {
                self.counted += 1;
                return None;
            }
            None => {
                let seconds = self.quirks.quota_seconds.unwrap_or(QUOTA_SECONDS);
                self.renewed = Some(now.as_secs() + seconds);
            }
        }
        let mut reply = Reply::json(403, &json!({ "message": "API rate limit exceeded for 127.0.0.1." }));
        self.announce_quota(&mut reply);
        Some(reply)
    }

    /// Adds the remaining quota and the time of its renewal to a response.
    fn announce_quota(&mut self, reply: &mut Reply) {
        let Some(quota) = self.quirks.quota else { return };
        let left = quota.saturating_sub(self.counted);
        if left == 0 {
            let seconds = self.quirks.quota_seconds.unwrap_or(QUOTA_SECONDS);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.renewed.get_or_insert(now.as_secs() + seconds);
        }
        let renewed = self.renewed.unwrap_or_default().to_string();
        reply.headers.push(("X-RateLimit-Remaining".to_owned(), left.to_string()));
        reply.headers.push(("X-RateLimit-Reset".to_owned(), renewed));
    }
}

/// Answers with a page of a list.
fn paged(received: &Received, all: &[Value], repeats: bool) -> Reply {
    let size: usize = parameter(received, "per_page").unwrap_or(30).clamp(1, 100);
    let page: usize = if repeats { 1 } else { parameter(received, "page").unwrap_or(1) };
    let from = (page - 1) * size;
    let items: Vec<Value> = all.iter().skip(from).take(size).cloned().collect();
    let reply = Reply::json(200, &Value::Array(items));
    match page {
        _ if from + size < all.len() => next_page(reply),
        1 => reply,
        _ => linked(reply, "prev"),
    }
}

/// Adds a link to a next page, with a URL that a client must not request.
fn next_page(reply: Reply) -> Reply {
    linked(reply, "next")
}

/// Adds a link to another page, with a URL that a client must not request.
fn linked(mut reply: Reply, relation: &str) -> Reply {
    let link = format!("<http://127.0.0.1:1/elsewhere?page=2>; rel=\"{relation}\"");
    reply.headers.push(("Link".to_owned(), link));
    reply
}

fn parameter<T: std::str::FromStr>(received: &Received, name: &str) -> Option<T> {
    received.parameter(name)?.parse().ok()
}

fn release_json(slug: &str, number: usize, release: &GitHubRelease, most: Option<usize>) -> Value {
    let assets = release.assets.iter().take(most.unwrap_or(usize::MAX));
    let assets: Vec<Value> = assets.map(|asset| asset_json(slug, &release.tag, asset)).collect();
    json!({
        "id": number,
        "tag_name": release.tag,
        "draft": release.is_draft,
        "prerelease": release.is_prerelease,
        "assets": assets,
    })
}

fn asset_json(slug: &str, tag: &str, asset: &GitHubAsset) -> Value {
    json!({
        "id": asset.id,
        "name": asset.name,
        "size": asset.size.unwrap_or(asset.content.len() as u64),
        "state": if asset.is_incomplete { "open" } else { "uploaded" },
        "content_type": asset.content_type,
        "digest": asset.digest,
        "browser_download_url": format!("https://github.com/{slug}/releases/download/{tag}/{}", asset.name),
    })
}

fn not_found() -> Reply {
    Reply::json(404, &json!({ "message": "Not Found" }))
}
