//! The schedule of copies: the largest images first, to all hosts together as long as they keep up.
//!
//! A host with too many unfinished images is left out of the images that start next, so the others do not wait for it. As soon
//! as it has capacity, it receives what it has missed, alone or with other hosts that have missed the same image. So staging is
//! read once for all hosts that keep up, and again only for images that a host was too slow for.

use std::collections::BTreeSet;

/// A host with fewer unfinished images than this starts another one.
const WANTS_MORE: usize = 24;
/// A host with this many unfinished images takes no further ones. The difference to `WANTS_MORE` is how far a host may fall
/// behind the fastest one.
const HAS_ENOUGH: usize = 36;

/// The targets that are in progress or still to be started. An image is identified by its position in the schedule, a target by
/// its position in the image, and a host by a number that the caller assigns.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The host of each target, by image.
    images: Vec<Vec<usize>>,
    hosts: Vec<Host>,
}

#[derive(Debug, Default)]
struct Host {
    /// The number of targets in progress.
    under_way: usize,
    /// Images that have not been started for any host.
    fresh: BTreeSet<usize>,
    /// Images that have been started without this host.
    missed: BTreeSet<usize>,
    /// Targets that have failed and are tried once more, after all others.
    again: BTreeSet<(usize, usize)>,
}

/// The reason for starting an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attempt {
    /// Some hosts have missed it.
    Missed,
    /// It starts for the first time.
    Fresh,
    /// Some targets have failed.
    Again,
}

/// An image to start now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) image: usize,
    pub(super) targets: Vec<usize>,
    pub(super) attempt: Attempt,
}

impl Schedule {
    /// Creates a schedule for images in the given order. Each image is given by the hosts of its targets.
    pub(super) fn new(images: Vec<Vec<usize>>) -> Self {
        let mut hosts = Vec::new();
        for (image, host) in
            images.iter().enumerate().flat_map(|(i, hosts)| hosts.iter().map(move |h| (i, *h)))
        {
            if hosts.len() <= host {
                hosts.resize_with(host + 1, Host::default);
            }
            hosts[host].fresh.insert(image);
        }
        Self { images, hosts }
    }

    /// Returns what to start now, or `None` if no host can take more at the moment.
    pub(super) fn next(&mut self) -> Option<Begin> {
        let (image, attempt) = self.hosts.iter().filter_map(Host::wants).min()?;
        let targets = self.images[image].iter().enumerate();
        let taking: Vec<(usize, usize)> = targets
            .map(|(target, host)| (target, *host))
            .filter(|(target, host)| self.hosts[*host].takes_part(image, *target, attempt))
            .collect();
        for (target, host) in &taking {
            let host = &mut self.hosts[*host];
            host.under_way += 1;
            host.again.remove(&(image, *target));
            host.missed.remove(&image);
            if attempt == Attempt::Fresh {
                host.fresh.remove(&image);
            }
        }
        for host in &self.images[image] {
            let host = &mut self.hosts[*host];
            if attempt == Attempt::Fresh && host.fresh.remove(&image) {
                host.missed.insert(image);
            }
        }
        Some(Begin { image, targets: taking.into_iter().map(|(target, _)| target).collect(), attempt })
    }

    /// Records that a target has succeeded or finally failed.
    pub(super) fn ended(&mut self, image: usize, target: usize) {
        let host = self.images[image][target];
        self.hosts[host].under_way -= 1;
    }

    /// Records that a target has failed and is to be tried once more.
    pub(super) fn try_again(&mut self, image: usize, target: usize) {
        self.ended(image, target);
        let host = self.images[image][target];
        self.hosts[host].again.insert((image, target));
    }

    /// Returns the number of images that have not been started for all their targets.
    pub(super) fn not_begun(&self) -> usize {
        let left = self.hosts.iter().flat_map(|host| host.fresh.iter().chain(&host.missed));
        left.collect::<BTreeSet<_>>().len()
    }

    /// Returns whether an image goes to only one host although the schedule has several.
    pub(super) fn is_one_of_many(&self, image: usize) -> bool {
        let hosts = &self.images[image];
        hosts.iter().all(|host| Some(host) == hosts.first()) && self.hosts.len() > 1
    }
}

impl Host {
    /// Returns the image that the host takes next. Missed images go first, since they are larger than those still to come.
    fn wants(&self) -> Option<(usize, Attempt)> {
        if self.under_way >= WANTS_MORE {
            return None;
        }
        let first = |images: &BTreeSet<usize>| images.first().copied();
        let missed = first(&self.missed).map(|image| (image, Attempt::Missed));
        let fresh = || first(&self.fresh).map(|image| (image, Attempt::Fresh));
        let again = || self.again.first().map(|(image, _)| (*image, Attempt::Again));
        missed.or_else(fresh).or_else(again)
    }

    /// Returns whether the host takes part in starting an image.
    fn takes_part(&self, image: usize, target: usize, attempt: Attempt) -> bool {
        let lacks = match attempt {
            Attempt::Missed => self.missed.contains(&image),
            Attempt::Fresh => self.fresh.contains(&image),
            Attempt::Again => self.again.contains(&(image, target)),
        };
        lacks && self.under_way < HAS_ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Creates a schedule in which every image has one target on each host.
    fn schedule(images: usize, hosts: usize) -> Schedule {
        Schedule::new(vec![(0..hosts).collect(); images])
    }

    fn all_that_begin(schedule: &mut Schedule) -> Vec<Begin> {
        std::iter::from_fn(|| schedule.next()).collect()
    }

    #[test]
    fn images_start_in_order_on_all_hosts_together() {
        let mut schedule = schedule(100, 3);
        let begun = all_that_begin(&mut schedule);
        assert_eq!(begun.iter().map(|b| b.image).collect::<Vec<_>>(), (0..WANTS_MORE).collect::<Vec<_>>());
        assert!(begun.iter().all(|b| b.targets == [0, 1, 2] && b.attempt == Attempt::Fresh));
        assert_eq!(schedule.not_begun(), 100 - WANTS_MORE);
    }

    /// Two hosts finish everything and the third finishes nothing. The third is left out of all images except the first
    /// `HAS_ENOUGH`.
    #[test]
    fn a_host_that_finishes_nothing_does_not_delay_the_others() {
        let mut schedule = schedule(1000, 3);
        let mut begun = Vec::new();
        loop {
            let now = all_that_begin(&mut schedule);
            if now.is_empty() {
                break;
            }
            for begin in &now {
                begin.targets.iter().filter(|t| **t < 2).for_each(|t| schedule.ended(begin.image, *t));
            }
            begun.extend(now);
        }
        assert_eq!(begun.len(), 1000, "each image starts once, since the third host takes no more");
        assert!(begun.iter().all(|begin| begin.targets.contains(&0) && begin.targets.contains(&1)));
        assert_eq!(begun.iter().filter(|begin| begin.targets.contains(&2)).count(), HAS_ENOUGH);
        assert_eq!(schedule.not_begun(), 1000 - HAS_ENOUGH);
        // The third host has caught up.
        (0..HAS_ENOUGH).for_each(|image| schedule.ended(image, 2));
        let missed = schedule.next().unwrap();
        assert_eq!(missed, Begin { image: HAS_ENOUGH, targets: vec![2], attempt: Attempt::Missed });
    }

    #[test]
    fn hosts_that_have_missed_the_same_image_receive_it_together() {
        let mut schedule = schedule(HAS_ENOUGH + 1, 3);
        loop {
            let now = all_that_begin(&mut schedule);
            now.iter().for_each(|begin| schedule.ended(begin.image, 0));
            if now.is_empty() {
                break;
            }
        }
        for target in [1, 2] {
            (0..HAS_ENOUGH - WANTS_MORE + 1).for_each(|image| schedule.ended(image, target));
        }
        let shared = Begin { image: HAS_ENOUGH, targets: vec![1, 2], attempt: Attempt::Missed };
        assert_eq!(schedule.next(), Some(shared));
    }

    /// The larger images of one host do not delay those of another.
    #[test]
    fn a_host_with_enough_images_does_not_delay_other_hosts() {
        let mut schedule = Schedule::new((0..200).map(|image| vec![usize::from(image >= 100)]).collect());
        let begun = all_that_begin(&mut schedule);
        assert_eq!(begun.iter().filter(|begin| begin.image >= 100).count(), WANTS_MORE);
        assert!(schedule.is_one_of_many(0));
    }

    #[test]
    fn failed_targets_are_retried_after_all_others() {
        let mut schedule = schedule(WANTS_MORE + 1, 1);
        all_that_begin(&mut schedule);
        schedule.try_again(3, 0);
        assert_eq!(
            schedule.next().map(|begin| (begin.image, begin.attempt)),
            Some((WANTS_MORE, Attempt::Fresh))
        );
        schedule.ended(0, 0);
        assert_eq!(schedule.next(), Some(Begin { image: 3, targets: vec![0], attempt: Attempt::Again }));
    }

    proptest! {
        /// For any order of results: every target is started exactly once, and once more for each failure. No host exceeds its
        /// limit. As long as anything is left, something is in progress or starts.
        #[test]
        fn every_target_is_started_exactly_once(
            images in proptest::collection::vec(proptest::collection::vec(0_usize..5, 1..8), 1..120),
            ends in proptest::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.1)), 0..2000),
        ) {
            let mut schedule = Schedule::new(images.clone());
            let mut under_way: Vec<(usize, usize)> = Vec::new();
            let mut begun = std::collections::BTreeMap::new();
            let mut failed = std::collections::BTreeMap::new();
            let mut ends = ends.into_iter();
            loop {
                for begin in all_that_begin(&mut schedule) {
                    prop_assert!(!begin.targets.is_empty());
                    for target in begin.targets {
                        *begun.entry((begin.image, target)).or_insert(0) += 1;
                        under_way.push((begin.image, target));
                    }
                }
                for host in 0..5 {
                    let load = under_way.iter().filter(|(image, target)| images[*image][*target] == host).count();
                    // Several targets of an image can be on the same host. They start together.
                    prop_assert!(load < HAS_ENOUGH + 8);
                }
                if under_way.is_empty() {
                    break;
                }
                let (which, fails) = ends.next().map_or((0, false), |(i, fails)| (i.index(under_way.len()), fails));
                let (image, target) = under_way.swap_remove(which);
                if fails {
                    *failed.entry((image, target)).or_insert(0) += 1;
                    schedule.try_again(image, target);
                } else {
                    schedule.ended(image, target);
                }
            }
            prop_assert_eq!(schedule.not_begun(), 0);
            for (image, hosts) in images.iter().enumerate() {
                for target in 0..hosts.len() {
                    let expected = 1 + failed.get(&(image, target)).copied().unwrap_or(0);
                    prop_assert_eq!(begun.get(&(image, target)).copied(), Some(expected));
                }
            }
        }
    }
}
