//! Changes to lists in JSON.

use std::time::Duration;

use http::HeaderValue;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::asked::Asked;
use super::fresh::{Fresh, Visible};
use super::template::fill;
use crate::body::{Response, full};
use crate::endpoint::{Endpoint, Query};

/// The form of lists of referrers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReferrersList {
    /// The form of the specification.
    #[default]
    Own,
    /// `manifests` is `null`.
    Null,
    /// The list has no media type.
    WithoutMediaType,
    /// The entries have no artifact type.
    WithoutArtifactType,
}

/// Changes the JSON of a response. A body that is not JSON is left unchanged.
pub(super) async fn edit(response: Response, change: impl FnOnce(&mut Value)) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let written = match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut value) => {
            change(&mut value);
            full(value.to_string())
        }
        Err(_) => full(bytes),
    };
    Response::from_parts(parts, written)
}

/// Repeats each tag of the page, and the last tag of the page before.
pub(super) fn repeat_tags(list: &mut Value, asked: &Asked<'_>) {
    let Some(tags) = list.get_mut("tags").and_then(Value::as_array_mut) else { return };
    *tags = tags.iter().flat_map(|tag| [tag.clone(), tag.clone()]).collect();
    let query = Query::parse(asked.query());
    if let Some(last) = query.first("last").filter(|last| !last.is_empty()) {
        tags.insert(0, last.into());
    }
}

/// Changes the form of a list of referrers.
pub(super) fn reshape(list: &mut Value, shape: ReferrersList) {
    match shape {
        ReferrersList::Own => {}
        ReferrersList::Null => list["manifests"] = Value::Null,
        ReferrersList::WithoutMediaType => {
            list.as_object_mut().and_then(|list| list.remove("mediaType"));
        }
        ReferrersList::WithoutArtifactType => {
            for entry in list["manifests"].as_array_mut().into_iter().flatten() {
                entry.as_object_mut().and_then(|entry| entry.remove("artifactType"));
            }
        }
    }
}

/// Removes entries from a list that were written less than `lag` ago.
pub(super) fn hide_fresh(list: &mut Value, fresh: &Fresh, lag: Duration, asked: &Asked<'_>) {
    let (Endpoint::Tags { name } | Endpoint::Referrers { name, .. }) = asked.endpoint else { return };
    let shows = |reference: Option<&str>| {
        reference.is_none_or(|reference| fresh.visible(lag, name, reference) != Visible::Nothing)
    };
    if let Some(tags) = list.get_mut("tags").and_then(Value::as_array_mut) {
        tags.retain(|tag| shows(tag.as_str()));
    }
    match list.get_mut("manifests").and_then(Value::as_array_mut) {
        Some(entries) => entries.retain(|entry| shows(entry["digest"].as_str())),
        None => {
            let google = list.get_mut("manifest").and_then(Value::as_object_mut);
            google.into_iter().for_each(|google| google.retain(|digest, _| shows(Some(digest))));
        }
    }
}

/// Rewrites a `Link`. Its URL is the text between `<` and `>`.
pub(super) fn relink(own: &HeaderValue, template: &str, base: &str) -> Option<HeaderValue> {
    let url = own.to_str().ok()?.split(['<', '>']).nth(1)?;
    let (path, query) = url.split_once('?')?;
    let values = [("url", url), ("path", path), ("query", query), ("base", base)];
    HeaderValue::try_from(fill(template, &values)).ok()
}
