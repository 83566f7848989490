//! The results of `kpromo verify`: sheets for a person, or JSON (`docs/reference/verify.md`).

mod text;

use oci::{Digest, Tag};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Value, json};
pub(crate) use text::{AuditShape, audit_text};
use trust::audit::Audited;

use super::document::{Head, to_json};
use crate::exit::Exit;
use crate::image_audit::{ImageAudit, Outcome, WrongTag};

/// The results of `kpromo verify --output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    head: Head<1>,
    /// The required signer, in human-readable form.
    signer: &'a str,
    /// The images of the command line, of the manifests and of the repositories, in this order.
    images: Vec<Entry<'a>>,
}

/// An image. It has `error`, all that was found, or both.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Image", extend("anyOf" = error_or_found()))]
struct Entry<'a> {
    /// The name that was given, or the name by digest of an image of a manifest or a repository, or the repository if its images
    /// could not be listed.
    image: &'a str,
    /// The result as one word.
    #[schemars(extend("enum" = ["signed", "refused", "unavailable"]))]
    outcome: &'static str,
    /// Why the image, or one of its tags, could not be examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// The tags that were read and refer to the image. Empty if the image was named by digest.
    #[schemars(with = "Vec<String>")]
    tags: &'a [Tag],
    /// The tags that a manifest states and that do not refer to the image.
    wrong_tags: Vec<Wrong<'a>>,
    #[serde(flatten)]
    found: Option<&'a Audited>,
}

/// A tag that a manifest states and that does not refer to the image.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WrongTag")]
struct Wrong<'a> {
    /// The tag.
    #[schemars(with = "String")]
    tag: &'a Tag,
    /// The digest of the image that it refers to. Absent if the tag does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = Digest::PATTERN))]
    digest: Option<Digest>,
}

/// Returns the schemas of an image that could not be examined, and of one about which something was found.
fn error_or_found() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let found = generator.into_root_schema_for::<Audited>();
    // What was found is complete, whether there is an error or not.
    let nothing = json!({ "required": ["error"], "properties": { "digest": false } });
    json!([nothing, { "required": found.get("required") }])
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
        error: audit.problem().map(|problem| problem.error.as_str()),
        tags: &audit.tags,
        wrong_tags: wrong(&audit.wrong_tags),
        found: audit.found.as_ref().ok(),
    });
    let images = images.collect();
    let document = Document { head: Head::new(exit.code()), signer, images };
    to_json(&document)
}

fn wrong(tags: &[WrongTag]) -> Vec<Wrong<'_>> {
    tags.iter().map(|WrongTag { tag, digest }| Wrong { tag, digest: *digest }).collect()
}
