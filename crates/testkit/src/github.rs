//! The releases of GitHub on loopback: the calls of its API (docs.github.com, *REST API*, *Releases*), and a server of another
//! origin that the API redirects to for the content of assets.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::forge::wire::{Received, Reply};
use crate::loopback::{Listening, held};

/// The number of seconds for which a quota that is used up refuses requests.
const QUOTA_SECONDS: u64 = 2;

/// A release.
#[derive(Clone, Debug, Default)]
pub struct GitHubRelease {
    /// The tag.
    pub tag: String,
    /// Whether it is a draft, which only those see who have a token.
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
    /// The digest that the API says, such as `sha256:…`. `None`: null.
    pub digest: Option<String>,
    /// The size that the API says. `None`: that of the content.
    pub size: Option<u64>,
    /// The media type that the API says.
    pub content_type: String,
    /// Whether the upload to GitHub is not complete.
    pub is_incomplete: bool,
}

/// How the server differs from one that works.
#[derive(Clone, Debug, Default)]
pub struct GitHubQuirks {
    /// Whether the list of releases never ends: each page has releases that no other has.
    pub is_endless: bool,
    /// Whether each page of the list is the first one, with a next one.
    pub repeats_page: bool,
    /// Where the content of assets is: `None` for the server's own other origin.
    pub redirect_to: Option<String>,
    /// The number of requests after which the quota is used up: then the API answers 403 until a time that it says.
    pub quota: Option<usize>,
    /// How far the end of the quota is, in seconds, if it is not a short time that passes.
    pub quota_seconds: Option<u64>,
    /// Whether answers that are no refusals say how much of the quota is left.
    pub announces_quota: bool,
    /// Whether the content of assets ignores ranges.
    pub ignores_ranges: bool,
    /// Whether the rest of a content that was cut off is that of another version, with its own ETag.
    pub replaces_when_resumed: bool,
    /// What is written instead of `rel="next"` in `Link`.
    pub next_relation: Option<&'static str>,
    /// The largest page that is sent. Larger ones are cut to it, without `Link`.
    pub page_max: Option<usize>,
    /// The scopes that the API says the token has.
    pub scopes: Option<String>,
    /// The maximum number of assets that a release is shown with.
    pub shown_assets: Option<usize>,
}

/// A request that the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHubRequest {
    /// Whether it was sent to the API, rather than to the other origin.
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
    /// The status of the answer.
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
    held: Mutex<Held>,
    requests: Mutex<Vec<GitHubRequest>>,
}

#[derive(Debug, Default)]
struct Held {
    /// The repositories, `owner/name`, each with whether it is private and its releases.
    repositories: Vec<(String, bool, Vec<GitHubRelease>)>,
    quirks: GitHubQuirks,
    /// When the quota is renewed, in seconds since 1970.
    renewed: Option<u64>,
    /// The number of requests that count for the quota.
    counted: usize,
    /// The number of requests before the quota was renewed, beside the first refusals.
    too_early: usize,
}

impl GitHub {
    /// Starts a server without repositories. It accepts this token, and requests without one.
    pub fn start(token: &str) -> Self {
        let state = Arc::new(State {
            token: token.to_owned(),
            objects: Mutex::default(),
            held: Mutex::default(),
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
        *held(&state.objects) = objects.url();
        Self { api, objects, state }
    }

    /// The URL of the API.
    pub fn api_url(&self) -> String {
        format!("{}/api", self.api.url())
    }

    /// `host:port` of the API.
    pub fn host(&self) -> String {
        self.api.address().to_string()
    }

    /// `host:port` of the other origin, which has the content of assets.
    pub fn objects_host(&self) -> String {
        self.objects.address().to_string()
    }

    /// Adds a repository, or replaces it. A private one is not shown without the token.
    pub fn repository(&self, slug: &str, is_private: bool, releases: Vec<GitHubRelease>) {
        let mut all = held(&self.state.held);
        all.repositories.retain(|(other, ..)| other != slug);
        all.repositories.push((slug.to_owned(), is_private, releases));
    }

    /// Changes how the server behaves.
    pub fn set(&self, quirks: GitHubQuirks) {
        held(&self.state.held).quirks = quirks;
    }

    /// Returns the requests so far, in order.
    pub fn requests(&self) -> Vec<GitHubRequest> {
        held(&self.state.requests).clone()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        held(&self.state.requests).clear();
    }

    /// Returns how many requests came before the quota was renewed, beside those that were under way when it was used up.
    pub fn too_early(&self) -> usize {
        held(&self.state.held).too_early
    }
}

impl State {
    /// Answers a connection: one request.
    fn serve(&self, stream: &TcpStream, is_api: bool) -> std::io::Result<()> {
        let Some(received) = Received::read(stream)? else { return Ok(()) };
        let reply = if is_api { self.api(&received) } else { self.object(&received) };
        let Received { method, path, query, .. } = &received;
        let separator = if query.is_empty() { "" } else { "?" };
        let header = |name: &str| received.header(name).map(str::to_owned);
        held(&self.requests).push(GitHubRequest {
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
        let mut all = held(&self.held);
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
                    let to = quirks.redirect_to.clone().unwrap_or_else(|| held(&self.objects).clone());
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
        let all = held(&self.held);
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

impl Held {
    /// Refuses a request if the quota is used up.
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

    /// Says how much of the quota is left, and when it is renewed.
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

/// Says that there is a next page, at an address that must not be asked.
fn next_page(reply: Reply) -> Reply {
    linked(reply, "next")
}

/// Adds a link to another page, at an address where nothing is to be asked.
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
