//! A relay reads a stream once and passes it to several destinations; the fastest one sets the pace.
//!
//! The data is kept in a window of bounded size. A destination that falls behind delays the others for a moment. After that the
//! relay writes the stream to the spool, from the start of the window, and the destination reads from there. Only if the
//! spool is full is the destination dropped; it is then served by another read of the source.

mod cause;
mod limits;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

pub(super) use self::cause::Cause;
use self::limits::{AT_THE_LONGEST, LAST_PATIENCE, STANDSTILL, STUCK};
pub(super) use self::limits::{PATIENCE, WINDOW};
use self::state::{End, Mode, Next, Seat, State, Stored};
use super::spool::Spool;
use crate::error::Error;

/// A stream and its destinations. The caller numbers the destinations.
#[derive(Debug)]
pub(super) struct Relay {
    size: u64,
    spool: Spool,
    state: Mutex<State>,
    /// Notified when a destination has taken data or has left.
    moved: Notify,
}

/// The next step of the reading end.
enum Step {
    Read,
    Wait,
    Over,
}

impl Relay {
    /// Constructs a relay for `size` bytes. Each destination has a time for which it may delay the others.
    pub(super) fn new(
        size: u64,
        spool: Spool,
        destinations: impl IntoIterator<Item = (usize, Duration)>,
    ) -> Self {
        let seats =
            destinations.into_iter().map(|(number, patience)| (number, Seat::new(patience))).collect();
        let state = State {
            window: VecDeque::new(),
            base: 0,
            head: 0,
            seats,
            stored: None,
            refused: false,
            end: None,
            first_gone: None,
        };
        Self { size, spool, state: Mutex::new(state), moved: Notify::new() }
    }

    /// Returns the whole blob as a stream for a destination. The stream fails if the source fails or the destination is dropped.
    /// Returns `None` if the start of the blob is no longer available, neither in memory nor in the spool.
    pub(super) fn stream(
        self: &Arc<Self>,
        number: usize,
    ) -> Option<BoxStream<'static, std::io::Result<Bytes>>> {
        let mut state = self.state();
        if matches!(state.end, Some(End::Failed(_) | End::Abandoned)) {
            return None;
        }
        let mode = match &state.stored {
            _ if state.base == 0 => Mode::Window,
            Some(stored) if stored.from == 0 && !stored.broken => Mode::Spool,
            _ => return None,
        };
        let seat = state.seats.entry(number).or_insert_with(|| Seat::new(PATIENCE));
        (seat.position, seat.mode) = (0, mode);
        seat.stream += 1;
        let reading = Some(Reading { relay: Arc::clone(self), number, stream: seat.stream });
        // Wakes the reader of an earlier stream of this destination, since that stream has ended.
        std::mem::take(&mut seat.woken).notify_one();
        drop(state);
        let pieces = stream::unfold(reading, |reading| async move {
            let reading = reading?;
            match reading.relay.next(reading.number, reading.stream).await {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Some(pieces.boxed())
    }

    /// Removes a destination that needs no more data.
    pub(super) fn leave(&self, number: usize) {
        let mut state = self.state();
        if let Some(seat) = state.seats.remove(&number) {
            seat.woken.notify_one();
            state.first_gone.get_or_insert_with(Instant::now);
        }
        drop(state);
        self.moved.notify_one();
    }

    /// Removes the destinations for which `wants` returns `false`.
    pub(super) fn retain(&self, wants: impl Fn(usize) -> bool) {
        self.state().seats.retain(|number, _| wants(*number));
        self.moved.notify_one();
    }

    /// Returns `true` if a destination has fallen behind.
    pub(super) fn is_behind(&self, number: usize) -> bool {
        let state = self.state();
        state.seats.get(&number).is_some_and(|seat| matches!(seat.mode, Mode::Spool | Mode::Dropped))
    }

    /// Returns why the source failed, if it did.
    pub(super) fn failure(&self) -> Option<Cause> {
        match &self.state().end {
            Some(End::Failed(cause)) => Some(cause.clone()),
            _ => None,
        }
    }

    /// Makes all streams of the relay fail.
    pub(super) fn fail(&self, error: &Error) {
        self.end(End::Failed(error.into()));
    }

    /// Reads the source until it ends or fails, or until no destination is left.
    pub(super) async fn read(&self, source: impl Stream<Item = Result<Bytes, Error>>) {
        let mut source = std::pin::pin!(source);
        loop {
            match self.step() {
                Step::Over => return self.end(End::Abandoned),
                Step::Wait => self.wait_for_space().await,
                Step::Read => {
                    let (piece, ()) = join(source.next(), self.store()).await;
                    match piece {
                        Some(Ok(piece)) => self.push(piece),
                        Some(Err(error)) => return self.fail(&error),
                        None => return self.end(End::Read),
                    }
                }
            }
        }
    }

    /// Waits until no data has to stay in memory: all destinations are done, or the data of those that are behind is in the
    /// spool. If the spool is full, this waits until the destinations are done.
    pub(super) async fn settle(&self) {
        let read_at = Instant::now();
        loop {
            self.store().await;
            let (refused, deadline) = {
                let mut state = self.state();
                if !state.needs_memory(self.size) {
                    state.clear();
                    return;
                }
                let longest = read_at + AT_THE_LONGEST;
                let deadline = state.first_gone.map_or(longest, |gone| {
                    let patience = state.seats.values().map(|seat| seat.patience).max().unwrap_or_default();
                    longest.min(gone.max(read_at) + patience)
                });
                (state.refused, deadline)
            };
            tokio::select! {
                () = self.moved.notified() => {}
                () = tokio::time::sleep_until(deadline), if !refused => self.spool_all().await,
            }
        }
    }

    /// Switches every destination to the spool.
    async fn spool_all(&self) {
        if self.reserve().await {
            let mut state = self.state();
            let waiting = state.seats.values_mut().filter(|seat| seat.mode == Mode::Window);
            waiting.for_each(|seat| seat.mode = Mode::Spool);
        }
    }

    fn end(&self, end: End) {
        let mut state = self.state();
        if matches!(end, End::Failed(_) | End::Abandoned) {
            state.clear();
        }
        state.end.get_or_insert(end);
        state.wake_all();
    }

    fn push(&self, piece: Bytes) {
        let mut state = self.state();
        let at = state.head;
        state.head += piece.len() as u64;
        state.window.push_back((at, piece));
        state.wake_all();
    }

    fn step(&self) -> Step {
        let mut state = self.state();
        if !state.seats.values().any(Seat::listens) {
            return Step::Over;
        }
        if state.has_space(self.size) { Step::Read } else { Step::Wait }
    }

    /// Waits until the window can take another piece. Destinations that hold it back for too long are switched to the spool
    /// or dropped.
    async fn wait_for_space(&self) {
        let mut still_since = Instant::now();
        loop {
            self.store().await;
            let wait = {
                let mut state = self.state();
                if state.has_space(self.size) || !state.seats.values().any(Seat::listens) {
                    return;
                }
                state.patience(still_since)
            };
            let waiting_since = Instant::now();
            let is_over = tokio::select! {
                () = self.moved.notified() => false,
                () = sleep(wait.time) => true,
            };
            if wait.starved {
                self.state().charge(&wait.behind, waiting_since.elapsed());
            }
            if is_over {
                self.overtake(wait.starved, still_since.elapsed()).await;
            }
            if !is_over || wait.starved {
                still_since = Instant::now();
            }
        }
    }

    /// Switches the destinations that hold the window to the spool, or drops them if the spool is full. If another destination
    /// waits for data, this applies to those whose patience is used up; otherwise to all, since the stream has stalled.
    async fn overtake(&self, starved: bool, still: Duration) {
        let is_stored = self.reserve().await;
        let mut state = self.state();
        let floor = state.floor();
        for seat in state.seats.values_mut().filter(|seat| seat.is_behind(floor)) {
            let is_up =
                |patience, standstill| if starved { seat.held_up >= patience } else { still >= standstill };
            if is_stored && is_up(seat.patience, STANDSTILL) {
                seat.mode = Mode::Spool;
            } else if !is_stored && is_up(LAST_PATIENCE, STUCK) {
                seat.mode = Mode::Dropped;
                seat.woken.notify_one();
            }
        }
    }

    /// Ensures that the stream is written to the spool from the start of the window on; `false` if the spool is full.
    async fn reserve(&self) -> bool {
        let base = {
            let state = self.state();
            match &state.stored {
                Some(stored) => return !stored.broken,
                None if state.refused => return false,
                None => state.base,
            }
        };
        // The window does not move in the meantime: only the reading end moves it, and it waits here.
        let extent = self.spool.reserve(self.size - base).await;
        let mut state = self.state();
        state.refused = extent.is_none();
        state.stored = extent.map(|extent| Stored { extent, from: base, to: base, broken: false });
        !state.refused
    }

    /// Writes the part of the window to the spool that is not there yet.
    async fn store(&self) {
        loop {
            let Some((extent, at, to, pieces)) = self.state().unstored() else { return };
            let written = extent.write(at, pieces).await;
            let mut state = self.state();
            if let Some(stored) = &mut state.stored {
                match written {
                    Ok(()) => stored.to = to,
                    Err(_) => stored.broken = true,
                }
            }
            state.without_disk();
            state.wake_all();
        }
    }

    /// Waits for the next piece for a destination, and returns it; `None` after the last.
    async fn next(&self, number: usize, stream: u32) -> std::io::Result<Option<Bytes>> {
        loop {
            let next = self.state().next(number, stream, self.size);
            let piece = match next {
                Next::End => return Ok(None),
                Next::Lost(why) => return Err(std::io::Error::other(why)),
                Next::Nothing(woken) => {
                    woken.notified().await;
                    continue;
                }
                Next::Piece(piece) => piece,
                Next::Stored(extent, at, length) => extent.read(at, length).await?,
            };
            if let Some(seat) = self.state().reader(number, stream) {
                seat.position += piece.len() as u64;
            }
            self.moved.notify_one();
            return Ok(Some(piece));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end of a destination.
struct Reading {
    relay: Arc<Relay>,
    number: usize,
    stream: u32,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(seat) = self.relay.state().reader(self.number, self.stream) {
            // A destination whose upload has failed does not delay the others while it prepares another attempt.
            seat.mode = Mode::Between;
        }
        self.relay.moved.notify_one();
    }
}
