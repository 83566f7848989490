//! The plan: its edges, and a table with a line per project.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use manifest::Edge;
use oci::Digest;
use promote::Verdict;
use promote::phase::{Count, Missing, Plan, Summary};

use super::human::{bytes, count};

/// The maximum number of edges, and of images, that are listed without `--verbose`.
const SHOWN: usize = 50;
/// The number of hexadecimal digits of a shortened digest.
const SHORT: usize = 12;

/// Lists the edges that a confirmed run would copy or tag, one per line: `+ prod/app:1.1 <- staging/app@sha256:82d5…`. Lists the
/// first fifty, or with `verbose` all with complete digests.
pub(crate) fn plan_edges(plan: &Plan, verbose: bool) -> impl Iterator<Item = String> {
    let to_do = plan.decisions().filter(|(edge, verdict)| {
        matches!(verdict, Verdict::Copy | Verdict::Tag) && plan.failure(edge, verdict).is_none()
    });
    first(to_do.collect(), verbose, move |(edge, _)| edge_line(plan, edge, verbose))
}

/// Lists what a confirmed run would attach to images, one image per line: `+ prod/app@sha256:82d5…: signature, promotion
/// record`. The same limit as for edges applies. Images that did not pass the gate are omitted.
pub(crate) fn plan_missing(plan: &Plan, verbose: bool) -> impl Iterator<Item = String> {
    let missing = plan.missing().into_iter().filter(|image| image.refused.is_none());
    first(missing.collect(), verbose, move |image: Missing<'_>| {
        let lacks: Vec<String> = image.lacks.iter().map(ToString::to_string).collect();
        format!("+ {}@{}: {}\n", image.repository, shown(image.digest, verbose), lacks.join(", "))
    })
}

/// Returns the lines of the first fifty items and the number of further ones, or with `verbose` the lines of all items.
fn first<T>(items: Vec<T>, verbose: bool, line: impl Fn(T) -> String) -> impl Iterator<Item = String> {
    let shown = if verbose { items.len() } else { SHOWN };
    let hidden = items.len().saturating_sub(shown);
    let more = (hidden > 0).then(|| format!("  and {} more (--verbose lists them)\n", count(hidden as u64)));
    items.into_iter().take(shown).map(line).chain(more)
}

fn edge_line(plan: &Plan, edge: &Edge, verbose: bool) -> String {
    let edges = plan.edges();
    let digest = shown(edges.digest(edge), verbose);
    let destination = match edges.tag(edge) {
        Some(tag) => format!("{}:{tag}", edges.destination(edge)),
        None => format!("{}@{digest}", edges.destination(edge)),
    };
    format!("+ {destination} <- {}@{digest}\n", edges.source(edge))
}

fn shown(digest: &Digest, whole: bool) -> String {
    let text = digest.to_string();
    let end = text.find(':').map_or(0, |colon| colon + 1 + SHORT);
    match text.get(..end) {
        Some(short) if !whole => format!("{short}…"),
        _ => text,
    }
}

/// Returns a table of the projects in which something is to be done or has failed, and the total.
pub(crate) fn plan_table(summary: &Summary) -> String {
    let mut header =
        vec!["project", "to copy", "to tag", "to sign", "to record", "done", "lost", "conflicts", "failed"];
    // This case is rare, so the column is omitted if it would be empty.
    let late = summary.total.late > 0;
    header.extend(late.then_some("late"));
    let refused = summary.total.refused > 0;
    header.extend(refused.then_some("refused"));
    header.push("to move");
    let mut table = table(&header);
    let quiet = |count: &Count| count.done == count.edges && count.sign + count.record + count.refused == 0;
    for (project, numbers) in summary.projects.iter().filter(|(_, numbers)| !quiet(numbers)) {
        table.add_row(row(project, numbers, late, refused));
    }
    let finished = summary.projects.values().filter(|numbers| quiet(numbers)).count();
    table.add_row(row("all", &summary.total, late, refused));
    let mut text = format!("{table}\n");
    if finished > 0 {
        text.push_str(&format!("({} with nothing to do not shown)\n", projects(finished)));
    }
    text
}

fn row(name: &str, numbers: &Count, late: bool, refused: bool) -> Vec<String> {
    let edges = [
        numbers.copy,
        numbers.tag,
        numbers.sign,
        numbers.record,
        numbers.done,
        numbers.lost,
        numbers.conflicts,
        numbers.failed,
    ];
    let edges =
        edges.into_iter().chain(late.then_some(numbers.late)).chain(refused.then_some(numbers.refused));
    let mut row = vec![name.to_owned()];
    row.extend(edges.map(|number| if number == 0 { "-".to_owned() } else { count(number as u64) }));
    row.push(if numbers.bytes == 0 { "-".to_owned() } else { format!("<= {}", bytes(numbers.bytes)) });
    row
}

fn projects(number: usize) -> String {
    if number == 1 { "1 project".to_owned() } else { format!("{} projects", count(number as u64)) }
}

/// Returns a table without borders. All columns except the first are aligned to the right.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
