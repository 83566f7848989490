//! The calls of GitHub's API (docs.github.com, *REST API*): a repository, a branch, pull requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{ForgePull, ForgeQuirks};
use super::wire::{Received, Reply};

/// The number of the first pull request.
const FIRST: usize = 4711;

/// The state behind the API.
#[derive(Debug, Default)]
pub(super) struct Api {
    /// The repositories, each with its parent if it is a fork.
    pub(super) repositories: BTreeMap<String, Option<String>>,
    pub(super) pulls: Vec<ForgePull>,
    pub(super) quirks: ForgeQuirks,
}

/// Returns the commit of a branch of a repository.
type Branches<'a> = dyn Fn(&str, &str) -> Option<String> + 'a;

impl Api {
    /// Answers a request.
    pub(super) fn answer(&mut self, received: &Received, token: &str, branches: &Branches<'_>) -> Reply {
        if received.header("authorization") != Some(&format!("Bearer {token}")) {
            return Reply::json(401, &json!({ "message": "Bad credentials" }));
        }
        let path: Vec<&str> = received.path.trim_start_matches("/api/").split('/').collect();
        let ["repos", owner, name, rest @ ..] = &path[..] else { return not_found() };
        let slug = format!("{owner}/{name}");
        let Some(parent) = self.repositories.get(&slug).cloned() else { return not_found() };
        match (received.method.as_str(), rest) {
            ("GET", []) => self.repository(&slug, parent.as_deref()),
            ("GET", ["branches", branch]) => match branches(&slug, branch) {
                Some(commit) => Reply::json(200, &json!({ "name": branch, "commit": { "sha": commit } })),
                None => Reply::json(404, &json!({ "message": "Branch not found" })),
            },
            ("GET", ["pulls"]) => self.list(&slug, received),
            ("PATCH", ["pulls", number]) => self.update(&slug, number, received),
            ("POST", ["pulls"]) => self.create(&slug, received, branches),
            _ => not_found(),
        }
    }

    fn repository(&self, slug: &str, parent: Option<&str>) -> Reply {
        let mut body = json!({ "full_name": slug, "fork": parent.is_some() });
        if let Some(parent) = parent {
            body["parent"] = json!({ "full_name": parent });
        }
        let mut reply = Reply::json(200, &body);
        if let Some(scopes) = &self.quirks.scopes {
            reply.headers.push(("X-OAuth-Scopes".to_owned(), scopes.clone()));
        }
        reply
    }

    fn list(&self, slug: &str, received: &Received) -> Reply {
        let head = received.parameter("head").filter(|_| !self.quirks.ignores_head);
        let base = received.parameter("base").filter(|_| !self.quirks.ignores_head);
        let page: usize = received.parameter("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        let size = if self.quirks.ignores_head { "limit" } else { "per_page" };
        let size: usize = received.parameter(size).and_then(|size| size.parse().ok()).unwrap_or(30);
        let pulls = self.pulls.iter().filter(|pull| pull.upstream == slug);
        let pulls = pulls.filter(|pull| {
            let owner = pull.fork.split('/').next().unwrap_or_default();
            head.as_ref().is_none_or(|head| *head == format!("{owner}:{}", pull.branch))
                && base.as_ref().is_none_or(|base| *base == pull.base)
        });
        let pulls: Vec<Value> =
            pulls.skip((page - 1) * size).take(size).map(|pull| self.shown(pull)).collect();
        Reply::json(200, &Value::Array(pulls))
    }

    fn create(&mut self, slug: &str, received: &Received, branches: &Branches<'_>) -> Reply {
        if let Some(status) = self.quirks.refuse_pulls {
            return Reply::json(
                status,
                &json!({ "message": "Resource not accessible by personal access token" }),
            );
        }
        let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let head = text("head");
        let (owner, branch) = head.split_once(':').unwrap_or_default();
        let is_fork = |(fork, parent): &(&String, &Option<String>)| {
            fork.starts_with(&format!("{owner}/")) && parent.as_deref() == Some(slug)
        };
        let fork = self.repositories.iter().find(is_fork).map(|(fork, _)| fork.clone());
        let Some(fork) = fork.filter(|fork| branches(fork, branch).is_some()) else {
            return Reply::json(
                422,
                &json!({ "message": "Validation Failed", "errors": [{ "field": "head", "message": "invalid" }] }),
            );
        };
        let exists = self.pulls.iter().any(|pull| pull.fork == fork && pull.branch == branch);
        if exists {
            let message = format!("A pull request already exists for {head}.");
            return Reply::json(
                422,
                &json!({ "message": "Validation Failed", "errors": [{ "message": message }] }),
            );
        }
        let pull = ForgePull {
            upstream: slug.to_owned(),
            fork,
            branch: branch.to_owned(),
            base: text("base"),
            title: text("title"),
            body: text("body"),
            number: FIRST + self.pulls.len(),
        };
        let reply = Reply::json(201, &self.shown(&pull));
        self.pulls.push(pull);
        reply
    }

    fn update(&mut self, slug: &str, number: &str, received: &Received) -> Reply {
        let is_wanted = |pull: &&mut ForgePull| pull.upstream == slug && pull.number.to_string() == number;
        let Some(pull) = self.pulls.iter_mut().find(is_wanted) else { return not_found() };
        let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        for (name, field) in [("title", &mut pull.title), ("body", &mut pull.body)] {
            if let Some(text) = body[name].as_str() {
                text.clone_into(field);
            }
        }
        let pull = pull.clone();
        Reply::json(200, &self.shown(&pull))
    }

    fn shown(&self, pull: &ForgePull) -> Value {
        let page = format!("https://forge.example/{}/pull/{}", pull.upstream, pull.number);
        json!({
            "number": pull.number,
            "html_url": self.quirks.page.clone().unwrap_or(page),
            "state": "open",
            "title": pull.title,
            "body": pull.body,
            "head": { "ref": pull.branch, "repo": { "full_name": pull.fork } },
            "base": { "ref": pull.base },
        })
    }
}

fn not_found() -> Reply {
    Reply::json(404, &json!({ "message": "Not Found" }))
}
