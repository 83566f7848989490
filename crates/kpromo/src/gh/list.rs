//! Lists releases and their assets on GitHub.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::stream::{StreamExt as _, iter};
use http::{Method, StatusCode};
use manifest::releases::ReleaseTag;
use oci_types::text::{printable, visible};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transport::{Answer, Class, Request};
use url::Url;

use super::asset::Asset;
use super::jobs::Job;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::github::{GitHub, TEXT_MAX};

/// The requested number of entries in a page: the maximum that GitHub allows.
const PAGE: usize = 100;
/// Without links to other pages, a page of fewer entries is the last one: forges limit pages to 30 entries or more.
const SMALL_PAGE: usize = 30;
/// The maximum number of pages of a list. GitHub lists ten thousand releases.
const PAGES_MAX: usize = 100;
/// The maximum size of an asset, in bytes: 5 TiB, the limit of object stores.
const ASSET_MAX: u64 = 5 << 40;
/// The maximum size of a page, in bytes. A release of two hundred assets has about 400 KB.
const PAGE_MAX: u64 = 64 << 20;
/// The number of concurrent lookups. The limits of the host bound the number of requests.
const AT_ONCE: usize = 16;

#[derive(Clone, Debug, Deserialize)]
struct ReleaseAnswer {
    id: u64,
    tag_name: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    #[serde(default)]
    assets: Vec<AssetAnswer>,
}

#[derive(Clone, Debug, Deserialize)]
struct AssetAnswer {
    id: u64,
    name: String,
    size: u64,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    browser_download_url: Option<String>,
}

/// The assets of the releases of a job.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) assets: Vec<Asset>,
    /// Assets that cannot be copied, each with the reason.
    pub(super) unusable: Vec<(String, String)>,
}

/// A lookup: a repository, and a tag, or `None` for all releases.
type Question = (String, String, Option<ReleaseTag>);

/// Lists the assets of all jobs, in the same order. No request is sent twice.
///
/// # Errors
/// If a repository or a tag is unknown, or GitHub does not answer.
pub(super) async fn list(github: &GitHub, jobs: &[Job]) -> Result<Vec<Listed>, Failure> {
    let name = |job: &Job| (job.entry.owner.to_string(), job.entry.repository.to_string());
    let questions: BTreeSet<Question> = jobs
        .iter()
        .flat_map(|job| {
            let (owner, repository) = name(job);
            let tags: Vec<Option<ReleaseTag>> = match job.entry.tags.as_slice() {
                [] => vec![None],
                tags => tags.iter().cloned().map(Some).collect(),
            };
            tags.into_iter().map(move |tag| (owner.clone(), repository.clone(), tag))
        })
        .collect();
    let answers = iter(questions.into_iter().map(|question| async move {
        let answer = ask(github, &question).await;
        (question, answer)
    }));
    let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
    let (mut releases, mut unknown) = (BTreeMap::new(), Vec::new());
    for (question, answer) in answers {
        match answer? {
            Found::Releases(found) => drop(releases.insert(question, found)),
            Found::Unknown { text, help } => unknown.push((text, help)),
        }
    }
    if let Some((_, help)) = unknown.first() {
        let help = help.clone();
        unknown.sort();
        let texts: Vec<String> = unknown.into_iter().map(|(text, _)| text).collect();
        let text = format!("{}; nothing was written", texts.join("\n  "));
        return Err(Failure::new(Exit::Invalid, text).help(help));
    }
    Ok(jobs.iter().map(|job| listed(github, job, &releases)).collect())
}

enum Found {
    Releases(Vec<ReleaseAnswer>),
    /// GitHub does not have it, or does not show it to this token.
    Unknown {
        text: String,
        help: String,
    },
}

async fn ask(github: &GitHub, question: &Question) -> Result<Found, Failure> {
    let (owner, repository, tag) = question;
    let unknown = |what: String, answer: &Answer| Found::Unknown {
        text: format!("{what} does not exist at {}, or is not shown", github.name()),
        help: github.private_help(answer),
    };
    let mut releases = match tag {
        None => {
            match pages::<ReleaseAnswer>(github, &["repos", owner, repository, "releases"], |one| one.id)
                .await?
            {
                Ok(all) => all.into_iter().filter(|release| !release.draft).collect(),
                Err(answer) => return Ok(unknown(format!("the repository {owner}/{repository}"), &answer)),
            }
        }
        Some(tag) => {
            let path = ["repos", owner, repository, "releases", "tags"].into_iter();
            let path: Vec<&str> = path.chain(tag.as_str().split('/')).collect();
            let answer = get(github, &path, &[]).await?;
            let what = || format!("the release {tag} of {owner}/{repository}");
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(unknown(what(), &answer));
            }
            let release: ReleaseAnswer = github.parse(&answer, "a release")?;
            if release.draft || release.tag_name != tag.as_str() {
                return Ok(unknown(what(), &answer));
            }
            vec![release]
        }
    };
    for release in &mut releases {
        // The number of assets in the description of a release may be limited. The limit is not documented.
        if release.assets.len() < PAGE {
            continue;
        }
        let id = release.id.to_string();
        let path = ["repos", owner, repository, "releases", &id, "assets"];
        release.assets = match pages::<AssetAnswer>(github, &path, |one| one.id).await? {
            Ok(assets) => assets,
            Err(answer) => return Err(github.refused(&answer)),
        };
    }
    Ok(Found::Releases(releases))
}

async fn get(github: &GitHub, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Failure> {
    let request = Request::new(Method::GET, github.url(path, query), "forge-get", Class::Read);
    github.send(request.limit(PAGE_MAX)).await
}

/// Reads all pages of a list. If the list does not exist, returns the answer.
async fn pages<T: DeserializeOwned>(
    github: &GitHub,
    path: &[&str],
    id: impl Fn(&T) -> u64,
) -> Result<Result<Vec<T>, Answer>, Failure> {
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for page in 1..=PAGES_MAX {
        // Gitea calls the size of a page `limit`.
        let (size, page) = (PAGE.to_string(), page.to_string());
        let answer = get(github, path, &[("per_page", &size), ("limit", &size), ("page", &page)]).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(Err(answer));
        }
        let found: Vec<T> = github.parse(&answer, "a list")?;
        // Pages shift while releases are published, so an entry may occur twice. A page without new entries does not count.
        let (before, size_found) = (all.len(), found.len());
        all.extend(found.into_iter().filter(|one| seen.insert(id(one))));
        let is_new = all.len() > before;
        // The URL of the next page is not used, because answers must not determine where requests are sent.
        let links = answer.headers().get_all("link").iter();
        let has_links = answer.headers().contains_key("link");
        let has_next = links.filter_map(|link| link.to_str().ok()).any(names_next_page);
        match (has_next || (!has_links && size_found >= SMALL_PAGE), is_new) {
            (false, _) => return Ok(Ok(all)),
            (true, true) => {}
            // The page after the last one.
            (true, false) if size_found == 0 && !has_next => return Ok(Ok(all)),
            (true, false) => return Err(endless(github, path, "repeats itself")),
        }
    }
    Err(endless(github, path, &format!("has more than {PAGES_MAX} pages")))
}

/// Returns whether a `Link` header names a next page (RFC 8288), in any of its notations.
fn names_next_page(link: &str) -> bool {
    link.to_ascii_lowercase().split([';', ',']).any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        name.trim() == "rel" && value.trim().trim_matches('"').split_whitespace().any(|word| word == "next")
    })
}

fn endless(github: &GitHub, path: &[&str], why: &str) -> Failure {
    let text = format!("the list {} of {} {why}; nothing was written", path.join("/"), github.name());
    Failure::new(Exit::Unavailable, text).help("name the releases with --tags")
}

/// Returns the assets of a job.
fn listed(github: &GitHub, job: &Job, releases: &BTreeMap<Question, Vec<ReleaseAnswer>>) -> Listed {
    let entry = &job.entry;
    let (owner, repository) = (entry.owner.to_string(), entry.repository.to_string());
    let of = |tag: Option<ReleaseTag>| {
        releases.get(&(owner.clone(), repository.clone(), tag)).map(Vec::as_slice).unwrap_or_default()
    };
    let wanted: Vec<&ReleaseAnswer> = match entry.tags.as_slice() {
        [] => of(None).iter().filter(|release| entry.include_prereleases || !release.prerelease).collect(),
        tags => tags.iter().flat_map(|tag| of(Some(tag.clone()))).collect(),
    };
    let mut listed = Listed::default();
    for release in wanted {
        let shown = printable(&release.tag_name, TEXT_MAX);
        tracing::debug!("{owner}/{repository} {shown}: {} assets", release.assets.len());
        if release.assets.is_empty() {
            tracing::info!("{owner}/{repository} {shown} has no assets");
        }
        for answer in &release.assets {
            match asset(github, job, release, answer) {
                Ok(asset) => listed.assets.push(asset),
                Err(unusable) => listed.unusable.push(unusable),
            }
        }
    }
    listed
}

fn asset(
    github: &GitHub,
    job: &Job,
    release: &ReleaseAnswer,
    answer: &AssetAnswer,
) -> Result<Asset, (String, String)> {
    let (owner, repository) = (job.entry.owner.as_str(), job.entry.repository.as_str());
    let id = answer.id.to_string();
    let url = github.url(&["repos", owner, repository, "releases", "assets", &id], &[]);
    // The address is printed and never requested. Parsing it as a URL excludes quotation marks, which would break the lines that
    // scripts parse.
    let address = answer.browser_download_url.as_deref().and_then(|text| Url::parse(text).ok());
    let shown = printable(&github.masked(address.as_ref().unwrap_or(&url).as_str()), TEXT_MAX);
    let unusable = |why: String| (shown.clone(), format!("{shown}: {why}"));
    let tag: ReleaseTag =
        release.tag_name.parse().map_err(|error| unusable(format!("its tag is {error}")))?;
    // Names are printed in many places. Refuse names that could not be printed unchanged.
    if [tag.as_str(), &answer.name].iter().any(|name| visible(name) != *name) {
        return Err(unusable("its name has characters that change how a text is shown".to_owned()));
    }
    if answer.state.as_deref().is_some_and(|state| state != "uploaded") {
        return Err(unusable("its upload to GitHub is not complete".to_owned()));
    }
    let sha256 = match answer.digest.as_deref() {
        None => None,
        Some(digest) => match digest.strip_prefix("sha256:") {
            Some(hex) => {
                Some(hex.parse().map_err(|error| unusable(format!("its digest is wrong: {error}")))?)
            }
            None => {
                let digest = printable(&github.masked(digest), TEXT_MAX);
                return Err(unusable(format!("its digest is not one of SHA-256: {digest}")));
            }
        },
    };
    if answer.size > ASSET_MAX {
        return Err(unusable(format!(
            "GitHub says that it has {} bytes, and 5 TiB are the most",
            answer.size
        )));
    }
    // Drop the default types of upload clients, which carry no information.
    let content_type = answer.content_type.clone().filter(|kind| {
        let is_header = kind.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        is_header && !kind.is_empty() && kind.len() <= TEXT_MAX && kind != "application/octet-stream"
    });
    Ok(Asset { tag, url, name: answer.name.clone(), size: answer.size, sha256, content_type, shown })
}
