//! A blob on demand: read when the first destination wants it, once for all, and again only for who cannot be served from
//! what was read before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream};
use oci_types::Descriptor;
use oci_types::{Host, Repository};
use tokio::sync::{Notify, watch};

use super::budget::Budgets;
use super::pace::Pace;
use super::relay::{Cause, Relay, WINDOW};
use super::spool::Spool;
use crate::error::Error;
use crate::read::BlobStream;
use crate::reader::Reader;

/// A blob of the source.
pub(super) struct Origin<'a> {
    pub(super) reader: &'a Reader,
    pub(super) repository: &'a Repository,
    pub(super) blob: &'a Descriptor,
}

/// What all copies share.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) spool: Spool,
    pub(super) budgets: Budgets,
    pub(super) pace: Pace,
}

/// A blob for destinations, which are known by numbers of the caller's.
pub(super) struct Supply<'a> {
    origin: Origin<'a>,
    resources: &'a Resources,
    /// The host in whose share of memory it is read; `None`: that of all.
    behind: Option<&'a Host>,
    state: Mutex<State<'a>>,
    wanted: Notify,
    /// Counts readings that destinations can take from.
    readings: watch::Sender<u32>,
}

#[derive(Default)]
struct State<'a> {
    /// Those that want the blob or may come to want it.
    engaged: BTreeMap<usize, &'a Host>,
    /// Those that wait for a reading.
    waiting: BTreeMap<usize, &'a Host>,
    latest: Option<Arc<Relay>>,
}

/// A destination that wants the blob, or may come to want it: a reading that begins now keeps it in mind.
pub(super) struct Engaged<'a> {
    supply: &'a Supply<'a>,
    number: usize,
    host: &'a Host,
    /// What it takes from.
    relay: Option<Arc<Relay>>,
}

/// The rest of a blob.
fn pieces(source: &mut BlobStream) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold(source, |source| async { Ok(source.next().await?.map(|piece| (piece, source))) })
}

/// The blob as one destination gets it.
pub(super) type Pieces = BoxStream<'static, std::io::Result<Bytes>>;

impl<'a> Supply<'a> {
    pub(super) fn new(origin: Origin<'a>, resources: &'a Resources, behind: Option<&'a Host>) -> Self {
        let readings = watch::Sender::new(0);
        Self { origin, resources, behind, state: Mutex::default(), wanted: Notify::new(), readings }
    }

    pub(super) fn engage(&'a self, number: usize, host: &'a Host) -> Engaged<'a> {
        self.state().engaged.insert(number, host);
        Engaged { supply: self, number, host, relay: None }
    }

    /// Reads the blob whenever somebody waits for it; `settled` is called when a reading needs no more memory. It does not
    /// end by itself.
    pub(super) async fn run(&self, settled: impl Fn()) {
        let mut again = false;
        loop {
            self.wanted.notified().await;
            // Whoever wanted it may have gone, or may have been served meanwhile.
            let Some(first) = self.state().waiting.values().next().copied() else { continue };
            let behind = if again { Some(first) } else { self.behind };
            let Resources { spool, budgets, pace } = self.resources;
            let size = self.origin.blob.size;
            let budget = budgets.wait(size, behind).await;
            let engaged = self.state().engaged.clone();
            let patience = engaged.iter().map(|(number, host)| (*number, pace.patience(host)));
            let relay = Arc::new(Relay::new(size, spool.clone(), patience));
            // Boxed: most of the time nothing is read.
            Box::pin(self.read(&relay)).await;
            relay.settle().await;
            drop(budget);
            settled();
            // One by itself is neither behind nor ahead.
            if engaged.len() > 1 {
                engaged.iter().for_each(|(number, host)| pace.note(host, relay.is_behind(*number)));
            }
            again = true;
        }
    }

    async fn read(&self, relay: &Arc<Relay>) {
        let Origin { reader, repository, blob } = self.origin;
        let mut source = reader.blob(repository, blob.digest, blob.size);
        if blob.size <= WINDOW {
            // It is there as a whole, and right, before anybody gets a byte.
            Box::pin(relay.read(pieces(&mut source))).await;
            self.publish(relay);
            return;
        }
        // Uploads begin when the source has begun to answer: who waits for a destination then holds what it gives.
        match source.open().await {
            Ok(()) => {
                self.publish(relay);
                Box::pin(relay.read(pieces(&mut source))).await;
            }
            Err(error) => {
                relay.fail(&error);
                self.publish(relay);
            }
        }
    }

    /// Lets destinations take from a reading.
    fn publish(&self, relay: &Arc<Relay>) {
        let mut state = self.state();
        // Some have got the blob, or have failed, since it began.
        relay.retain(|number| state.engaged.contains_key(&number));
        state.latest = Some(Arc::clone(relay));
        state.waiting.clear();
        drop(state);
        self.readings.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engaged<'_> {
    /// The whole blob, from what was read before or from a new reading.
    ///
    /// # Errors
    /// When the source has failed.
    pub(super) async fn pieces(&mut self) -> Result<Pieces, Cause> {
        let mut readings = self.supply.readings.subscribe();
        loop {
            readings.mark_unchanged();
            let latest = self.supply.state().latest.clone();
            for relay in self.relay.clone().iter().chain(&latest) {
                if let Some(cause) = relay.failure() {
                    return Err(cause);
                }
                if let Some(pieces) = relay.stream(self.number) {
                    self.take_from(relay);
                    return Ok(pieces);
                }
            }
            self.want();
            // The other end is in the supply, which is there.
            let _ = readings.changed().await;
        }
    }

    /// Why the source failed that the last pieces came from, where it did.
    pub(super) fn failure(&self) -> Option<Cause> {
        self.relay.as_ref()?.failure()
    }

    fn want(&self) {
        self.supply.state().waiting.insert(self.number, self.host);
        self.supply.wanted.notify_one();
    }

    /// Notes that the destination may come back for all of it.
    pub(super) fn again(&self) {
        self.supply.state().engaged.insert(self.number, self.host);
    }

    fn take_from(&mut self, relay: &Arc<Relay>) {
        let latest = {
            let mut state = self.supply.state();
            // While it takes from this reading, no other has to keep it in mind.
            state.engaged.remove(&self.number);
            state.latest.clone()
        };
        let before = self.relay.replace(Arc::clone(relay));
        for other in before.iter().chain(&latest).filter(|other| !Arc::ptr_eq(other, relay)) {
            other.leave(self.number);
        }
    }
}

impl Drop for Engaged<'_> {
    fn drop(&mut self) {
        let mut state = self.supply.state();
        state.engaged.remove(&self.number);
        state.waiting.remove(&self.number);
        let latest = state.latest.clone();
        drop(state);
        for relay in self.relay.iter().chain(&latest) {
            relay.leave(self.number);
        }
    }
}
