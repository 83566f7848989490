//! The state of a relay: window, spool and destinations. Nothing in this file waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cause::Cause;
use super::limits::{LAST_PATIENCE, STANDSTILL, STUCK, WINDOW};
use crate::copy::spool::Extent;

/// How much is read from the spool at once, in bytes.
const FROM_SPOOL: usize = 256 * 1024;

/// The progress of all destinations, and the data that is available to them.
#[derive(Debug)]
pub(super) struct State {
    /// The pieces in memory, each with its offset in the blob.
    pub(super) window: VecDeque<(u64, Bytes)>,
    /// The offset at which the window starts. Data before it is in the spool or gone.
    pub(super) base: u64,
    /// How much has been read from the source.
    pub(super) head: u64,
    pub(super) seats: BTreeMap<usize, Seat>,
    pub(super) stored: Option<Stored>,
    /// Whether the spool had no space.
    pub(super) refused: bool,
    pub(super) end: Option<End>,
    pub(super) first_gone: Option<Instant>,
}

/// The part of the stream that is in the spool.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) extent: Arc<Extent>,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether a write to the disk has failed.
    pub(super) broken: bool,
}

/// How the stream has ended.
#[derive(Debug)]
pub(super) enum End {
    /// The source was read completely.
    Read,
    Failed(Cause),
    /// No destination was left.
    Abandoned,
}

/// One destination.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) position: u64,
    pub(super) mode: Mode,
    /// The number of its current stream: a failed upload may keep reading from an earlier one for a while.
    pub(super) stream: u32,
    pub(super) held_up: Duration,
    pub(super) patience: Duration,
    pub(super) woken: Arc<Notify>,
}

/// Where a destination reads its pieces from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It reads from the window, which waits for it.
    Window,
    /// It has fallen behind and reads from the spool.
    Spool,
    /// Its upload has failed; it may read the blob again from the start.
    Between,
    /// It has fallen behind, and the spool is full.
    Dropped,
}

/// The next data for a destination.
pub(super) enum Next {
    Piece(Bytes),
    Stored(Arc<Extent>, u64, usize),
    Nothing(Arc<Notify>),
    End,
    Lost(&'static str),
}

/// How long to wait for the destinations that are behind.
pub(super) struct Wait {
    pub(super) time: Duration,
    /// Whether a destination is delayed: it has taken all data that is available.
    pub(super) starved: bool,
    pub(super) behind: Vec<usize>,
}

impl Seat {
    pub(super) fn new(patience: Duration) -> Self {
        let (held_up, woken) = (Duration::ZERO, Arc::default());
        Self { position: 0, mode: Mode::Window, stream: 0, held_up, patience, woken }
    }

    /// Returns `true` if the source must be read further for this destination. A dropped destination, or one whose upload has
    /// failed, does not count.
    pub(super) fn listens(&self) -> bool {
        matches!(self.mode, Mode::Window | Mode::Spool)
    }

    /// Returns `true` if the destination keeps the first piece of the window, which ends at `floor`, in memory.
    pub(super) fn is_behind(&self, floor: u64) -> bool {
        self.mode == Mode::Window && self.position < floor
    }
}

impl State {
    pub(super) fn wake_all(&self) {
        self.seats.values().for_each(|seat| seat.woken.notify_one());
    }

    /// Returns `true` if the window can take another piece. Removes pieces that all destinations have, but only when the window
    /// is full, so that an upload that fails early can start over.
    pub(super) fn has_space(&mut self, size: u64) -> bool {
        let is_full = |state: &Self| state.head < size && state.head - state.base >= WINDOW;
        let needed = self.needed_from();
        while is_full(self) {
            match self.window.front() {
                Some((at, piece)) if at + piece.len() as u64 <= needed => {
                    self.base = at + piece.len() as u64;
                    self.window.pop_front();
                }
                _ => return false,
            }
        }
        true
    }

    /// Returns the offset before which no data is needed in memory.
    pub(super) fn needed_from(&self) -> u64 {
        let waiting = self.seats.values().filter(|seat| seat.mode == Mode::Window).map(|seat| seat.position);
        let storing = self.stored.iter().filter(|stored| !stored.broken).map(|stored| stored.to);
        waiting.chain(storing).min().unwrap_or(self.head)
    }

    /// Returns the end of the window's first piece. A destination before this offset keeps the piece in memory.
    pub(super) fn floor(&self) -> u64 {
        self.window.front().map_or(self.head, |(at, piece)| at + piece.len() as u64)
    }

    pub(super) fn patience(&self, still_since: Instant) -> Wait {
        let floor = self.floor();
        let behind = || self.seats.iter().filter(move |(_, seat)| seat.is_behind(floor));
        let starved = self.seats.values().any(|seat| seat.listens() && seat.position == self.head);
        let left = |seat: &Seat| {
            let patience = if self.refused { LAST_PATIENCE } else { seat.patience };
            patience.saturating_sub(seat.held_up)
        };
        let standstill = if self.refused { STUCK } else { STANDSTILL };
        let time = if starved {
            behind().map(|(_, seat)| left(seat)).min().unwrap_or_default()
        } else {
            standstill.saturating_sub(still_since.elapsed())
        };
        Wait { time, starved, behind: behind().map(|(number, _)| *number).collect() }
    }

    /// Adds a delay to the total of each destination that caused it.
    pub(super) fn charge(&mut self, behind: &[usize], time: Duration) {
        for number in behind {
            if let Some(seat) = self.seats.get_mut(number) {
                seat.held_up += time;
            }
        }
    }

    /// Returns the part of the window that must still be written to the spool: the extent, the offset in it, the end, and the
    /// pieces.
    pub(super) fn unstored(&self) -> Option<(Arc<Extent>, u64, u64, Vec<Bytes>)> {
        let stored = self.stored.as_ref().filter(|stored| !stored.broken && stored.to < self.head)?;
        let first = self.window.partition_point(|(at, _)| *at < stored.to);
        let pieces: Vec<Bytes> = self.window.range(first..).map(|(_, piece)| piece.clone()).collect();
        Some((Arc::clone(&stored.extent), stored.to - stored.from, self.head, pieces))
    }

    /// After a disk failure, moves the destinations that read from the spool back to the window, if the window has their data.
    pub(super) fn without_disk(&mut self) {
        if self.stored.as_ref().is_some_and(|stored| stored.broken) {
            self.refused = true;
            let base = self.base;
            let behind = self.seats.values_mut().filter(|seat| seat.mode == Mode::Spool);
            for seat in behind.filter(|seat| seat.position >= base) {
                seat.mode = Mode::Window;
            }
        }
    }

    pub(super) fn next(&self, number: usize, stream: u32, size: u64) -> Next {
        let Some(seat) = self.seats.get(&number).filter(|seat| seat.stream == stream) else {
            return Next::Lost("it is given up");
        };
        let position = seat.position;
        if let Some(End::Failed(_)) = &self.end {
            return Next::Lost("the source failed");
        }
        if position == size && matches!(self.end, Some(End::Read)) {
            return Next::End;
        }
        if let Some(piece) = self.in_memory(position) {
            return Next::Piece(piece);
        }
        let stored = self.stored.as_ref().filter(|stored| (stored.from..stored.to).contains(&position));
        if let Some(stored) = stored {
            let length =
                usize::try_from(stored.to - position).map_or(FROM_SPOOL, |left| left.min(FROM_SPOOL));
            return Next::Stored(Arc::clone(&stored.extent), position - stored.from, length);
        }
        let is_behind = position < self.base && self.stored.as_ref().is_none_or(|stored| stored.broken);
        if seat.mode == Mode::Dropped || is_behind || matches!(self.end, Some(End::Abandoned)) {
            return Next::Lost("let go, to be served later");
        }
        Next::Nothing(Arc::clone(&seat.woken))
    }

    /// Returns the destination of a stream, unless the destination has started another stream.
    pub(super) fn reader(&mut self, number: usize, stream: u32) -> Option<&mut Seat> {
        self.seats.get_mut(&number).filter(|seat| seat.stream == stream)
    }

    /// Returns the data in the window from an offset to the end of its piece.
    pub(super) fn in_memory(&self, position: u64) -> Option<Bytes> {
        let after = self.window.partition_point(|(at, _)| *at <= position);
        let (at, piece) = self.window.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(position - at).ok().filter(|skip| *skip < piece.len())?;
        Some(piece.slice(skip..))
    }

    /// Returns `true` if, after everything was read, a destination still needs the data in memory. A blob that is in memory as a
    /// whole is kept for destinations that may start over.
    pub(super) fn needs_memory(&self, size: u64) -> bool {
        let is_stored = self.stored.as_ref().is_some_and(|stored| !stored.broken && stored.to == size);
        let is_whole = self.base == 0;
        let needs = |seat: &Seat| match seat.mode {
            Mode::Window | Mode::Spool => is_whole || seat.position < size,
            Mode::Between => is_whole,
            Mode::Dropped => false,
        };
        matches!(self.end, Some(End::Read)) && !is_stored && self.seats.values().any(needs)
    }

    /// Releases all data in memory.
    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.base = self.head;
    }
}
