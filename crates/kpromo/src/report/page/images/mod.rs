//! The page of a promotion of images: of `kpromo cip`, and of merged reports.

mod failures;
mod tables;

use failures::failures;
use promote::{LastRuns, Report, ShardRun};
use tables::{destinations, examined, phase_rows, projects, promoted, scanned};

use super::markup::{Cell, Html, Table};
use super::overview::{Overview, Tile, outcome, seconds};
use super::page;
use super::sections::{HostWords, hosts, phases, warnings};

/// How the page names hosts.
const REGISTRIES: HostWords = HostWords {
    heading: "Registries",
    caption: "Requests and bytes by registry",
    one: "registry",
    many: "registries",
};

/// Returns the page of a promotion of images.
pub(crate) fn images_page(report: &Report) -> String {
    let mut html = Html::default();
    failures(&mut html, report);
    runs(&mut html, report);
    warnings(&mut html, &report.warnings);
    projects(&mut html, report);
    destinations(&mut html, report);
    phases(&mut html, phase_rows(report));
    hosts(&mut html, &REGISTRIES, &report.registries, report.timeline.as_ref());
    promoted(&mut html, report);
    examined(&mut html, report);
    scanned(&mut html, report);
    page(&overview(report), &html)
}

/// Returns the top of the page.
fn overview(report: &Report) -> Overview<'_> {
    let totals = report.totals;
    let refused = report.examined_totals.blocked.saturating_add(report.scan_totals.refused);
    let lacking = totals.unsigned.saturating_add(totals.unrecorded);
    let lost = report.plan.as_ref().map_or(0, |plan| plan.total.lost);
    let mut tiles = vec![
        Tile::number("promoted images", totals.promoted),
        Tile::number("tags written", totals.tagged),
        Tile::bytes("uploaded", totals.bytes_sent),
        Tile::number("signed", totals.signed),
        Tile::number("recorded", totals.recorded),
        Tile::bad("failed", totals.failed),
        Tile::bad("refused by policy", refused),
        Tile::warning("not signed or recorded", lacking),
        Tile::warning("lost edges", lost),
    ];
    let missing = totals.unfinished.saturating_add(totals.not_begun);
    if missing > 0 {
        tiles.push(Tile::warning("not finished or begun", missing));
    }
    Overview {
        outcome: &report.outcome,
        error: report.error.as_deref(),
        exit_code: report.exit_code,
        confirmed: report.confirmed,
        version: &report.version,
        started: report.started,
        elapsed_seconds: report.elapsed_seconds,
        tiles,
        search: "Search images, registries and errors",
    }
}

/// Adds the runs of a merged report, the worst first.
fn runs(html: &mut Html, report: &Report) {
    if report.shards.len() < 2 {
        return;
    }
    html.markup("<section data-group><h2>Runs</h2>\n");
    let table = Table {
        caption: "The runs that this report consists of",
        columns: &["report", "shard", "outcome", "exit code", "started", "took"],
    };
    let last_runs = LastRuns::of(&report.shards);
    let mut shards: Vec<&ShardRun> = report.shards.iter().collect();
    shards.sort_by_key(|shard| (shard.exit_code == 0, shard.exit_code != report.exit_code));
    table.write(
        html,
        shards.into_iter().map(|shard| {
            let (class, words) = outcome(&shard.outcome);
            let again = if last_runs.have_replaced(shard) { "; run again later" } else { "" };
            vec![
                Cell::Name(shard.name.clone()),
                Cell::Text(shard.shard.clone().unwrap_or_default()),
                Cell::State(class, format!("{words}{again}")),
                Cell::Bad(shard.exit_code.into()),
                Cell::Amount(shard.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
                Cell::Amount(seconds(shard.elapsed_seconds)),
            ]
        }),
    );
    html.markup("</section>\n");
}
