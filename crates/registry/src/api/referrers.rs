//! The referrers of a manifest (OCI distribution specification, *Listing Referrers*).

use std::collections::BTreeMap;

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use oci::{Digest, MediaType, RepositoryPath};
use serde::{Deserialize, Serialize};

use super::listings::Page;
use super::{Call, Registry, json, only_reads};
use crate::body::Response;
use crate::error::{ErrorCode, Refusal};
use crate::store::ManifestEntry;

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The entry of a referrer in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Referrer {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// The fields of a referrer's manifest that its entry in the list repeats.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    artifact_type: Option<String>,
    config: Option<Config>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

impl Referrer {
    fn new(digest: Digest, entry: &ManifestEntry, bytes: &[u8]) -> Result<Self, Refusal> {
        let described: Described = serde_json::from_slice(bytes).map_err(|error| {
            tracing::error!(%digest, %error, "a stored referrer does not parse");
            Refusal::new(ErrorCode::Unknown, "the registry's storage failed; see its log")
        })?;
        // An image without an artifact type has the media type of its configuration.
        let of_config = described.config.map(|config| config.media_type);
        Ok(Self {
            media_type: entry.media_type.as_str().to_owned(),
            digest,
            size: entry.size,
            artifact_type: described.artifact_type.filter(|kind| !kind.is_empty()).or(of_config),
            annotations: described.annotations,
        })
    }
}

impl Registry {
    pub(super) async fn referrers(
        &self,
        call: &Call,
        repository: &RepositoryPath,
        subject: Digest,
    ) -> Result<Response, Refusal> {
        if !self.referrers_api {
            return Err(Refusal::new(ErrorCode::Unsupported, "this registry has no referrers API")
                .with_status(StatusCode::NOT_FOUND));
        }
        only_reads(call)?;
        let wanted = call.query.first("artifactType");
        let mut found = self.referrers_of(repository, &subject, call.query.first("last")).await?;
        found.retain(|referrer| wanted.is_none() || referrer.artifact_type.as_deref() == wanted);
        let page =
            Page::of(call, self.page_size.get(), found.iter().map(|referrer| referrer.digest.to_string()))?;
        found.truncate(page.entries.len());
        let index_type = MediaType::OciIndex;
        let mut response = json(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": index_type.as_str(),
            "manifests": found,
        }));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.oci.image.index.v1+json"));
        if wanted.is_some() {
            response.headers_mut().insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
        }
        let path = format!("/v2/{repository}/referrers/{subject}");
        page.link(&path, wanted.map(|wanted| ("artifactType", wanted)), response)
    }

    /// Returns the referrers after `last`, in the order of their digests.
    async fn referrers_of(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        last: Option<&str>,
    ) -> Result<Vec<Referrer>, Refusal> {
        let last: Option<Digest> = last.map(super::parse_digest).transpose()?;
        let entries: Vec<(Digest, ManifestEntry)> = {
            let index = self.store.index();
            let names = index.repository(repository);
            let digests = names.and_then(|names| names.referrers.get(subject)).into_iter().flatten();
            digests
                .filter(|digest| last.is_none_or(|last| **digest > last))
                .filter_map(|digest| Some((*digest, index.manifest(repository, digest)?.clone())))
                .collect()
        };
        let mut referrers = Vec::with_capacity(entries.len());
        for (digest, entry) in entries {
            let bytes = self.store.manifest_bytes(digest, &entry).await?;
            referrers.push(Referrer::new(digest, &entry, &bytes)?);
        }
        Ok(referrers)
    }
}
