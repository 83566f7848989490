//! What was done, for the person who started it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use promote::phase::Plan;
use promote::{Ledger, Problem, UnsignedImage};
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

/// What failed while it was copied, what could not even be planned, and what is neither signed nor recorded, then what can be
/// done about it; empty where all went well.
pub(crate) fn failures(ledger: &Ledger, plan: Option<&Plan>) -> String {
    let copied = ledger.failures().into_iter().map(|(promotion, problem)| (promotion.to_string(), problem));
    let planned = plan.into_iter().flat_map(|plan| {
        plan.failures().map(|failure| (plan.edges().reference(failure.edge), Problem::from(&**failure.error)))
    });
    let lacking = |images: Vec<UnsignedImage>| -> Vec<Failed> {
        let problem = |UnsignedImage { image, error, advice }| (image, Problem { error, advice });
        images.into_iter().map(problem).collect()
    };
    let lists = [
        ("failed", copied.chain(planned).collect()),
        ("not signed", lacking(ledger.unsigned())),
        ("not recorded", lacking(ledger.unrecorded())),
    ];
    let mut text: String = lists.iter().map(|(what, all)| listed(what, all)).collect();
    text.push_str(&advice(lists.iter().flat_map(|(_, all)| all)));
    text
}

/// What failed, and why.
type Failed = (String, Problem);

/// Each advice of some failures once, in the order of the failures.
fn advice<'a>(all: impl Iterator<Item = &'a Failed>) -> String {
    /// The most that are shown: where there are more, they differ in a host.
    const SHOWN: usize = 20;
    let mut seen = HashSet::new();
    let new = all.filter_map(|(_, problem)| problem.advice.as_deref()).filter(|advice| seen.insert(*advice));
    new.take(SHOWN).map(|advice| format!("help: {advice}\n")).collect()
}

/// What went wrong with what, by number and each by itself.
fn listed(what_went_wrong: &str, all: &[Failed]) -> String {
    /// The most that are shown; the report has them all.
    const SHOWN: usize = 50;
    if all.is_empty() {
        return String::new();
    }
    let mut text = format!("{what_went_wrong}: {}\n", count(all.len() as u64));
    for (what, Problem { error, .. }) in all.iter().take(SHOWN) {
        let _ = writeln!(text, "  {what}\n    {error}");
    }
    if all.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", count((all.len() - SHOWN) as u64));
    }
    text
}

/// A line a registry: requests, refusals for being too many, faults, bytes.
fn registries(tally: &Tally) -> String {
    let mut table =
        table(&["registry", "requests", "refused", "faults", "retried", "received", "sent", "time"]);
    let row = |name: &str, numbers: &HostTally| {
        vec![
            name.to_owned(),
            count(numbers.total()),
            count(numbers.refused),
            count(numbers.faults),
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
        all.faults += numbers.faults;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_advice_is_given_once_and_in_order() {
        let failed = |advice: Option<&str>| {
            ("image".to_owned(), Problem { error: "error".to_owned(), advice: advice.map(str::to_owned) })
        };
        let all = [Some("b"), None, Some("a"), Some("b")].map(failed);
        assert_eq!(advice(all.iter()), "help: b\nhelp: a\n");
        assert_eq!(advice([failed(None)].iter()), "");
        let many: Vec<Failed> = (0..100).map(|host| failed(Some(&host.to_string()))).collect();
        assert_eq!(advice(many.iter()).lines().count(), 20);
    }

    #[test]
    fn refusals_and_faults_are_told_apart_by_registry_and_in_all() {
        let tally = |refused, faults| {
            let requests = BTreeMap::from([("manifest-get", 100)]);
            HostTally { requests, refused, faults, ..HostTally::default() }
        };
        let all = Tally::from([("a.io".to_owned(), tally(7, 0)), ("b.io".to_owned(), tally(2, 5))]);
        let text = registries(&all);
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
        let expected = [
            ["registry", "requests", "refused", "faults"],
            ["a.io", "100", "7", "0"],
            ["b.io", "100", "2", "5"],
            ["all", "200", "9", "5"],
        ];
        assert_eq!(rows, expected);
    }
}
