//! Counts what a run has not done when it is stopped.

use std::collections::HashSet;

use oci::{Digest, Repository};

use crate::event::{Event, Phase, Promotion};

/// Counts the promotions that are due, and those that have begun and ended.
#[derive(Debug, Default)]
pub(super) struct Course {
    due: usize,
    ended: usize,
    under_way: HashSet<(Repository, Digest)>,
    /// The number of times that Promote has started.
    rounds: usize,
    /// The work of the current phase: its unit, its amount, and how much of it is done.
    work: Option<(&'static str, usize, usize)>,
}

/// The promotions that are due and not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Promotions that began and have not ended.
    pub(super) unfinished: usize,
    /// Promotions that did not begin.
    pub(super) not_begun: usize,
}

impl Course {
    pub(super) fn observe(&mut self, event: &Event) {
        match event {
            Event::Started(Phase::Promote) => self.rounds += 1,
            Event::ToPromote { images, .. } => self.due += images,
            Event::Begun(promotion) => {
                self.under_way.insert(key(promotion));
            }
            Event::Promoted(promotion, _) | Event::Failed(promotion, _) => {
                self.under_way.remove(&key(promotion));
                self.ended += 1;
            }
            Event::Started(Phase::Sign | Phase::Attest) | Event::Ended { .. } => self.work = None,
            Event::Work { units: units @ ("signatures" | "records"), more } => {
                self.work = Some((units, *more, 0));
            }
            Event::Worked => {
                if let Some((_, _, done)) = &mut self.work {
                    *done += 1;
                }
            }
            _ => {}
        }
    }

    /// Returns the promotions that are not done yet.
    pub(super) fn left(&self) -> Left {
        let unfinished = self.under_way.len();
        Left { unfinished, not_begun: self.due.saturating_sub(self.ended + unfinished) }
    }

    /// Returns whether the second round, for late hosts, is running.
    pub(super) fn is_second_round(&self) -> bool {
        self.rounds > 1
    }

    /// Returns the numbers of written and of all signatures or records of the current phase, with their name. `None` in any other
    /// phase.
    pub(super) fn attaching(&self) -> Option<(usize, usize, &'static str)> {
        self.work.map(|(units, all, done)| (done, all, units))
    }
}

fn key(promotion: &Promotion) -> (Repository, Digest) {
    (promotion.destination.clone(), promotion.source.digest)
}
