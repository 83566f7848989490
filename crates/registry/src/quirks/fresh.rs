//! Reads that lag writes: what was written a moment ago is not seen yet.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use oci::Digest;
use tokio::time::Instant;

use super::asked::Asked;
use crate::body::Response;
use crate::endpoint::{Endpoint, Query};
use crate::headers::DOCKER_CONTENT_DIGEST;
use crate::tally::Kind;

/// What was written when, by `repository/reference`.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    written: HashMap<String, Written>,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    at: Instant,
    /// What the name stood for before.
    before: Option<Digest>,
}

/// What a name shows while reads lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// What it stands for.
    Now,
    /// What it stood for before it was written.
    Before(Digest),
    /// Nothing yet.
    Nothing,
}

fn key(repository: &str, reference: &str) -> String {
    format!("{repository}/{reference}")
}

impl Fresh {
    /// What a tag or digest of a repository shows now, where reads lag writes by `lag`.
    pub(super) fn visible(&self, lag: Duration, repository: &str, reference: &str) -> Visible {
        match self.written.get(&key(repository, reference)) {
            Some(written) if written.at.elapsed() < lag => {
                written.before.map_or(Visible::Nothing, Visible::Before)
            }
            _ => Visible::Now,
        }
    }

    /// Notes what a request has written.
    pub(super) fn note(&mut self, asked: &Asked<'_>, before: Option<Digest>, response: &Response) {
        if !response.status().is_success() {
            return;
        }
        let query = Query::parse(asked.query());
        let digest = response.headers().get(DOCKER_CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let names: Vec<(&str, Option<Digest>)> = match (asked.kind, asked.endpoint) {
            (Kind::ManifestPut, Endpoint::Manifest { reference, .. }) => {
                std::iter::once((reference, before)).chain(digest.map(|digest| (digest, None))).collect()
            }
            (Kind::UploadPut | Kind::UploadOpen | Kind::Mount, _)
                if response.status() == StatusCode::CREATED =>
            {
                let named = query.first("digest").or_else(|| query.first("mount"));
                named.map(|digest| (digest, None)).into_iter().collect()
            }
            _ => return,
        };
        let (Endpoint::Manifest { name, .. } | Endpoint::Uploads { name } | Endpoint::Upload { name, .. }) =
            asked.endpoint
        else {
            return;
        };
        for (reference, before) in names {
            let known = self.written.contains_key(&key(name, reference));
            // A digest that is written again has been there since the first time.
            if !(known && reference.contains(':')) {
                let written = Written { at: Instant::now(), before };
                self.written.insert(key(name, reference), written);
            }
        }
    }
}
