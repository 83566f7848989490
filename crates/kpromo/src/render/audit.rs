//! The results of `kpromo verify`: a table per image for a person, or JSON (`docs/reference/verify.md`).

use std::fmt::Write as _;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::Timestamp;
use serde::Serialize;
use trust::audit::{Audited, Promotion, Record, RefusedKind, Signature, SignatureStatus, Summary};

use super::human::counted;
use crate::exit::Exit;
use crate::image_audit::ImageAudit;

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
    image: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    found: Option<&'a Audited>,
}

/// Returns all results as JSON.
pub(crate) fn audit_json(audits: &[ImageAudit], signer: &str, exit: Exit) -> String {
    let images = audits.iter().map(|audit| Entry {
        image: audit.image.to_string(),
        outcome: outcome(audit),
        error: audit.found.as_ref().err().map(ToString::to_string),
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

/// Returns the result for an image as a word.
fn outcome(audit: &ImageAudit) -> &'static str {
    match &audit.found {
        Ok(found) if found.is_wholly_signed() => "signed",
        Ok(_) => "refused",
        Err(_) => "unavailable",
    }
}

/// Returns the results as text: the number of signed platforms, or all results of platforms with `platforms`.
pub(crate) fn audit_text(audits: &[ImageAudit], signer: &str, platforms: bool) -> String {
    let mut text = String::new();
    for ImageAudit { image, found } in audits {
        // An image that could not be examined is reported as an error.
        let Ok(found) = found else { continue };
        let verdict = match (found.is_wholly_signed(), found.signed) {
            (true, _) => "signed",
            (false, true) => "NOT SIGNED AS A WHOLE",
            (false, false) => "NOT SIGNED",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{image}: {verdict} by {signer}");
        let _ = writeln!(text, "{}", found.digest);
        text.push_str(&table(found));
        let (signed, all) = found.platforms_signed();
        if all > 0 {
            let _ = writeln!(text, "{signed} of {} signed", counted(all, "platform"));
        }
        if platforms {
            found.platforms.iter().for_each(|platform| platform_text(&mut text, platform));
        }
        objections(&mut text, found);
        text.push('\n');
    }
    text
}

fn platform_text(text: &mut String, platform: &Audited) {
    let verdict = if platform.signed { "signed" } else { "NOT SIGNED" };
    let _ = writeln!(text, "\n{}: {verdict}\n{}", name(platform), platform.digest);
    text.push_str(&table(platform));
    platform.platforms.iter().for_each(|deeper| platform_text(text, deeper));
}

fn name(platform: &Audited) -> &str {
    platform.platform.as_deref().unwrap_or("a platform without a name")
}

/// Lists why an image and its platforms are not signed.
fn objections(text: &mut String, found: &Audited) {
    for objection in &found.objections {
        let of = match &found.platform {
            Some(platform) => format!("{platform} ({})", found.digest),
            None => found.digest.to_string(),
        };
        let _ = writeln!(text, "refused: {of}: {objection}");
    }
    found.platforms.iter().for_each(|platform| objections(text, platform));
}

/// Returns the findings for one image as lines, or an empty text if there are none.
fn table(found: &Audited) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["found", "what", "by", "when"]);
    rows(&mut table, found);
    if table.is_empty() { String::new() } else { format!("{}\n", table.trim_fmt()) }
}

fn rows(table: &mut Table, found: &Audited) {
    let when = |time: &Option<String>| time.clone().unwrap_or_default();
    for Signature { standing, signer, reference, signed_at, .. } in &found.signatures {
        let kind = match standing {
            SignatureStatus::Counts => "signature",
            SignatureStatus::OtherSigner => "signature of another",
            SignatureStatus::OtherReference => "signature for another",
        };
        let what = reference.clone().unwrap_or_else(|| "the digest".to_owned());
        let time = signed_at.map(|time: Timestamp| time.to_string()).unwrap_or_default();
        table.add_row([kind.to_owned(), what, signer.to_string(), time]);
    }
    for Record { accepted, signer, promotion, .. } in &found.records {
        let kind = if *accepted { "promotion" } else { "promotion, says another" };
        table.add_row([
            kind.to_owned(),
            promotion_text(promotion),
            signer.to_string(),
            when(&promotion.timestamp),
        ]);
    }
    for Summary { accepted, signer, result, levels, timestamp, .. } in &found.summaries {
        let kind = if *accepted { "summary" } else { "summary of another" };
        let what = format!("{result} {}", levels.join(" "));
        table.add_row([kind.to_owned(), what.trim_end().to_owned(), signer.to_string(), when(timestamp)]);
    }
    for attestation in &found.attestations {
        let (what, by) = (attestation.predicate_type.clone(), attestation.signer.to_string());
        table.add_row(["attestation".to_owned(), what, by, String::new()]);
    }
    for refused in &found.refused {
        let kind = match refused.kind {
            RefusedKind::Signature => "signature, refused",
            RefusedKind::Attestation => "attestation, refused",
        };
        let claim = refused.predicate_type.as_deref().map(|claim| format!("{claim}: ")).unwrap_or_default();
        let what = format!("{claim}{} ({})", refused.reason, refused.place);
        table.add_row([kind.to_owned(), what, String::new(), String::new()]);
    }
}

/// Describes a promotion: its source, who ran it, and which manifest requested it.
fn promotion_text(promotion: &Promotion) -> String {
    let Promotion { source, builder, manifest, repository, commit, job, .. } = promotion;
    let manifest = match (manifest, repository) {
        (Some(manifest), Some(repository)) => Some(format!("{manifest} of {repository}")),
        (manifest, repository) => manifest.clone().or_else(|| repository.clone()),
    };
    let parts = [("from", source), ("by", builder), ("for", &manifest), ("at", commit), ("in", job)];
    let parts = parts.iter().filter_map(|(word, part)| Some(format!("{word} {}", part.as_ref()?)));
    // Each part is long enough for a separate line.
    parts.collect::<Vec<_>>().join("\n")
}
