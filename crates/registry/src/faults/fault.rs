//! Faults: which requests they strike, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::effect::Effect;
use crate::tally::Kind;

/// An effect and the requests that it strikes. By default it strikes every request; the methods restrict that.
#[derive(Clone, Debug)]
pub struct Fault {
    effect: Effect,
    kinds: Option<Vec<Kind>>,
    path: Option<String>,
    skip: u64,
    times: Option<u64>,
    share: Option<Share>,
}

/// A random selection of requests.
#[derive(Clone, Copy, Debug)]
struct Share {
    probability: f64,
    seed: u64,
}

impl Fault {
    /// Returns a fault that strikes every request.
    pub fn new(effect: Effect) -> Self {
        Self { effect, kinds: None, path: None, skip: 0, times: None, share: None }
    }

    /// Strikes only requests of this kind. Further calls add further kinds.
    #[must_use]
    pub fn on(mut self, kind: Kind) -> Self {
        self.kinds.get_or_insert_default().push(kind);
        self
    }

    /// Strikes only requests whose path and query contain this text.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Skips the first `count` of the requests that the fault would strike.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Strikes at most `count` times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Strikes each request that it would strike only with this probability. The same seed selects the same requests, counted
    /// in the order of their arrival.
    ///
    /// `probability` is clamped to the range from 0 to 1.
    #[must_use]
    pub fn share(mut self, probability: f64, seed: u64) -> Self {
        self.share = Some(Share { probability: probability.clamp(0.0, 1.0), seed });
        self
    }

    fn matches(&self, kind: Kind, path: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            && self.path.as_ref().is_none_or(|part| path.contains(part))
    }
}

/// Reports how often a fault has struck.
#[derive(Clone, Debug)]
pub struct Watch {
    struck: Arc<AtomicU64>,
}

impl Watch {
    /// Returns how many requests the fault has struck so far.
    pub fn struck(&self) -> u64 {
        self.struck.load(Relaxed)
    }
}

/// An active fault with its counts.
#[derive(Debug)]
pub(super) struct Standing {
    fault: Fault,
    matched: u64,
    /// Selects the requests to strike when a probability is set.
    generator: StdRng,
    watch: Watch,
}

impl Standing {
    pub(super) fn new(fault: Fault) -> (Self, Watch) {
        let watch = Watch { struck: Arc::default() };
        let generator = StdRng::seed_from_u64(fault.share.map_or(0, |share| share.seed));
        (Self { fault, matched: 0, generator, watch: watch.clone() }, watch)
    }

    /// Returns the effect, if the fault strikes this request.
    pub(super) fn strike(&mut self, kind: Kind, path: &str) -> Option<Effect> {
        if !self.fault.matches(kind, path) {
            return None;
        }
        self.matched += 1;
        let due = self.matched > self.fault.skip
            && self.fault.times.is_none_or(|times| self.watch.struck() < times)
            && self.fault.share.is_none_or(|share| self.generator.random_bool(share.probability));
        due.then(|| {
            self.watch.struck.fetch_add(1, Relaxed);
            self.fault.effect.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(fault: Fault, requests: &[(Kind, &str)]) -> Vec<bool> {
        let (mut standing, _) = Standing::new(fault);
        requests.iter().map(|(kind, path)| standing.strike(*kind, path).is_some()).collect()
    }

    #[test]
    fn a_fault_strikes_the_kinds_and_paths_it_names() {
        let fault = Fault::new(Effect::Reset).on(Kind::BlobGet).on(Kind::BlobHead).path("/app/");
        let requests = [
            (Kind::BlobGet, "/v2/app/blobs/x"),
            (Kind::BlobHead, "/v2/app/blobs/x"),
            (Kind::ManifestGet, "/v2/app/manifests/x"),
            (Kind::BlobGet, "/v2/other/blobs/x"),
        ];
        assert_eq!(strikes(fault, &requests), [true, true, false, false]);
    }

    #[test]
    fn a_fault_skips_and_ends_as_configured() {
        let fault = Fault::new(Effect::Reset).on(Kind::Ping).skip(1).times(2);
        let ping = (Kind::Ping, "/v2/");
        assert_eq!(
            strikes(fault, &[ping, (Kind::Catalog, "/v2/_catalog"), ping, ping, ping]),
            [false, false, true, true, false],
            "only requests that match are skipped and counted"
        );
    }

    #[test]
    fn a_share_of_requests_is_selected_at_random_and_reproducibly() {
        let pings = [(Kind::Ping, "/v2/"); 1000];
        let chosen = |seed| strikes(Fault::new(Effect::Reset).share(0.05, seed), &pings);
        let struck = chosen(1).iter().filter(|struck| **struck).count();
        assert!((25..=75).contains(&struck), "{struck} of 1000");
        assert_eq!(chosen(1), chosen(1));
        assert_ne!(chosen(1), chosen(2));
    }
}
