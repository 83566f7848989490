//! Reads that lag behind writes.

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

/// The latest writes with their times, by `repository/reference`.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    written: HashMap<String, Written>,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    at: Instant,
    /// The digest that the reference resolved to before the write.
    before: Option<Digest>,
}

/// What a reference resolves to while reads lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// The current content.
    Now,
    /// The digest from before the write.
    Before(Digest),
    /// Nothing yet.
    Nothing,
}

fn key(repository: &str, reference: &str) -> String {
    format!("{repository}/{reference}")
}

impl Fresh {
    /// Returns what a tag or digest of a repository resolves to now, if reads lag behind writes by `lag`.
    pub(super) fn visible(&self, lag: Duration, repository: &str, reference: &str) -> Visible {
        match self.written.get(&key(repository, reference)) {
            Some(written) if written.at.elapsed() < lag => {
                written.before.map_or(Visible::Nothing, Visible::Before)
            }
            _ => Visible::Now,
        }
    }

    /// Records what a request has written.
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
            // Content that is pushed again under its digest is visible since its first push.
            if !(known && reference.contains(':')) {
                let written = Written { at: Instant::now(), before };
                self.written.insert(key(name, reference), written);
            }
        }
    }
}
