//! What goes out next, and to whom: images largest first, to all hosts together as long as they keep up.
//!
//! A host with more unfinished images than it may have is left out of the images that begin then; nobody waits for it. What
//! it has missed it gets by itself, or with others that have missed the same, as soon as it has room. So staging is read
//! once for all that keep up, and again only for what a host was too slow for.

use std::collections::BTreeSet;

/// With fewer unfinished images a host has another one begun.
const WANTS_MORE: usize = 24;
/// With as many it takes part in nothing more. What is between the two is how far a host may fall behind the fastest.
const HAS_ENOUGH: usize = 36;

/// What is under way and what is still to be begun. Images are known by their place in the order that they are to go out in,
/// targets by their place in the image, hosts by a number of the caller's.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The host of each target.
    images: Vec<Vec<usize>>,
    hosts: Vec<Host>,
}

#[derive(Debug, Default)]
struct Host {
    /// Targets that are under way.
    under_way: usize,
    /// Images that nobody has begun.
    fresh: BTreeSet<usize>,
    /// Images that others have begun without it.
    missed: BTreeSet<usize>,
    /// Targets that have failed and are tried once more, after all others.
    again: BTreeSet<(usize, usize)>,
}

/// Why an image is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attempt {
    /// For some hosts that have missed it.
    Missed,
    /// For the first time.
    Fresh,
    /// For targets that have failed.
    Again,
}

/// An image to begin now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) image: usize,
    pub(super) targets: Vec<usize>,
    pub(super) attempt: Attempt,
}

impl Schedule {
    /// A schedule for images, in the order that they are to go out in, each with the hosts of its targets.
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

    /// What to begin now; `None` where nobody wants more at the moment.
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

    /// Takes note that a target is done with, one way or the other.
    pub(super) fn ended(&mut self, image: usize, target: usize) {
        let host = self.images[image][target];
        self.hosts[host].under_way -= 1;
    }

    /// Takes note that a target has failed and is to be tried once more.
    pub(super) fn try_again(&mut self, image: usize, target: usize) {
        self.ended(image, target);
        let host = self.images[image][target];
        self.hosts[host].again.insert((image, target));
    }

    /// How many images have not been begun for all their targets.
    pub(super) fn not_begun(&self) -> usize {
        let left = self.hosts.iter().flat_map(|host| host.fresh.iter().chain(&host.missed));
        left.collect::<BTreeSet<_>>().len()
    }

    /// Whether an image goes to one host alone, while others have something to do as well.
    pub(super) fn is_one_of_many(&self, image: usize) -> bool {
        let hosts = &self.images[image];
        hosts.iter().all(|host| Some(host) == hosts.first()) && self.hosts.len() > 1
    }
}

impl Host {
    /// The image that it wants next, if it wants one: what it has missed is larger than what is still to come.
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

    /// Whether it takes part where an image is begun.
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

    /// So many images for all of so many hosts, one target each.
    fn schedule(images: usize, hosts: usize) -> Schedule {
        Schedule::new(vec![(0..hosts).collect(); images])
    }

    fn all_that_begin(schedule: &mut Schedule) -> Vec<Begin> {
        std::iter::from_fn(|| schedule.next()).collect()
    }

    #[test]
    fn images_go_out_in_their_order_to_all_hosts_together() {
        let mut schedule = schedule(100, 3);
        let begun = all_that_begin(&mut schedule);
        assert_eq!(begun.iter().map(|b| b.image).collect::<Vec<_>>(), (0..WANTS_MORE).collect::<Vec<_>>());
        assert!(begun.iter().all(|b| b.targets == [0, 1, 2] && b.attempt == Attempt::Fresh));
        assert_eq!(schedule.not_begun(), 100 - WANTS_MORE);
    }

    /// The first two hosts finish what they get, the third nothing: it is left out of all but so many, and these are first.
    #[test]
    fn a_host_that_finishes_nothing_keeps_nobody_from_finishing_everything() {
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
        assert_eq!(begun.len(), 1000, "each once, since the third wants no more");
        assert!(begun.iter().all(|begin| begin.targets.contains(&0) && begin.targets.contains(&1)));
        assert_eq!(begun.iter().filter(|begin| begin.targets.contains(&2)).count(), HAS_ENOUGH);
        assert_eq!(schedule.not_begun(), 1000 - HAS_ENOUGH);
        // It comes to its senses.
        (0..HAS_ENOUGH).for_each(|image| schedule.ended(image, 2));
        let missed = schedule.next().unwrap();
        assert_eq!(missed, Begin { image: HAS_ENOUGH, targets: vec![2], attempt: Attempt::Missed });
    }

    #[test]
    fn hosts_that_have_missed_the_same_share_it() {
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

    /// Images of one host do not keep those of another waiting, though they are larger.
    #[test]
    fn a_host_with_enough_to_do_is_in_nobody_s_way() {
        let mut schedule = Schedule::new((0..200).map(|image| vec![usize::from(image >= 100)]).collect());
        let begun = all_that_begin(&mut schedule);
        assert_eq!(begun.iter().filter(|begin| begin.image >= 100).count(), WANTS_MORE);
        assert!(schedule.is_one_of_many(0));
    }

    #[test]
    fn what_has_failed_is_tried_again_after_everything_else() {
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
        /// Whatever ends in whatever order: every target is begun exactly once, and once more for each failure; no host has
        /// more under way than it may; and as long as anything is left, something is under way or begins.
        #[test]
        fn every_target_is_begun_exactly_once(
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
                    // An image may have several targets on a host, which begin together.
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
