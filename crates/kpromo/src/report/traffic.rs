//! The counters of the door, in the form of the report.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use promote::{HostTimeline, HostTraffic, ReportTimeline};
use transport::{Bucket, Door, HostTally, Timeline};

/// The requests of a run.
pub(crate) struct Traffic {
    /// The counts by host.
    pub(crate) registries: BTreeMap<String, HostTraffic>,
    /// The counts over time. `None` if there was no request.
    pub(crate) timeline: Option<ReportTimeline>,
}

impl Traffic {
    /// Returns the requests of a door so far.
    pub(crate) fn of(door: &Door) -> Self {
        let tally = door.tally();
        let registries = tally.into_iter().map(|(host, tally)| (host, traffic(tally))).collect();
        Self { registries, timeline: timeline(door.timeline(), Timestamp::now()) }
    }
}

fn traffic(tally: HostTally) -> HostTraffic {
    let HostTally { requests, refused, faults, retried, unanswered, received, sent, milliseconds } = tally;
    HostTraffic {
        requests: requests.into_iter().map(|(kind, number)| (kind.to_owned(), number)).collect(),
        refused,
        faults,
        retried,
        unanswered,
        received,
        sent,
        milliseconds,
    }
}

fn timeline(timeline: Timeline, now: Timestamp) -> Option<ReportTimeline> {
    let Timeline { age, width, hosts } = timeline;
    if hosts.values().all(Vec::is_empty) {
        return None;
    }
    let age = SignedDuration::try_from(age).unwrap_or_default();
    let numbers = |bucket: Bucket| {
        let Bucket { requests, refused, faults, unanswered } = bucket;
        [requests, refused, faults, unanswered]
    };
    let hosts = hosts.into_iter().filter(|(_, buckets)| !buckets.is_empty());
    Some(ReportTimeline {
        started: now.checked_sub(age).unwrap_or(now),
        bucket_milliseconds: milliseconds(width),
        hosts: hosts
            .map(|(host, buckets)| (host, HostTimeline::of(buckets.into_iter().map(numbers))))
            .collect(),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
