//! What was done, for the person who started it.

use std::fmt::Write as _;
use std::time::Duration;

use promote::phase::Plan;
use promote::{Ledger, UnsignedImage};
use transport::{HostTally, Tally};

use super::human::{bytes, count, duration};
use super::plan::table;

/// The summary of a run: what was done, what failed, what each registry was asked.
pub(crate) fn summary(ledger: &Ledger, plan: Option<&Plan>, tally: &Tally) -> String {
    let totals = ledger.totals();
    let mut text = String::new();
    let images = if totals.promoted == 1 { "image" } else { "images" };
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "promoted {} {images} to their repositories, wrote {} tags: {} blobs uploaded ({}), {} already there or mounted",
        count(totals.promoted as u64),
        count(totals.tagged as u64),
        count(totals.blobs_sent),
        bytes(totals.bytes_sent),
        count(totals.blobs_there),
    );
    if totals.signed + totals.recorded > 0 {
        let _ = writeln!(
            text,
            "signed {} images and parts of images, recorded {} promotions",
            count(totals.signed as u64),
            count(totals.recorded as u64),
        );
    }
    if let Some(plan) = plan {
        let numbers = plan.summary().total;
        let skipped = [
            (numbers.done, "already done"),
            (numbers.lost, "lost"),
            (numbers.failed, "not readable"),
            (numbers.late, "not asked"),
        ];
        let skipped: Vec<String> = skipped
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{} {what}", count(*number as u64)))
            .collect();
        if !skipped.is_empty() {
            let _ = writeln!(text, "left alone: {}", skipped.join(", "));
        }
    }
    text.push_str(&failures(ledger, plan));
    let _ = writeln!(text, "\n{}", registries(tally));
    let _ = writeln!(text, "took {}", duration(ledger.elapsed()));
    text
}

/// What failed while it was copied, what could not even be planned, and what is neither signed nor recorded; empty where all
/// went well.
pub(crate) fn failures(ledger: &Ledger, plan: Option<&Plan>) -> String {
    let copied = ledger.failures().into_iter().map(|(promotion, error)| (promotion.to_string(), error));
    let planned = plan.into_iter().flat_map(|plan| {
        plan.failures().map(|failure| (plan.edges().reference(failure.edge), failure.error.to_string()))
    });
    let lacking =
        |images: Vec<UnsignedImage>| images.into_iter().map(|lacking| (lacking.image, lacking.error));
    let mut text = listed("failed", &copied.chain(planned).collect::<Vec<_>>());
    text.push_str(&listed("not signed", &lacking(ledger.unsigned()).collect::<Vec<_>>()));
    text.push_str(&listed("not recorded", &lacking(ledger.unrecorded()).collect::<Vec<_>>()));
    text
}

/// What went wrong with what, by number and each by itself.
fn listed(what_went_wrong: &str, all: &[(String, String)]) -> String {
    /// The most that are shown; the report has them all.
    const SHOWN: usize = 50;
    if all.is_empty() {
        return String::new();
    }
    let mut text = format!("{what_went_wrong}: {}\n", count(all.len() as u64));
    for (what, error) in all.iter().take(SHOWN) {
        let _ = writeln!(text, "  {what}\n    {error}");
    }
    if all.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", count((all.len() - SHOWN) as u64));
    }
    text
}

/// A line a registry: requests, refusals, bytes.
fn registries(tally: &Tally) -> String {
    let mut table = table(&["registry", "requests", "429s", "retried", "received", "sent", "time"]);
    let row = |name: &str, numbers: &HostTally| {
        vec![
            name.to_owned(),
            count(numbers.total()),
            count(numbers.refused),
            count(numbers.retried),
            bytes(numbers.received),
            bytes(numbers.sent),
            duration(Duration::from_millis(numbers.milliseconds)),
        ]
    };
    let mut all = HostTally::default();
    for (host, numbers) in tally {
        table.add_row(row(host, numbers));
        *all.requests.entry("all").or_default() += numbers.total();
        all.refused += numbers.refused;
        all.retried += numbers.retried;
        all.received += numbers.received;
        all.sent += numbers.sent;
        all.milliseconds = all.milliseconds.max(numbers.milliseconds);
    }
    if tally.len() > 1 {
        table.add_row(row("all", &all));
    }
    table.to_string()
}
