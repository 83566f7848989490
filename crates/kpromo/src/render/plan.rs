//! The plan as a table, a line a project.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use promote::phase::{Count, Summary};

use super::human::{bytes, count};

/// The projects in which something is to be done or seen, and all together.
pub(crate) fn plan_table(summary: &Summary) -> String {
    let mut header =
        vec!["project", "to copy", "to tag", "to sign", "to record", "done", "lost", "conflicts", "failed"];
    // Rare, and not worth a column where there is none.
    let late = summary.total.late > 0;
    header.extend(late.then_some("late"));
    header.push("to move");
    let mut table = table(&header);
    let quiet = |count: &Count| count.done == count.edges && count.sign + count.record == 0;
    for (project, numbers) in summary.projects.iter().filter(|(_, numbers)| !quiet(numbers)) {
        table.add_row(row(project, numbers, late));
    }
    let finished = summary.projects.values().filter(|numbers| quiet(numbers)).count();
    table.add_row(row("all", &summary.total, late));
    let mut text = format!("{table}\n");
    if finished > 0 {
        text.push_str(&format!("({} with nothing to do not shown)\n", projects(finished)));
    }
    text
}

fn row(name: &str, numbers: &Count, late: bool) -> Vec<String> {
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
    let edges = edges.into_iter().chain(late.then_some(numbers.late));
    let mut row = vec![name.to_owned()];
    row.extend(edges.map(|number| if number == 0 { "-".to_owned() } else { count(number as u64) }));
    row.push(if numbers.bytes == 0 { "-".to_owned() } else { format!("<= {}", bytes(numbers.bytes)) });
    row
}

fn projects(number: usize) -> String {
    if number == 1 { "1 project".to_owned() } else { format!("{} projects", count(number as u64)) }
}

/// A table without lines, all columns but the first to the right.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
