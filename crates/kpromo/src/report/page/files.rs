//! The page of a promotion of files: of `kpromo run files`.

use files::{CopiedFile, FailedFile, Report};

use super::failures::{Failed, Failures};
use super::markup::{Cell, Html, Table};
use super::overview::{Overview, Tile};
use super::page;
use super::sections::{HostWords, PhaseRow, hosts, list, noun, phases, state, warnings};
use crate::render::bytes;
use crate::report::Traffic;

/// The phases in their order.
const PHASES: [&str; 3] = ["read", "plan", "copy"];

/// How the page names hosts.
const HOSTS: HostWords =
    HostWords { heading: "Hosts", caption: "Requests and bytes by host", one: "host", many: "hosts" };

/// Returns the page of a promotion of files, with the requests of the run.
pub(crate) fn files_page(report: &Report, traffic: &Traffic) -> String {
    let mut html = Html::default();
    failures(&mut html, report);
    warnings(&mut html, &report.warnings);
    phases(&mut html, phase_rows(report));
    hosts(&mut html, &HOSTS, &traffic.registries, traffic.timeline.as_ref());
    copied(&mut html, &report.copied);
    page(&overview(report), &html)
}

/// Returns the top of the page. A file counts once for each destination.
fn overview(report: &Report) -> Overview<'_> {
    let (plan, totals) = (report.plan.unwrap_or_default(), report.totals);
    Overview {
        outcome: &report.outcome,
        error: report.error.as_deref(),
        exit_code: report.exit_code,
        confirmed: report.confirmed,
        version: report.version,
        started: report.started,
        elapsed_seconds: report.elapsed_seconds,
        tiles: vec![
            Tile::number("planned copies", plan.copy + plan.replace),
            Tile::number("copied files", totals.copied),
            Tile::bytes("sent", totals.bytes_sent),
            Tile::number("already there", plan.done + totals.there),
            Tile::bad("failed", totals.failed),
            Tile::bad("conflicts", plan.conflicts),
            Tile::warning("lost files", plan.lost),
            Tile::warning("not completed", totals.not_completed),
        ],
        search: "Search files, hosts and errors",
    }
}

/// Adds all failures, or a note that there are none.
fn failures(html: &mut Html, report: &Report) {
    let mut failures = Failures::new("file");
    failures.of_run("The run stopped early", report.error.as_slice(), report.advice);
    let failed = report.failed.iter().map(|failed| Failed {
        item: copy(failed),
        error: failed.error.clone(),
        advice: failed.advice.map(str::to_owned),
        cause: Some(failed.cause.clone()),
    });
    failures.of_items("Not promoted", &failed.collect::<Vec<_>>());
    let lost = report.lost.iter().map(|lost| {
        let mut item = Html::default();
        item.element("<span class=\"words\">", lost, "</span>");
        let error = "Neither the source nor the destination has the file.".to_owned();
        Failed { item, error, advice: None, cause: None }
    });
    failures.of_items("Lost", &lost.collect::<Vec<_>>());
    failures.write(html);
}

/// Returns the copy of a file to a destination, as the page shows it.
fn copy(FailedFile { source, destination, .. }: &FailedFile) -> Html {
    let mut html = Html::default();
    html.element("<code>", destination, "</code>");
    html.element(" <span class=\"from\">from <code>", source, "</code></span>");
    html
}

/// Returns the phases that ran, in their order.
fn phase_rows(report: &Report) -> Vec<PhaseRow<'_>> {
    let ran = PHASES.into_iter().filter_map(|name| Some((name, *report.phase_seconds.get(name)?)));
    ran.map(|(name, seconds)| PhaseRow { name, seconds: Some(seconds), result: result(report, name) })
        .collect()
}

/// Returns the result of a phase, as a text for a person.
fn result(report: &Report, phase: &str) -> String {
    let Some(plan) = report.plan else { return String::new() };
    let totals = report.totals;
    match phase {
        "read" => {
            let all = plan.done + plan.copy + plan.replace + plan.lost + plan.conflicts + plan.failed;
            list(&[noun(all, "file", " looked up")])
        }
        "plan" => list(&[
            state(plan.copy, "to copy"),
            state(plan.replace, "to replace"),
            state(plan.done, "done before"),
            state(plan.lost, "lost"),
            noun(plan.conflicts, "conflict", ""),
            state(plan.failed, "failed"),
        ]),
        _ => list(&[
            noun(totals.copied, "file", " copied"),
            state(totals.there, "already there"),
            state(totals.failed.saturating_sub(plan.failed), "failed"),
        ]),
    }
}

/// Adds the copied files.
fn copied(html: &mut Html, files: &[CopiedFile]) {
    if files.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>Copied files</h2>\n");
    let table = Table {
        caption: "Files that destinations have received, or had when they were about to be written",
        columns: &["destination", "source", "result", "size", "sent"],
    };
    table.write(
        html,
        files.iter().map(|file| {
            let result = match file {
                CopiedFile { sent: false, .. } => "already there",
                CopiedFile { replaced: true, .. } => "replaced",
                CopiedFile { .. } => "copied",
            };
            vec![
                Cell::Name(file.destination.clone()),
                Cell::Name(file.source.clone()),
                Cell::Text(result.to_owned()),
                Cell::Amount(bytes(file.bytes)),
                Cell::Amount(bytes(if file.sent { file.bytes } else { 0 })),
            ]
        }),
    );
    html.markup("</section>\n");
}
