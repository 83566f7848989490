//! A blob on demand. It is read when the first destination needs it, once for all destinations. It is read again only for
//! destinations that cannot be served from an earlier read.

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

/// The resources that all copies share.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) spool: Spool,
    pub(super) budgets: Budgets,
    pub(super) pace: Pace,
}

/// A blob for destinations, which the caller numbers.
pub(super) struct Supply<'a> {
    origin: Origin<'a>,
    resources: &'a Resources,
    /// The host whose memory budget is used; `None` for the common budget.
    behind: Option<&'a Host>,
    state: Mutex<State<'a>>,
    wanted: Notify,
    /// Counts the reads that destinations can take data from.
    readings: watch::Sender<u32>,
}

#[derive(Default)]
struct State<'a> {
    /// Destinations that need the blob, or may need it.
    engaged: BTreeMap<usize, &'a Host>,
    /// Destinations that wait for a read.
    waiting: BTreeMap<usize, &'a Host>,
    latest: Option<Arc<Relay>>,
}

/// A destination that needs the blob, or may need it. A read that starts now serves it too.
pub(super) struct Engaged<'a> {
    supply: &'a Supply<'a>,
    number: usize,
    host: &'a Host,
    /// The relay that it reads from.
    relay: Option<Arc<Relay>>,
}

/// Returns the rest of a blob as a stream.
fn pieces(source: &mut BlobStream) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold(source, |source| async { Ok(source.next().await?.map(|piece| (piece, source))) })
}

/// The blob as one destination receives it.
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

    /// Reads the blob whenever a destination waits for it, and calls `settled` when a read needs no more memory. The future never
    /// completes.
    pub(super) async fn run(&self, settled: impl Fn()) {
        let mut again = false;
        loop {
            self.wanted.notified().await;
            // The destination may have left in the meantime, or may have been served.
            let Some(first) = self.state().waiting.values().next().copied() else { continue };
            let behind = if again { Some(first) } else { self.behind };
            let Resources { spool, budgets, pace } = self.resources;
            let size = self.origin.blob.size;
            let budget = budgets.wait(size, behind).await;
            let engaged = self.state().engaged.clone();
            let patience = engaged.iter().map(|(number, host)| (*number, pace.patience(host)));
            let relay = Arc::new(Relay::new(size, spool.clone(), patience));
            // Boxed to keep the future small: most of the time nothing is read.
            Box::pin(self.read(&relay)).await;
            relay.settle().await;
            drop(budget);
            settled();
            // A destination that is alone is neither behind nor ahead.
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
            // The whole blob is in memory and verified before any destination receives a byte.
            Box::pin(relay.read(pieces(&mut source))).await;
            self.publish(relay);
            return;
        }
        // Uploads start once the source has started to answer: a task that waits for its destination already holds the stream of
        // the source.
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

    /// Makes a read available to destinations.
    fn publish(&self, relay: &Arc<Relay>) {
        let mut state = self.state();
        // Some destinations may have received the blob, or may have failed, since the read started.
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
    /// Returns the whole blob, from an earlier read or from a new one.
    ///
    /// # Errors
    /// Returns an error if the source has failed.
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
            // The sender is part of the supply, so it cannot be closed here.
            let _ = readings.changed().await;
        }
    }

    /// Returns why the source of the last pieces failed, if it did.
    pub(super) fn failure(&self) -> Option<Cause> {
        self.relay.as_ref()?.failure()
    }

    fn want(&self) {
        self.supply.state().waiting.insert(self.number, self.host);
        self.supply.wanted.notify_one();
    }

    /// Records that the destination may read the whole blob again.
    pub(super) fn again(&self) {
        self.supply.state().engaged.insert(self.number, self.host);
    }

    fn take_from(&mut self, relay: &Arc<Relay>) {
        let latest = {
            let mut state = self.supply.state();
            // While the destination takes data from this read, other reads need not serve it.
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
