//! The results of `kpromo verify` for a person: a sheet for each image.

use jiff::Timestamp;
use trust::audit::{Audited, Promotion, Record, RefusedKind, Signature, SignatureStatus, Signer, Summary};

use super::super::human::{count, counted};
use super::super::sheet::Sheet;
use crate::color::Paint;
use crate::image_audit::{ImageAudit, Outcome, WrongTag};

/// The indentation of what belongs to an image, and of what belongs to one of its promotions.
const OF_IMAGE: usize = 2;
const OF_PROMOTION: usize = 4;

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditShape {
    /// Whether the platforms of an index are shown in detail, and not only their number.
    pub(crate) platforms: bool,
    /// The width of the terminal, in columns.
    pub(crate) width: Option<usize>,
    pub(crate) color: bool,
}

/// Returns the results as text. Images that could not be examined are not in it, except in the total of several.
pub(crate) fn audit_text(audits: &[ImageAudit], signer: &str, shape: AuditShape) -> String {
    let mut pages = Pages { sheet: Sheet::new(shape.width), shape };
    audits.iter().for_each(|audit| pages.image(audit, signer));
    if audits.len() > 1 {
        pages.total(audits);
    }
    pages.sheet.finish()
}

/// The text while it is written.
struct Pages {
    sheet: Sheet,
    shape: AuditShape,
}

impl Pages {
    fn image(&mut self, audit: &ImageAudit, signer: &str) {
        let verdict = match (&audit.found, audit.outcome()) {
            (Ok(_), Outcome::Signed) => self.good(format!("signed by {signer}")),
            (Ok(found), Outcome::Unavailable) if found.is_wholly_signed() => {
                format!("signed by {signer}, but not all of its tags could be read")
            }
            (Ok(found), _) if found.is_wholly_signed() => {
                self.bad(format!("WRONG TAG, although signed by {signer}"))
            }
            (Ok(found), _) if found.signed => self.bad(format!("NOT SIGNED AS A WHOLE by {signer}")),
            (Ok(_), _) => self.bad(format!("NOT SIGNED by {signer}")),
            (Err(_), Outcome::Refused) => self.bad("WRONG TAG; the image could not be examined".to_owned()),
            // It is reported as an error.
            (Err(_), _) => return,
        };
        // The digest and the tags of a listed image are below.
        let is_listed = !(audit.tags.is_empty() && audit.wrong_tags.is_empty());
        let repository = audit.name.split_once('@').map(|(repository, _)| repository).filter(|_| is_listed);
        let name = Paint::Title.on(self.shape.color, repository.unwrap_or(&audit.name));
        self.sheet.line(&format!("{name}: {verdict}"));
        if let Ok(found) = &audit.found {
            self.value("digest", &found.digest.to_string());
        }
        if !audit.tags.is_empty() {
            self.value("tags", &list(&audit.tags));
        }
        for WrongTag { tag, digest } in &audit.wrong_tags {
            let problem = match digest {
                Some(digest) => format!("{tag} refers to {digest}"),
                None => format!("{tag} does not exist"),
            };
            let problem = self.bad(problem);
            self.value("wrong tag", &problem);
        }
        if let Ok(found) = &audit.found {
            self.found(found);
        }
        self.sheet.line("");
    }

    /// Adds what was found about an image and its platforms.
    fn found(&mut self, found: &Audited) {
        let (signed, all) = found.platforms_signed();
        if all > 0 {
            let text = format!("{} of {} signed", count(signed), counted(all, "platform"));
            let text = if signed == all { text } else { self.bad(text) };
            self.value("platforms", &text);
        }
        self.findings(found);
        if self.shape.platforms {
            found.platforms.iter().for_each(|platform| self.platform(platform));
        }
        self.objections(found);
    }

    fn platform(&mut self, platform: &Audited) {
        let verdict = match (platform.signed, &platform.unexamined) {
            (true, _) => self.good("signed".to_owned()),
            (false, None) => self.bad("NOT SIGNED".to_owned()),
            (false, Some(_)) => self.notable("not examined"),
        };
        let name = platform.platform.as_deref().unwrap_or("a platform without a name");
        self.sheet.line(&format!("  {}: {verdict}", Paint::Title.on(self.shape.color, name)));
        self.value("digest", &platform.digest.to_string());
        self.findings(platform);
        platform.platforms.iter().for_each(|deeper| self.platform(deeper));
    }

    /// Adds what is attached to one image.
    fn findings(&mut self, found: &Audited) {
        self.signatures(&found.signatures);
        found.records.iter().for_each(|record| self.record(record));
        for Summary { accepted, signer, result, levels, timestamp, .. } in &found.summaries {
            let result = format!("{result} {}", levels.join(" "));
            let text = format!("{}{}", result.trim_end(), by(signer, timestamp.as_deref()));
            self.statement("summary", *accepted, text);
        }
        for attestation in &found.attestations {
            self.value(
                "attestation",
                &format!("{}{}", attestation.predicate_type, by(&attestation.signer, None)),
            );
        }
        for refused in &found.refused {
            let kind = match refused.kind {
                RefusedKind::Signature => "signature",
                RefusedKind::Attestation => "attestation",
            };
            let claim =
                refused.predicate_type.as_deref().map(|claim| format!(" {claim}")).unwrap_or_default();
            let text = format!("{kind}{claim}: {} ({})", refused.reason, refused.place);
            let label = self.notable("refused");
            self.value(&label, &text);
        }
    }

    /// Adds signatures. Those that state the same, such as the two forms of cosign, have one line.
    fn signatures(&mut self, signatures: &[Signature]) {
        let mut lines: Vec<(String, usize)> = Vec::new();
        for signature in signatures {
            let line = self.signature(signature);
            match lines.iter_mut().find(|(other, _)| *other == line) {
                Some((_, number)) => *number += 1,
                None => lines.push((line, 1)),
            }
        }
        for (line, number) in lines {
            let times =
                if number > 1 { format!(" ({})", counted(number, "signature")) } else { String::new() };
            self.value("signature", &format!("{line}{times}"));
        }
    }

    fn signature(&self, signature: &Signature) -> String {
        let Signature { standing, signer, reference, signed_at, .. } = signature;
        let reference = reference.as_deref().unwrap_or("the digest under any name");
        let time = signed_at.map(|time: Timestamp| time.to_string());
        let text = format!("for {reference}{}", by(signer, time.as_deref()));
        let remark = match standing {
            SignatureStatus::Counts => return text,
            SignatureStatus::OtherSigner => "does not count, because it is by another signer",
            SignatureStatus::OtherReference => "does not count, because it is for another image",
        };
        format!("{text}; {}", self.notable(remark))
    }

    /// Adds a promotion: when and where it was, who ran it, and which manifest requested it.
    fn record(&mut self, record: &Record) {
        let Record { accepted, signer, promotion, .. } = record;
        let when = promotion.timestamp.as_deref().unwrap_or("at an unknown time");
        self.statement("promotion", *accepted, format!("{when}, recorded by {signer}"));
        let Promotion { source, destination, tags, destinations, builder, .. } = promotion;
        let Promotion { manifest, repository, commit, job, job_url, actor, .. } = promotion;
        let manifest = match (manifest, repository) {
            (Some(manifest), Some(repository)) => Some(format!("{manifest} of {repository}")),
            (manifest, repository) => manifest.clone().or_else(|| repository.clone()),
        };
        let some_list = |all: &[String]| (!all.is_empty()).then(|| all.join(", "));
        let lines = [
            ("from", source.clone()),
            ("to", destination.clone()),
            ("tags", some_list(tags)),
            ("in place", some_list(destinations)),
            ("manifest", manifest),
            ("commit", commit.clone()),
            ("job", job.clone()),
            ("page", job_url.clone()),
            ("actor", actor.clone()),
            ("tool", builder.clone()),
        ];
        for (label, value) in lines {
            if let Some(value) = value {
                self.sheet.value(OF_PROMOTION, label, &value);
            }
        }
    }

    /// Adds a statement, which is only that of someone else if it is not accepted.
    fn statement(&mut self, label: &str, accepted: bool, text: String) {
        let text = match accepted {
            true => text,
            false => format!("{text}; {}", self.notable("does not count, because it is by another signer")),
        };
        self.value(label, &text);
    }

    /// Lists why an image and its platforms are not signed.
    fn objections(&mut self, found: &Audited) {
        for objection in &found.objections {
            let of = match &found.platform {
                Some(platform) => format!("{platform} ({})", found.digest),
                None => found.digest.to_string(),
            };
            let label = self.bad("not signed".to_owned());
            self.value(&label, &format!("{of}: {objection}"));
        }
        if let Some(why) = &found.unexamined {
            let label = self.notable("not examined");
            self.value(&label, why);
        }
        found.platforms.iter().for_each(|platform| self.objections(platform));
    }

    fn total(&mut self, audits: &[ImageAudit]) {
        let number = |outcome| audits.iter().filter(|audit| audit.outcome() == outcome).count();
        let parts = [
            (Outcome::Signed, "signed"),
            (Outcome::Refused, "refused"),
            (Outcome::Unavailable, "not examined"),
        ];
        let parts = parts.map(|(outcome, word)| (number(outcome), word));
        let parts = parts.iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> = parts.map(|(number, word)| format!("{} {word}", count(*number))).collect();
        self.sheet.line(&format!("total: {}", parts.join(", ")));
    }

    fn value(&mut self, label: &str, value: &str) {
        self.sheet.value(OF_IMAGE, label, value);
    }

    fn good(&self, text: String) -> String {
        Paint::Added.on(self.shape.color, text)
    }

    fn bad(&self, text: String) -> String {
        Paint::Error.on(self.shape.color, text)
    }

    fn notable(&self, text: &str) -> String {
        Paint::Attention.on(self.shape.color, text)
    }
}

/// Returns who has signed something, and when, as the end of a sentence.
fn by(signer: &Signer, time: Option<&str>) -> String {
    let time = time.map(|time| format!(", at {time}")).unwrap_or_default();
    format!(", by {signer}{time}")
}

fn list(tags: &[oci::Tag]) -> String {
    let tags: Vec<&str> = tags.iter().map(oci::Tag::as_str).collect();
    tags.join(", ")
}
