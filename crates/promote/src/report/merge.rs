//! Merges several reports into one: of the shards of a promotion, or of a shard and its repetition.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use jiff::Timestamp;

use super::runs::{LastRuns, Unmergeable, check, gaps, named, runs};
use super::{
    ExaminedTotals, FailedImage, HostTimeline, HostTraffic, PlanCounts, PromotedImage, Report,
    ReportTimeline, SCHEMA, ScanTotals, ShardRun, Totals,
};

/// The maximum number of buckets of a merged timeline.
const BUCKETS_MAX: i128 = 120;

/// The exit codes from the best to the worst. A run that needs manual action is worse than one that can be repeated, which is
/// worse than one that the next run completes.
pub(super) const EXIT_CODES: [u8; 10] = [0, 31, 30, 32, 130, 20, 10, 11, 12, 1];

/// The outcomes with exit code 0, from the least to the most significant.
pub(super) const SUCCESSES: [&str; 4] = ["nothing-to-do", "scanned", "dry-run", "done"];

/// The maximum number of shards that an error names.
const SHARDS_NAMED: usize = 3;

/// The outcome and the exit code of a merged report that is not known to be that of a whole promotion.
const INCOMPLETE: (&str, u8) = ("incomplete", 30);

/// Changes these counts by those of another value of the same type, with a method such as `saturating_add`.
macro_rules! each_count {
    ($method:ident: $sum:expr, $other:expr, [$($field:ident),+ $(,)?]) => {
        $($sum.$field = $sum.$field.$method($other.$field);)+
    };
}

/// Merges reports of one promotion, each with a name for the list of runs. The result does not depend on their order.
///
/// Numbers are added and lists are concatenated without duplicates. Outcome and exit code are those of the worst run. The merged
/// run lasts from the first start to the last end, and each phase as long as in the run in which it took the longest. If a shard
/// was run again, its outcome, plan and failures are those of its last run, and the work of all its runs is added. If shards are
/// missing or had different manifests, the first warning says so, and the outcome is not a success.
///
/// # Errors
/// If there is no report, or if the reports are not those of one promotion.
pub fn merge(reports: Vec<(String, Report)>) -> Result<Report, Unmergeable> {
    let mut reports: Vec<(Vec<ShardRun>, String, Report)> =
        reports.into_iter().map(|(name, report)| (runs(&name, &report), name, report)).collect();
    reports.sort_by_cached_key(|(runs, name, _)| (runs.iter().map(ShardRun::place).min(), name.clone()));
    let named: Vec<(&str, Vec<ShardRun>)> =
        reports.iter().map(|(runs, name, _)| (name.as_str(), runs.clone())).collect();
    check(&named)?;
    let mut shards: Vec<ShardRun> = reports.iter().flat_map(|(runs, ..)| runs).cloned().collect();
    shards.sort_by(|one, other| (one.place(), &one.name).cmp(&(other.place(), &other.name)));
    let last_runs = LastRuns::of(&shards);
    let counting = || shards.iter().filter(|run| !last_runs.have_replaced(run));
    let worst = counting().rev().max_by_key(|run| severity(run)).ok_or(Unmergeable::Nothing)?;
    let (mut outcome, mut exit_code) = (worst.outcome.clone(), worst.exit_code);
    let gaps = gaps(&shards);
    if !gaps.is_empty() && place(exit_code) < place(INCOMPLETE.1) {
        (outcome, exit_code) = (INCOMPLETE.0.to_owned(), INCOMPLETE.1);
    }
    let all = || reports.iter().map(|(.., report)| report);
    let (started, elapsed_seconds) = span(all()).ok_or(Unmergeable::Nothing)?;
    let timeline = timeline(all().filter_map(|report| report.timeline.as_ref()));
    let versions: Vec<String> =
        all().flat_map(|report| report.version.split(", ")).map(str::to_owned).collect();
    let version = joined(versions.iter(), ", ").unwrap_or_default();
    let differ =
        version.contains(", ").then(|| format!("the runs are of different versions of kpromo: {version}"));
    // If a shard was run again, only the state of its last run counts. A merged report counts as a whole.
    let counts = |runs: &[ShardRun]| match runs {
        [run] => !last_runs.have_replaced(run),
        _ => true,
    };
    let last = || reports.iter().filter(|(runs, ..)| counts(runs)).map(|(.., report)| report);
    let mut merged = Report {
        schema: SCHEMA,
        version,
        outcome,
        exit_code,
        confirmed: shards.iter().any(|run| run.confirmed),
        shard: None,
        promotion: None,
        started,
        elapsed_seconds,
        phase_seconds: BTreeMap::new(),
        skipped_phases: Vec::new(),
        plan: None,
        totals: Totals::default(),
        examined_totals: ExaminedTotals::default(),
        examined: Vec::new(),
        scan_totals: ScanTotals::default(),
        scanned: Vec::new(),
        promoted: Vec::new(),
        failed: Vec::new(),
        unsigned: Vec::new(),
        unrecorded: Vec::new(),
        lost: Vec::new(),
        rejected: Vec::new(),
        warnings: gaps.into_iter().chain(differ).collect(),
        error: joined(errors(last()).iter(), "\n"),
        advice: joined(last().filter_map(|report| report.advice.as_ref()), "\n"),
        registries: BTreeMap::new(),
        timeline,
        shards: Vec::new(),
    };
    for (runs, _, mut report) in reports {
        // The gaps of a merged report may be closed now.
        let gaps = if report.shards.is_empty() { Vec::new() } else { self::gaps(&runs) };
        report.warnings.retain(|warning| !gaps.contains(warning));
        let counts = counts(&runs);
        if counts {
            add_state(&mut merged, &mut report);
        }
        add_work(&mut merged, report);
    }
    once(&mut merged);
    merged.shards = shards;
    Ok(merged)
}

/// Returns the rank of an exit code, from the best to the worst.
fn place(code: u8) -> usize {
    EXIT_CODES.iter().position(|known| *known == code).unwrap_or(EXIT_CODES.len())
}

/// Returns the severity of the outcome of a run. A greater value is worse.
fn severity(run: &ShardRun) -> (usize, usize) {
    let outcome = SUCCESSES.iter().position(|known| *known == run.outcome).unwrap_or(SUCCESSES.len());
    (place(run.exit_code), outcome)
}

/// Returns the first start, and the seconds from the first start to the last end.
fn span<'a>(reports: impl Iterator<Item = &'a Report> + Clone) -> Option<(Timestamp, f64)> {
    let started = reports.clone().map(|report| report.started).min()?;
    let ends =
        reports.map(|report| report.started.duration_since(started).as_secs_f64() + report.elapsed_seconds);
    Some((started, ends.fold(0.0, f64::max)))
}

/// Returns the errors of reports, an error of several shards once, after the names of the shards that have it: other shards may
/// have promoted their images. The errors in a merged report already have these names.
fn errors<'a>(reports: impl Iterator<Item = &'a Report>) -> Vec<String> {
    let mut errors: Vec<(&str, Vec<&str>)> = Vec::new();
    for report in reports {
        let (Some(error), shard) = (&report.error, report.shard.as_deref()) else { continue };
        match errors.iter_mut().find(|(known, shards)| known == error && !shards.is_empty()) {
            Some((_, shards)) if shard.is_some() => shards.extend(shard),
            _ => errors.push((error, shard.into_iter().collect())),
        }
    }
    let line = |(error, shards): (&str, Vec<&str>)| match shards.as_slice() {
        [] => error.to_owned(),
        [shard] => format!("shard {shard}: {error}"),
        several => {
            let names = several.iter().map(|shard| (*shard).to_owned());
            format!("shards {}: {error}", named(names, several.len(), SHARDS_NAMED))
        }
    };
    errors.into_iter().map(line).collect()
}

/// Joins texts without duplicates. `None` if there are none.
fn joined<'a>(texts: impl Iterator<Item = &'a String>, between: &str) -> Option<String> {
    let mut seen = HashSet::new();
    let new: Vec<&str> = texts.filter(|text| seen.insert(*text)).map(String::as_str).collect();
    (!new.is_empty()).then(|| new.join(between))
}

/// Adds the state at the end of a run: the plan, the examined images, and the failures.
fn add_state(merged: &mut Report, report: &mut Report) {
    merged.skipped_phases.append(&mut report.skipped_phases);
    if let Some(plan) = report.plan.take() {
        add_plan(merged.plan.get_or_insert_default(), plan);
    }
    each_count!(saturating_add: merged.totals, report.totals, [unfinished, not_begun]);
    let (sum, counts) = (&mut merged.examined_totals, report.examined_totals);
    each_count!(saturating_add: sum, counts, [images, signed, unsigned, attested, blocked]);
    merged.examined.append(&mut report.examined);
    merged.scanned.append(&mut report.scanned);
    merged.failed.append(&mut report.failed);
    merged.unsigned.append(&mut report.unsigned);
    merged.unrecorded.append(&mut report.unrecorded);
    merged.lost.append(&mut report.lost);
    merged.rejected.append(&mut report.rejected);
    merged.warnings.append(&mut report.warnings);
}

/// Adds the work that a run has done.
fn add_work(merged: &mut Report, report: Report) {
    for (phase, seconds) in report.phase_seconds {
        let longest = merged.phase_seconds.entry(phase).or_default();
        *longest = longest.max(seconds);
    }
    // The counts of listed images are taken from the lists later, after duplicates are removed.
    let (sum, counts) = (&mut merged.totals, report.totals);
    each_count!(saturating_add: sum, counts, [tagged, signed, recorded, blobs_sent, blobs_there, bytes_sent]);
    merged.promoted.extend(report.promoted);
    for (host, traffic) in report.registries {
        let sum: &mut HostTraffic = merged.registries.entry(host).or_default();
        sum.add(&traffic);
    }
}

fn add_plan(merged: &mut PlanCounts, plan: PlanCounts) {
    for (sums, counts) in [(&mut merged.projects, plan.projects), (&mut merged.hosts, plan.hosts)] {
        for (name, count) in counts {
            sums.entry(name).or_default().add(count);
        }
    }
    merged.total.add(plan.total);
    merged.not_looked_at = merged.not_looked_at.saturating_add(plan.not_looked_at);
}

/// Removes duplicates from the lists, and derives the counts from them.
fn once(merged: &mut Report) {
    for list in [&mut merged.lost, &mut merged.rejected, &mut merged.warnings] {
        distinct(list);
    }
    distinct(&mut merged.skipped_phases);
    distinct(&mut merged.unsigned);
    distinct(&mut merged.unrecorded);
    distinct(&mut merged.scanned);
    // Images to which nothing is attached are counted but not listed, so subtract the duplicates instead of counting the list.
    let counts = &mut merged.examined_totals;
    for repeated in distinct(&mut merged.examined) {
        let one = ExaminedTotals::from(&repeated);
        each_count!(saturating_sub: counts, one, [images, signed, unsigned, attested, blocked]);
    }
    merged.promoted = promoted(std::mem::take(&mut merged.promoted));
    merged.failed = failed(std::mem::take(&mut merged.failed));
    let totals = &mut merged.totals;
    totals.promoted = merged.promoted.len();
    totals.failed = merged.failed.len();
    totals.unsigned = merged.unsigned.len();
    totals.unrecorded = merged.unrecorded.len();
    merged.scan_totals = scan_totals(merged);
}

fn scan_totals(merged: &Report) -> ScanTotals {
    let mut sum = ScanTotals::default();
    for one in merged.scanned.iter().map(ScanTotals::from) {
        each_count!(saturating_add: sum, one, [images, refused, unscanned, failed]);
        each_count!(saturating_add: sum, one, [violations, ignored, vex, unfixed, below_threshold]);
    }
    sum
}

/// Keeps the first of equal entries and returns the others.
fn distinct<T: Clone + Eq + Hash>(list: &mut Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    let (kept, repeated) = std::mem::take(list).into_iter().partition(|entry| seen.insert(entry.clone()));
    *list = kept;
    repeated
}

/// Merges the entries of an image in a repository: merges the tags, and adds the numbers of blobs and bytes.
fn promoted(all: Vec<PromotedImage>) -> Vec<PromotedImage> {
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    let mut joined: Vec<PromotedImage> = Vec::new();
    for image in all {
        match places.get(&(image.source.clone(), image.destination.clone())) {
            None => {
                places.insert((image.source.clone(), image.destination.clone()), joined.len());
                joined.push(image);
            }
            Some(place) => {
                let first = &mut joined[*place];
                add_tags(&mut first.tags, image.tags);
                first.project = first.project.take().or(image.project);
                first.blobs_sent = first.blobs_sent.saturating_add(image.blobs_sent);
                first.blobs_there = first.blobs_there.max(image.blobs_there);
                first.bytes_sent = first.bytes_sent.saturating_add(image.bytes_sent);
            }
        }
    }
    joined
}

/// Merges the entries of an image in a repository that failed for the same reason.
fn failed(all: Vec<FailedImage>) -> Vec<FailedImage> {
    let mut places: HashMap<(String, String, String), usize> = HashMap::new();
    let mut joined: Vec<FailedImage> = Vec::new();
    for image in all {
        let key = (image.source.clone(), image.destination.clone(), image.error.clone());
        match places.get(&key) {
            None => {
                places.insert(key, joined.len());
                joined.push(image);
            }
            Some(place) => {
                let first = &mut joined[*place];
                add_tags(&mut first.tags, image.tags);
                first.project = first.project.take().or(image.project);
            }
        }
    }
    joined
}

fn add_tags(tags: &mut Vec<String>, others: Vec<String>) {
    for tag in others {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
}

/// Merges timelines that begin at different times and have buckets of different widths.
fn timeline<'a>(timelines: impl Iterator<Item = &'a ReportTimeline> + Clone) -> Option<ReportTimeline> {
    let started = timelines.clone().map(|timeline| timeline.started).min()?;
    let delay = |timeline: &ReportTimeline| timeline.started.duration_since(started).as_millis();
    let width = |timeline: &ReportTimeline| i128::from(timeline.bucket_milliseconds.max(1));
    let end = |timeline: &ReportTimeline| {
        let buckets = timeline.hosts.values().map(HostTimeline::buckets).max().unwrap_or(0);
        delay(timeline) + width(timeline) * i128::try_from(buckets).unwrap_or(i128::MAX >> 64)
    };
    let span = timelines.clone().map(end).max().unwrap_or(0);
    // Use the widest bucket of all timelines: a narrower one would leave gaps.
    let mut common = timelines.clone().map(width).max().unwrap_or(1);
    while span > common * BUCKETS_MAX {
        common *= 2;
    }
    let mut hosts: BTreeMap<String, HostTimeline> = BTreeMap::new();
    for timeline in timelines {
        let place = |index: usize| {
            let begin = delay(timeline) + width(timeline) * i128::try_from(index).unwrap_or(0);
            usize::try_from(begin / common).unwrap_or(0)
        };
        for (host, buckets) in &timeline.hosts {
            hosts.entry(host.clone()).or_default().add(buckets, place);
        }
    }
    Some(ReportTimeline { started, bucket_milliseconds: u64::try_from(common).unwrap_or(u64::MAX), hosts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline_of(started: &str, width: u64, requests: &[u64]) -> ReportTimeline {
        let buckets = requests.iter().map(|number| [*number, 0, 0, 0]);
        let hosts = BTreeMap::from([("r.example".to_owned(), HostTimeline::of(buckets))]);
        ReportTimeline { started: started.parse().unwrap(), bucket_milliseconds: width, hosts }
    }

    #[test]
    fn timelines_are_merged_by_time() {
        let early = timeline_of("2026-01-01T00:00:00Z", 100, &[1, 2, 3, 4]);
        let late = timeline_of("2026-01-01T00:00:01Z", 200, &[10, 0, 30]);
        let joined = timeline([&early, &late].into_iter()).unwrap();
        assert_eq!((joined.started, joined.bucket_milliseconds), (early.started, 200));
        assert_eq!(joined.hosts["r.example"].requests, [3, 7, 0, 0, 0, 10, 0, 30]);
        assert_eq!(timeline([].into_iter()), None);
    }

    #[test]
    fn a_merged_timeline_has_at_most_120_buckets_and_loses_no_request() {
        let early = timeline_of("2026-01-01T00:00:00Z", 100, &[1; 120]);
        let late = timeline_of("2026-01-01T06:00:00Z", 100, &[1; 120]);
        let joined = timeline([&late, &early].into_iter()).unwrap();
        let requests = &joined.hosts["r.example"].requests;
        assert!(requests.len() <= 120 && requests.iter().sum::<u64>() == 240, "{requests:?}");
        assert_eq!(joined.bucket_milliseconds, 100 * (1 << 11));
    }

    #[test]
    fn exit_codes_that_need_manual_action_are_the_worst() {
        assert!(EXIT_CODES.contains(&0) && EXIT_CODES[0] == 0 && EXIT_CODES.last() == Some(&1));
        let place = |code| EXIT_CODES.iter().position(|known| *known == code);
        for (better, worse) in [(0, 31), (31, 30), (30, 20), (20, 11), (130, 12)] {
            assert!(place(better) < place(worse), "{better} {worse}");
        }
    }
}
