//! The result of a run, for the user who started it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::iter;
use std::time::Duration;

use promote::phase::Plan;
use promote::{ReportBuilder, Totals, UnsignedImage};
use transport::{HostTally, Tally};
use trust::Problem;

use super::human::{bytes, count, counted, duration};
use super::plan::table;

/// Returns the summary of a run: what a run that was stopped has not done, what was done, what failed, and the requests to each
/// registry.
pub(crate) fn summary(
    report: &ReportBuilder,
    plan: Option<&Plan>,
    tally: &Tally,
    was_stopped: bool,
) -> String {
    let totals = report.totals();
    let late = report.late(plan);
    let mut text = String::new();
    for line in not_done(&totals, if was_stopped { late } else { 0 }) {
        text.push_str(&format!("{line}\n"));
    }
    if let Some((done, all, units)) = report.attaching() {
        text.push_str(&format!("not finished: {} of {} {units}\n", count(all - done.min(all)), count(all)));
    }
    let failures = failures(report, plan);
    // Writing to a string does not fail.
    let did_nothing = totals.promoted + totals.tagged == 0 && totals.blobs_sent + totals.blobs_there == 0;
    let says_more = !text.is_empty() || !failures.is_empty() || totals.signed + totals.recorded > 0;
    if !(did_nothing && says_more) {
        let _ = writeln!(
            text,
            "promoted {}, wrote {}: {} uploaded ({}), {} already there or mounted",
            counted(totals.promoted, "image"),
            counted(totals.tagged, "tag"),
            counted(totals.blobs_sent, "blob"),
            bytes(totals.bytes_sent),
            count(totals.blobs_there),
        );
    }
    if totals.signed + totals.recorded > 0 {
        let _ = writeln!(
            text,
            "signed {} (images and their parts), recorded {}",
            counted(totals.signed, "manifest"),
            counted(totals.recorded, "promotion"),
        );
    }
    if let Some(plan) = plan {
        let numbers = plan.summary().total;
        let late = if was_stopped { 0 } else { numbers.late };
        let skipped = [(numbers.done, "already done"), (numbers.lost, "lost"), (late, "no answer")];
        let skipped: Vec<String> = skipped
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{} {what}", count(*number as u64)))
            .collect();
        if !skipped.is_empty() {
            let _ = writeln!(text, "other edges: {}", skipped.join(", "));
        }
    }
    text.push_str(&failures);
    let _ = writeln!(text, "\n{}", registries(tally));
    let _ = writeln!(text, "took {}", duration(report.elapsed()));
    text
}

/// Returns what a run that was stopped has not promoted, a line for each kind. `late` is the number of edges whose registries did not
/// answer before the run stopped.
pub(crate) fn not_done(totals: &Totals, late: usize) -> Vec<String> {
    let images =
        |number: usize, what: &str| (number > 0).then(|| format!("{what}: {}", counted(number, "image")));
    let late = (late > 0)
        .then(|| format!("not planned: {}, because their registries did not answer", counted(late, "edge")));
    [images(totals.unfinished, "not finished"), images(totals.not_begun, "not begun"), late]
        .into_iter()
        .flatten()
        .collect()
}

/// Lists what failed in the plan or during copying, and what is neither signed nor recorded, followed by advice. Returns an
/// empty text if nothing failed.
pub(crate) fn failures(report: &ReportBuilder, plan: Option<&Plan>) -> String {
    let failed = report.all_failures(plan).into_iter();
    let failed = failed.map(|(promotion, problem)| (promotion.to_string(), problem)).collect();
    let lacking = |images: Vec<UnsignedImage>| -> Vec<Failed> {
        let problem = |unsigned| {
            let UnsignedImage { image, error, advice, cause } = unsigned;
            (image, Problem { error, advice, cause })
        };
        images.into_iter().map(problem).collect()
    };
    let lists = [
        ("failed", ["image", "images"], failed),
        ("not signed", ["manifest", "manifests"], lacking(report.unsigned())),
        ("not recorded", ["promotion", "promotions"], lacking(report.unrecorded())),
    ];
    let mut text: String = lists.iter().map(|(what, units, all)| listed(what, *units, all)).collect();
    text.push_str(&advice(lists.iter().flat_map(|(_, _, all)| all)));
    text
}

/// What failed, and why.
type Failed = (String, Problem);

/// Returns each advice of some failures once, in the order of the failures.
fn advice<'a>(all: impl Iterator<Item = &'a Failed>) -> String {
    /// The maximum number of advice texts. If there are more, they differ only in the host.
    const SHOWN: usize = 20;
    let mut seen = HashSet::new();
    let new = all.filter_map(|(_, problem)| problem.advice.as_deref()).filter(|advice| seen.insert(*advice));
    new.take(SHOWN).map(|advice| format!("help: {advice}\n")).collect()
}

/// Lists failures: the total, and each reason once, with the number of the affected items and the first of them.
fn listed(what_went_wrong: &str, [one, many]: [&str; 2], all: &[Failed]) -> String {
    /// The maximum number of reasons.
    const REASONS: usize = 50;
    /// The maximum number of items per reason. The report contains all of them.
    const NAMES: usize = 5;
    if all.is_empty() {
        return String::new();
    }
    let mut text = format!("{what_went_wrong}: {}\n", count(all.len() as u64));
    let reasons = by_reason(all);
    for (reason, names) in reasons.iter().take(REASONS) {
        let unit = if names.len() == 1 { one } else { many };
        let why = reason.text.replace('\n', "\n    ");
        let _ = writeln!(text, "  {} {unit} {what_went_wrong}: {why}", count(names.len() as u64));
        reason.first.iter().for_each(|first| text.push_str(&format!("    first: {first}\n")));
        names.iter().take(NAMES).for_each(|name| text.push_str(&format!("    {name}\n")));
        if names.len() > NAMES {
            let _ = writeln!(text, "    and {} more", count((names.len() - NAMES) as u64));
        }
    }
    if reasons.len() > REASONS {
        let hidden: usize = reasons.iter().skip(REASONS).map(|(_, names)| names.len()).sum();
        let _ = writeln!(text, "  and {} more", count(hidden as u64));
    }
    text
}

/// Why something failed.
struct Reason<'a> {
    /// The cause that all failures share, or the error if they are equal.
    text: &'a str,
    /// The first error, if the errors differ.
    first: Option<&'a str>,
}

/// Groups failures by reason, in order of first occurrence.
fn by_reason(all: &[Failed]) -> Vec<(Reason<'_>, Vec<&str>)> {
    let mut places = HashMap::new();
    let mut reasons: Vec<(Reason<'_>, Vec<&str>)> = Vec::new();
    for (name, problem) in all {
        let place = *places.entry(problem.group()).or_insert_with(|| {
            reasons.push((Reason { text: &problem.error, first: None }, Vec::new()));
            reasons.len() - 1
        });
        let (reason, names) = &mut reasons[place];
        if reason.first.is_none() && reason.text != problem.error {
            *reason = Reason { text: problem.group(), first: Some(reason.text) };
        }
        names.push(name);
    }
    reasons
}

/// Returns a table with a line per registry: requests, refusals for rate limits, faults and bytes. Faults, requests without an
/// answer and repeated requests have a column only if there were any, so that the table fits into 80 columns.
fn registries(tally: &Tally) -> String {
    let mut all = HostTally::default();
    for numbers in tally.values() {
        *all.requests.entry("all").or_default() += numbers.total();
        all.refused += numbers.refused;
        all.faults += numbers.faults;
        all.unanswered += numbers.unanswered;
        all.retried += numbers.retried;
        all.received += numbers.received;
        all.sent += numbers.sent;
        all.milliseconds = all.milliseconds.max(numbers.milliseconds);
    }
    let columns = |numbers: &HostTally| {
        [
            ("requests", count(numbers.total())),
            ("refused", count(numbers.refused)),
            ("faults", count(numbers.faults)),
            ("no answer", count(numbers.unanswered)),
            ("retried", count(numbers.retried)),
            ("received", bytes(numbers.received)),
            ("sent", bytes(numbers.sent)),
            ("time", duration(Duration::from_millis(numbers.milliseconds))),
        ]
        .into_iter()
        .filter(|(name, _)| match *name {
            "faults" => all.faults > 0,
            "no answer" => all.unanswered > 0,
            "retried" => all.retried > 0,
            _ => true,
        })
    };
    let header: Vec<&str> = iter::once("registry").chain(columns(&all).map(|(name, _)| name)).collect();
    let mut table = table(&header);
    let total = Some(("all", &all)).filter(|_| tally.len() > 1);
    for (name, numbers) in tally.iter().map(|(host, numbers)| (host.as_str(), numbers)).chain(total) {
        table.add_row(iter::once(name.to_owned()).chain(columns(numbers).map(|(_, cell)| cell)));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use promote::Observer;

    use super::*;

    #[test]
    fn each_advice_is_given_once_and_in_order() {
        let failed =
            |advice: Option<&str>| ("image".to_owned(), Problem::new("error", advice.map(str::to_owned)));
        let all = [Some("b"), None, Some("a"), Some("b")].map(failed);
        assert_eq!(advice(all.iter()), "help: b\nhelp: a\n");
        assert_eq!(advice([failed(None)].iter()), "");
        let many: Vec<Failed> = (0..100).map(|host| failed(Some(&host.to_string()))).collect();
        assert_eq!(advice(many.iter()).lines().count(), 20);
    }

    #[test]
    fn failures_that_are_alike_are_told_once_with_their_number() {
        let failed = |name: &str, error: &str| (name.to_owned(), Problem::without_advice(error));
        let mut all: Vec<Failed> =
            (0..9).map(|number| failed(&format!("image-{number}"), "no token")).collect();
        all.insert(3, failed("other", "no log"));
        let text = listed("not signed", ["manifest", "manifests"], &all);
        let expected = "not signed: 10\n  9 manifests not signed: no token\n    image-0\n    image-1\n    image-2\n    \
                        image-3\n    image-4\n    and 4 more\n  1 manifest not signed: no log\n    other\n";
        assert_eq!(text, expected);
        assert_eq!(listed("failed", ["image", "images"], &[]), "");

        let caused = |name: &str| {
            let cause = Some("a.io: refused".to_owned());
            (
                name.to_owned(),
                Problem { cause, ..Problem::without_advice(format!("reading {name}: refused")) },
            )
        };
        let text = listed("failed", ["image", "images"], &["x", "y"].map(caused));
        let expected =
            "failed: 2\n  2 images failed: a.io: refused\n    first: reading x: refused\n    x\n    y\n";
        assert_eq!(text, expected);
        let text = listed("failed", ["image", "images"], &[caused("x")]);
        assert_eq!(text, "failed: 1\n  1 image failed: reading x: refused\n    x\n");
    }

    #[test]
    fn what_a_stopped_run_has_not_done_is_told_by_kind() {
        let totals = Totals { unfinished: 9, not_begun: 1, ..Totals::default() };
        assert_eq!(not_done(&totals, 0), ["not finished: 9 images", "not begun: 1 image"]);
        let late = not_done(&Totals::default(), 3);
        assert_eq!(late, ["not planned: 3 edges, because their registries did not answer"]);
    }

    #[test]
    fn a_run_that_has_done_nothing_and_failed_has_no_line_of_zeros() {
        let report = ReportBuilder::default();
        let text = |report: &ReportBuilder| summary(report, None, &Tally::new(), false);
        assert!(text(&report).starts_with("promoted 0 images"), "there is nothing else to say");
        let image = format!("r.example/a@sha256:{}", "a".repeat(64)).parse().unwrap();
        report.observe(&promote::Event::Unsigned(image, Problem::without_advice("no token")));
        assert!(text(&report).starts_with("not signed: 1\n"), "{}", text(&report));
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
        let header = |text: String| text.lines().next().unwrap_or_default().to_owned();
        assert!(!header(text).contains("retried"));
        assert!(!header(registries(&all)).contains("no answer"));
        let down = HostTally { unanswered: 13, ..tally(0, 0) };
        let text = registries(&Tally::from([("a.io".to_owned(), down)]));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("refused") && lines[0].contains("no answer"), "{text}");
        let cells: Vec<&str> = lines[1].split_whitespace().take(4).collect();
        assert_eq!(cells, ["a.io", "100", "0", "13"]);
        let quiet = Tally::from([("a.io".to_owned(), tally(0, 0))]);
        assert_eq!(header(registries(&quiet)).split_whitespace().nth(3), Some("received"));
    }
}
