//! The plan as a file: `--output-plan`. The schema is documented in `docs/reference/plan.md`.

use std::io::{self, Write};

use oci::Digest;
use schemars::JsonSchema;
use serde::Serialize;

use crate::decide::Verdict;
use crate::phase::{Attached, Missing, Plan, Summary};

/// The version of the file's schema.
const SCHEMA: u32 = 1;

/// The plan of a run (`kpromo cip --output-plan FILE`).
#[derive(JsonSchema)]
#[schemars(rename = "Plan")]
#[expect(dead_code, reason = "`write_plan` writes the fields one by one; this describes them")]
pub struct PlanFile<'a> {
    /// The version of this schema.
    #[schemars(extend("const" = SCHEMA))]
    schema: u32,
    /// The counts by project and in total.
    summary: Summary,
    /// The edges, by destination, tag and digest.
    edges: Vec<Decision<'a>>,
    /// The images that lack an attachment, by repository and digest.
    images: Vec<Image<'a>>,
}

/// An edge and the action for it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Edge")]
struct Decision<'a> {
    /// The project whose manifest lists the edge.
    project: &'a str,
    /// The repository in staging.
    source: String,
    /// The destination repository.
    destination: String,
    /// The tag. Absent if the image is promoted without a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    /// The digest of the image.
    #[schemars(regex(pattern = Digest::PATTERN))]
    digest: String,
    /// The action. `copy`: the image is copied, and its tag, if any, is written. `tag`: only the tag is written. `done`: there is
    /// nothing to do. `lost`: the image is in neither staging nor production. `conflict`: the edge must not be promoted. `failed`:
    /// the edge cannot be promoted. `late`: the registry has not answered yet.
    #[schemars(extend("enum" = ["copy", "tag", "done", "lost", "conflict", "failed", "late"]))]
    action: &'static str,
    /// An explanation of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The position in the manifest that lists the edge, as `file:line:column`.
    origin: String,
}

/// An image and the attachments that it lacks.
#[derive(Serialize, JsonSchema)]
struct Image<'a> {
    /// The image by digest, in its canonical repository.
    image: String,
    /// The attachments that the run adds.
    lacks: &'a [Attached],
    /// Why the run adds nothing: the image or a part of it has not passed.
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
