//! The results of `kpromo verify`: sheets for a person, or JSON (`docs/reference/verify.md`).

mod text;

use oci::{Digest, Tag};
use serde::Serialize;
pub(crate) use text::{AuditShape, audit_text};
use trust::audit::Audited;

use crate::exit::Exit;
use crate::image_audit::{ImageAudit, Outcome, WrongTag};

/// The version of the JSON schema.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: u32,
    version: &'static str,
    exit_code: u8,
    signer: &'a str,
    images: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    image: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    tags: Option<Tags<'a>>,
    #[serde(flatten)]
    found: Option<&'a Audited>,
}

/// The tags of an image that was examined.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tags<'a> {
    tags: &'a [Tag],
    wrong_tags: Vec<Wrong<'a>>,
}

#[derive(Serialize)]
struct Wrong<'a> {
    tag: &'a Tag,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
}

/// Returns all results as JSON.
pub(crate) fn audit_json(audits: &[ImageAudit], signer: &str, exit: Exit) -> String {
    let images = audits.iter().map(|audit| Entry {
        image: &audit.name,
        outcome: match audit.outcome() {
            Outcome::Signed => "signed",
            Outcome::Refused => "refused",
            Outcome::Unavailable => "unavailable",
        },
        error: audit.found.as_ref().err().map(|problem| problem.error.as_str()),
        tags: audit.found.is_ok().then(|| Tags { tags: &audit.tags, wrong_tags: wrong(&audit.wrong_tags) }),
        found: audit.found.as_ref().ok(),
    });
    let images = images.collect();
    let document = Document {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        exit_code: exit.code(),
        signer,
        images,
    };
    // Strings, numbers and lists always serialize to JSON.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn wrong(tags: &[WrongTag]) -> Vec<Wrong<'_>> {
    tags.iter().map(|WrongTag { tag, digest }| Wrong { tag, digest: *digest }).collect()
}
