//! The plan as a file: `--output-plan`. The schema is documented in `docs/reference/plan.md`.

use std::io::{self, Write};

use serde::Serialize;

use crate::decide::Verdict;
use crate::phase::{Attached, Missing, Plan};

/// The version of the file's schema.
const SCHEMA: u32 = 1;

/// An edge and the action for it.
#[derive(Serialize)]
struct Decision<'a> {
    project: &'a str,
    source: String,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    digest: String,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    origin: String,
}

/// An image and the attachments it lacks.
#[derive(Serialize)]
struct Image<'a> {
    image: String,
    lacks: &'a [Attached],
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

/// Writes a plan as JSON, with one edge or image per line, ordered by destination.
///
/// # Errors
/// If the writer fails.
pub fn write_plan(plan: &Plan, mut to: impl Write) -> io::Result<()> {
    let edges = plan.edges();
    write!(to, "{{\"schema\":{SCHEMA},\"summary\":")?;
    serde_json::to_writer(&mut to, &plan.summary())?;
    write!(to, ",\"edges\":[")?;
    let mut decisions: Vec<_> = plan.decisions().collect();
    // Ids follow the order of the manifests. Sorting by name makes files comparable.
    decisions.sort_by(|(a, _), (b, _)| {
        let key = |edge| (edges.destination(edge), edges.tag(edge), edges.digest(edge));
        key(a).cmp(&key(b))
    });
    let decisions = decisions.into_iter().map(|(edge, verdict)| {
        let (action, detail) = match plan.failure(edge, verdict) {
            Some(error) => ("failed", Some(error.to_string())),
            None => action(verdict),
        };
        Decision {
            project: edges.project(edge),
            source: edges.source(edge).to_string(),
            destination: edges.destination(edge).to_string(),
            tag: edges.tag(edge).map(oci::Tag::as_str),
            digest: edges.digest(edge).to_string(),
            action,
            detail,
            origin: edges.origin(edge),
        }
    });
    write_lines(&mut to, decisions)?;
    write!(to, "\n],\"images\":[")?;
    let missing = plan.missing();
    let images = missing.iter().map(|Missing { repository, digest, lacks, refused }| Image {
        image: repository.at(**digest).to_string(),
        lacks,
        refused: *refused,
    });
    write_lines(&mut to, images)?;
    to.write_all(b"\n]}\n")
}

/// Writes the members of an array, one per line.
fn write_lines(mut to: impl Write, members: impl Iterator<Item = impl Serialize>) -> io::Result<()> {
    let mut between = "\n";
    for member in members {
        to.write_all(between.as_bytes())?;
        serde_json::to_writer(&mut to, &member)?;
        between = ",\n";
    }
    Ok(())
}

fn action(verdict: &Verdict) -> (&'static str, Option<String>) {
    match verdict {
        Verdict::Done => ("done", None),
        Verdict::DoneWithoutSource => ("done", Some("it is no longer in staging".to_owned())),
        Verdict::Copy => ("copy", None),
        Verdict::Tag => ("tag", None),
        Verdict::Lost => ("lost", None),
        Verdict::Moved(held) => ("conflict", Some(format!("the tag is {held} in production"))),
        Verdict::Unsupported(media_type) => ("conflict", Some(format!("unsupported: {media_type}"))),
        Verdict::Unreadable(_) => ("failed", None),
        Verdict::Late => ("late", Some("the registry has not answered yet".to_owned())),
    }
}
