//! The plan: its edges, and a table with a line per project.

use std::collections::BTreeMap;
use std::rc::Rc;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use console::measure_text_width;
use manifest::Edge;
use oci::Digest;
use promote::Verdict;
use promote::phase::{Count, Missing, Plan, Summary};

use super::human::{bytes, count, counted};
use crate::color::Paint;

/// The maximum number of lines of a list on a terminal without `--verbose`.
const SHOWN: usize = 50;
/// The number of hexadecimal digits of a shortened digest.
const SHORT: usize = 12;

/// The format of the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanShape {
    /// Whether digests are shown completely.
    pub(crate) verbose: bool,
    /// Whether lists are truncated after fifty lines, for a terminal.
    pub(crate) is_capped: bool,
    /// The width of the terminal, in columns.
    pub(crate) width: Option<usize>,
    pub(crate) color: bool,
}

/// A line of a list: its group, and its text.
type Line = (Rc<str>, String);

/// Lists the images that need a decision: lost images, and images that do not get their signature or record.
pub(crate) fn plan_open(plan: &Plan, shape: PlanShape) -> impl Iterator<Item = String> {
    let mark = Paint::Attention.on(shape.color, "?");
    let mut lines: Vec<Line> = Vec::new();
    let title =
        "lost: neither staging nor production has these images; correct the manifest or push them again";
    let title: Rc<str> = title.into();
    for edge in plan.lost() {
        lines.push((Rc::clone(&title), line(&mark, &ends(plan, edge, shape), shape.width)));
    }
    let title = "refused: these promoted images get neither signature nor record, because they did not pass";
    let title: Rc<str> = title.into();
    for image in plan.missing() {
        let Some(why) = image.refused else { continue };
        let (name, why) = (shown(image.digest, shape.verbose), why.replace('\n', "\n    "));
        lines.push((Rc::clone(&title), format!("{mark} {}@{name}: {why}\n", image.repository)));
    }
    let all = lines.len();
    listed(lines.into_iter(), all, shape)
}

/// Lists the edges that a confirmed run would copy or tag, by project, one per line: `+ prod/app:1.1 <- staging/app@sha256:82d5…`.
pub(crate) fn plan_edges(plan: &Plan, shape: PlanShape) -> impl Iterator<Item = String> {
    let mut projects: BTreeMap<&str, Vec<(&Edge, &Verdict)>> = BTreeMap::new();
    for (edge, verdict) in plan.decisions() {
        if matches!(verdict, Verdict::Copy | Verdict::Tag) && plan.failure(edge, verdict).is_none() {
            projects.entry(plan.edges().project(edge)).or_default().push((edge, verdict));
        }
    }
    let all = projects.values().map(Vec::len).sum();
    let mark: Rc<str> = Paint::Added.on(shape.color, "+").into();
    // There may be a million edges, so each line is formatted when it is printed.
    let lines = projects.into_iter().flat_map(move |(project, edges)| {
        let tags = edges.iter().filter(|(_, verdict)| **verdict == Verdict::Tag).count();
        let parts = [(edges.len() - tags, "to copy"), (tags, "to tag")];
        let parts = parts.iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> = parts.map(|(number, what)| format!("{} {what}", count(*number))).collect();
        let title: Rc<str> = format!("{project}: {}", parts.join(", ")).into();
        let mark = Rc::clone(&mark);
        edges
            .into_iter()
            .map(move |(edge, _)| (Rc::clone(&title), line(&mark, &ends(plan, edge, shape), shape.width)))
    });
    listed(lines, all, shape)
}

/// Lists what a confirmed run would attach to images, one image per line: `+ prod/app@sha256:82d5…: signature, promotion
/// record`. Images that did not pass the gate are omitted.
pub(crate) fn plan_missing(plan: &Plan, shape: PlanShape) -> impl Iterator<Item = String> {
    let mark = Paint::Added.on(shape.color, "+");
    let missing: Vec<Missing<'_>> =
        plan.missing().into_iter().filter(|image| image.refused.is_none()).collect();
    let (all, title) = (missing.len(), Rc::<str>::from("to sign and record"));
    let lines = missing.into_iter().map(move |image| {
        let lacks: Vec<String> = image.lacks.iter().map(ToString::to_string).collect();
        let name = format!("{}@{}", image.repository, shown(image.digest, shape.verbose));
        (Rc::clone(&title), format!("{mark} {name}: {}\n", lacks.join(", ")))
    });
    listed(lines, all, shape)
}

/// Returns the lines with a title before each group, and the number of omitted lines.
fn listed(lines: impl Iterator<Item = Line>, all: usize, shape: PlanShape) -> impl Iterator<Item = String> {
    let most = if shape.is_capped { SHOWN } else { all };
    let hidden = all.saturating_sub(most);
    let more = (hidden > 0).then(|| format!("  and {} more (--verbose lists them)\n", count(hidden)));
    let mut current: Option<Rc<str>> = None;
    let lines = lines.take(most).map(move |(title, line)| {
        if current.as_ref() == Some(&title) {
            return line;
        }
        let text = format!("{}\n{line}", Paint::Title.on(shape.color, &title));
        current = Some(title);
        text
    });
    lines.chain(more)
}

/// Returns the line of an edge, or two lines if it is longer than the terminal is wide.
fn line(mark: &str, (destination, source): &(String, String), width: Option<usize>) -> String {
    let line = format!("{mark} {destination} <- {source}");
    match width.is_some_and(|width| measure_text_width(&line) > width) {
        true => format!("{mark} {destination}\n    <- {source}\n"),
        false => line + "\n",
    }
}

/// Returns the destination and the source of an edge.
fn ends(plan: &Plan, edge: &Edge, shape: PlanShape) -> (String, String) {
    let edges = plan.edges();
    let digest = shown(edges.digest(edge), shape.verbose);
    let destination = match edges.tag(edge) {
        Some(tag) => format!("{}:{tag}", edges.destination(edge)),
        None => format!("{}@{digest}", edges.destination(edge)),
    };
    (destination, format!("{}@{digest}", edges.source(edge)))
}

fn shown(digest: &Digest, whole: bool) -> String {
    let text = digest.to_string();
    let end = text.find(':').map_or(0, |colon| colon + 1 + SHORT);
    match text.get(..end) {
        Some(short) if !whole => format!("{short}…"),
        _ => text,
    }
}

/// Returns a table of the projects with work or failures, and the total.
pub(crate) fn plan_table(summary: &Summary) -> String {
    let quiet = |count: &Count| count.done == count.edges && count.sign + count.record + count.refused == 0;
    let all = columns(&summary.total);
    // A column of zeros says nothing, except about what the run is for.
    let is_shown = |(name, number): &(&'static str, usize)| *number > 0 || ALWAYS.contains(name);
    let header: Vec<&str> = ["project"]
        .into_iter()
        .chain(all.iter().filter(|column| is_shown(column)).map(|(name, _)| *name))
        .collect();
    let header: Vec<&str> = header.into_iter().chain(["to move"]).collect();
    let mut table = table(&header);
    let row = |name: &str, numbers: &Count| {
        let numbers_shown = columns(numbers).into_iter().zip(&all).filter(|(_, total)| is_shown(total));
        let cell = |number: usize| if number == 0 { "-".to_owned() } else { count(number) };
        let mut row = vec![name.to_owned()];
        row.extend(numbers_shown.map(|((_, number), _)| cell(number)));
        row.push(if numbers.bytes == 0 { "-".to_owned() } else { format!("<= {}", bytes(numbers.bytes)) });
        row
    };
    for (project, numbers) in summary.projects.iter().filter(|(_, numbers)| !quiet(numbers)) {
        table.add_row(row(project, numbers));
    }
    let finished = summary.projects.values().filter(|numbers| quiet(numbers)).count();
    table.add_row(row("all", &summary.total));
    let mut text = format!("{table}\n");
    if finished > 0 {
        text.push_str(&format!("({} with nothing to do not shown)\n", counted(finished, "project")));
    }
    text
}

/// The columns that are shown even if they are empty.
const ALWAYS: [&str; 5] = ["to copy", "to tag", "to sign", "to record", "done"];

/// Returns the numbers of a row by column. Columns that need a decision come last.
fn columns(numbers: &Count) -> [(&'static str, usize); 10] {
    [
        ("to copy", numbers.copy),
        ("to tag", numbers.tag),
        ("to sign", numbers.sign),
        ("to record", numbers.record),
        ("done", numbers.done),
        ("lost", numbers.lost),
        ("conflicts", numbers.conflicts),
        ("failed", numbers.failed),
        ("late", numbers.late),
        ("refused", numbers.refused),
    ]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(number: usize) -> impl Iterator<Item = Line> {
        let group = |number| if number < 40 { "one: 40 to copy" } else { "two: 20 to copy" };
        (0..number).map(move |number| (group(number).into(), format!("+ {number}\n")))
    }

    #[test]
    fn a_list_has_a_title_for_each_group_and_ends_after_fifty_lines_on_a_terminal() {
        let shape = PlanShape { verbose: false, is_capped: true, width: None, color: false };
        let text: String = listed(lines(60), 60, shape).collect();
        assert_eq!(text.lines().filter(|line| line.starts_with("+ ")).count(), 50, "{text}");
        assert!(text.starts_with("one: 40 to copy\n+ 0\n+ 1\n"), "{text}");
        assert!(text.contains("+ 39\ntwo: 20 to copy\n+ 40\n"), "{text}");
        assert!(text.ends_with("  and 10 more (--verbose lists them)\n"), "{text}");
        let whole: String = listed(lines(60), 60, PlanShape { is_capped: false, ..shape }).collect();
        assert_eq!(whole.lines().count(), 62, "{whole}");
        assert_eq!(listed(lines(0), 0, shape).count(), 0);
    }

    #[test]
    fn an_edge_that_is_too_long_for_the_terminal_has_two_lines() {
        let edge = ("b.io/app:v1".to_owned(), "a.io/app@sha256:00…".to_owned());
        let whole = "+ b.io/app:v1 <- a.io/app@sha256:00…\n";
        assert_eq!(line("+", &edge, None), whole);
        assert_eq!(line("+", &edge, Some(36)), whole);
        assert_eq!(line("\u{1b}[32m+\u{1b}[0m", &edge, Some(36)).lines().count(), 1, "colors take no column");
        assert_eq!(line("+", &edge, Some(35)), "+ b.io/app:v1\n    <- a.io/app@sha256:00…\n");
    }

    #[test]
    fn the_table_has_a_column_for_a_rare_case_only_if_it_has_happened() {
        let count = Count { edges: 3, copy: 2, done: 1, bytes: 2048, ..Count::default() };
        let plain = Summary { projects: [("a".to_owned(), count)].into(), total: count, not_looked_at: 0 };
        let text = plan_table(&plain);
        assert!(!text.contains("lost") && !text.contains("conflicts") && !text.contains("failed"), "{text}");
        assert!(text.contains("to tag") && text.contains("<= 2.0 KiB"), "{text}");
        let lost = Count { lost: 1, edges: 4, ..count };
        let done = Count { edges: 1, done: 1, ..Count::default() };
        let projects = [("a".to_owned(), lost), ("b".to_owned(), done)].into();
        let text = plan_table(&Summary { projects, total: lost, not_looked_at: 0 });
        assert!(text.contains("lost") && text.contains("(1 project with nothing to do not shown)"), "{text}");
    }
}
