//! The results of `kpromo sigcheck`: lines for a person, or JSON (`docs/reference/sigcheck.md`).

use std::fmt::Write as _;

use oci::{Digest, Tag};
use promote::sigcheck::{CheckedImage, Findings};
use schemars::JsonSchema;
use serde::Serialize;
use trust::Problem;
use trust::audit::{RecordVerdict, SignatureVerdict};

use super::document::{Head, to_json};
use super::human::{count, counted};
use crate::exit::Exit;

/// The results of a check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    /// The images as they are now, and those that were repaired as they were before.
    pub(crate) images: Vec<(CheckedImage, Option<CheckedImage>)>,
    /// The images and repositories that could not be read, by name.
    pub(crate) unread: Vec<(String, Problem)>,
    /// Whether missing signatures and records were to be written.
    pub(crate) confirmed: bool,
}

/// The results of `kpromo sigcheck --output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    head: Head<1>,
    /// Whether `--confirm` was given.
    confirmed: bool,
    /// The signer whose signatures count.
    signer: &'a str,
    /// The images: the latest first, or in the order of the command line.
    images: Vec<Entry<'a>>,
    /// The images and repositories that could not be read.
    unread: Vec<Unread<'a>>,
}

/// An image that was checked. It has either findings, with `record` among them, or `error`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Image", extend("oneOf" = [{ "required": ["record"] }, { "required": ["error"] }]))]
struct Entry<'a> {
    /// The name that users pull the image by, without a tag.
    reference: &'a str,
    /// The repository that holds its signatures and records.
    repository: &'a str,
    /// Its digest.
    #[schemars(with = "String", regex(pattern = Digest::PATTERN))]
    digest: Digest,
    /// Its tags, as far as they are known.
    #[schemars(with = "Vec<String>")]
    tags: &'a [Tag],
    /// When it was uploaded. Absent if the registry does not state it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    uploaded: Option<String>,
    /// The result as one word.
    #[schemars(extend("enum" = ["ok", "missing", "repaired", "unavailable"]))]
    outcome: &'static str,
    #[serde(flatten)]
    findings: Option<&'a Findings>,
    /// The findings before the repair. Absent if the image was not repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Findings>,
    #[serde(flatten)]
    problem: Option<&'a Problem>,
}

/// An image or a repository that could not be read.
#[derive(Serialize, JsonSchema)]
struct Unread<'a> {
    /// Its name.
    name: &'a str,
    #[serde(flatten)]
    problem: &'a Problem,
}

/// Returns the result for an image as a word.
fn outcome(now: &CheckedImage, before: Option<&CheckedImage>) -> &'static str {
    match (&now.result, before) {
        (Err(_), _) => "unavailable",
        (Ok(findings), None) if findings.is_ok() => "ok",
        (Ok(findings), Some(_)) if findings.is_ok() => "repaired",
        (Ok(_), _) => "missing",
    }
}

/// Returns all results as JSON.
pub(crate) fn sigcheck_json(results: &Results, signer: &str, exit: Exit) -> String {
    let images = results.images.iter().map(|(now, before)| Entry {
        reference: &now.reference,
        repository: &now.repository,
        digest: now.digest,
        tags: &now.tags,
        uploaded: now.uploaded.map(|time| time.to_string()),
        outcome: outcome(now, before.as_ref()),
        findings: now.result.as_ref().ok(),
        before: before.as_ref().and_then(|before| before.result.as_ref().ok()),
        problem: now.result.as_ref().err(),
    });
    let unread = results.unread.iter().map(|(name, problem)| Unread { name, problem });
    let document = Document {
        head: Head::new(exit.code()),
        confirmed: results.confirmed,
        signer,
        images: images.collect(),
        unread: unread.collect(),
    };
    to_json(&document)
}

/// Returns the results as text: the images that lack something or were repaired, and the totals.
pub(crate) fn sigcheck_text(results: &Results, signer: &str) -> String {
    let mut text = String::new();
    let (mut ok, mut repaired, mut lacking, mut unavailable) = (0_u64, 0_u64, 0_u64, 0_u64);
    for (now, before) in &results.images {
        match outcome(now, before.as_ref()) {
            "ok" => ok += 1,
            "repaired" => {
                repaired += 1;
                let was = before.as_ref().and_then(|before| before.result.as_ref().ok()).map(summary);
                let was = was.unwrap_or_default();
                // Writing to a string does not fail.
                let _ = writeln!(text, "{}: repaired: {was}", name(now));
            }
            "unavailable" => unavailable += 1,
            _ => {
                lacking += 1;
                image(&mut text, now);
            }
        }
    }
    unavailable += results.unread.len() as u64;
    let all = ok + repaired + lacking;
    let _ = write!(
        text,
        "checked {} for signatures and records by {signer}: {} ok",
        counted(all, "image"),
        count(ok)
    );
    for (number, what) in
        [(repaired, "repaired"), (lacking, "lacking something"), (unavailable, "not checked")]
    {
        if number > 0 {
            let _ = write!(text, ", {} {what}", count(number));
        }
    }
    text.push('\n');
    if lacking > 0 && !results.confirmed {
        text.push_str("Nothing was written; --confirm adds what is missing.\n");
    }
    text
}

fn name(image: &CheckedImage) -> String {
    if image.tags.is_empty() {
        return image.name();
    }
    let tags: Vec<&str> = image.tags.iter().map(Tag::as_str).collect();
    format!("{} ({})", image.name(), tags.join(", "))
}

/// Describes what an image lacks.
fn image(text: &mut String, image: &CheckedImage) {
    let Ok(findings) = &image.result else { return };
    let _ = writeln!(text, "{}: {}", name(image), summary(findings));
    for detail in &findings.details {
        let _ = writeln!(text, "  {detail}");
    }
    for part in &findings.parts {
        let platform = part.platform.as_deref().unwrap_or("a part");
        let _ = writeln!(text, "  {platform}, {}: signature {}", part.digest, part.signature);
        part.details.iter().for_each(|detail| {
            let _ = writeln!(text, "    {detail}");
        });
    }
    if let Some(why) = &findings.not_repaired {
        let _ = writeln!(text, "  {}", why.replace('\n', "\n  "));
    }
}

/// Names what is missing.
fn summary(findings: &Findings) -> String {
    let mut lacking = Vec::new();
    if let Some(signature) = findings.signature.filter(|signature| *signature != SignatureVerdict::Ok) {
        lacking.push(format!("signature {signature}"));
    }
    match findings.parts.len() {
        0 => {}
        parts => lacking.push(format!(
            "{} of {}",
            if parts == 1 { "signature" } else { "signatures" },
            counted(parts, "part")
        )),
    }
    if findings.record != RecordVerdict::Ok {
        lacking.push(format!("record {}", findings.record));
    }
    lacking.join(", ")
}
