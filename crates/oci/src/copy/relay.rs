//! One stream to many: what is read once is handed to every destination, the fastest setting the pace.
//!
//! What has come is kept in a window of bounded size. A destination that falls behind it holds up the others for a moment;
//! then the stream, from where that destination stands, goes to the spool as well, and it reads on from there. It is let go,
//! to be served by another read of the source, only where the spool has no room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::spool::{Extent, Spool};
use crate::error::Error;

/// The most that is kept of a blob in memory, in bytes, not counting the piece that goes beyond it.
pub(super) const WINDOW: u64 = 4 * 1024 * 1024;
/// How long, in sum, a destination may hold up the others over one blob before it is served from the spool.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The same where the spool has no room: then the destination is let go.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// How long a stream may stand still because no destination takes anything, before the rest goes to the spool.
const STANDSTILL: Duration = Duration::from_secs(10);
/// The same where the spool has no room. Requests have timeouts of their own; this is for uploads that are not even admitted.
const STUCK: Duration = Duration::from_secs(300);
/// How long what has all been read stays in memory for its destinations, before any of them is done. From then on it stays
/// as long as the others would be waited for.
const AT_THE_LONGEST: Duration = Duration::from_secs(5);
/// How much is read from the spool at once, in bytes.
const FROM_SPOOL: usize = 256 * 1024;

/// A stream under way to its destinations, which are known by numbers of the caller's.
#[derive(Debug)]
pub(super) struct Relay {
    size: u64,
    spool: Spool,
    state: Mutex<State>,
    /// A destination has taken something, or has gone.
    moved: Notify,
}

/// Why the source failed.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) text: String,
    pub(super) temporary: bool,
}

impl From<&Error> for Cause {
    fn from(error: &Error) -> Self {
        Self { text: error.to_string(), temporary: error.is_temporary() }
    }
}

#[derive(Debug)]
struct State {
    /// What is in memory, each piece with its place in the blob.
    window: VecDeque<(u64, Bytes)>,
    /// Where the window begins: what is before it is in the spool, or gone.
    base: u64,
    /// How much has come from the source.
    head: u64,
    seats: BTreeMap<usize, Seat>,
    stored: Option<Stored>,
    /// The spool has been asked for room in vain.
    refused: bool,
    end: Option<End>,
    first_gone: Option<Instant>,
}

/// The stream from some place on, as far as it is in the spool.
#[derive(Debug)]
struct Stored {
    extent: Arc<Extent>,
    from: u64,
    to: u64,
    /// The disk takes no more.
    broken: bool,
}

#[derive(Debug)]
enum End {
    Read,
    Failed(Cause),
    /// Nobody listens any more.
    Abandoned,
}

/// One destination.
#[derive(Debug)]
struct Seat {
    position: u64,
    mode: Mode,
    held_up: Duration,
    patience: Duration,
    woken: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Takes its pieces from the window, which waits for it.
    Window,
    /// Has fallen behind: takes what the spool has.
    Spool,
    /// Its upload has failed; it may come back for all of it.
    Between,
    /// Has fallen behind, and the spool has no room.
    LetGo,
}

/// What there is for a destination.
enum Next {
    Piece(Bytes),
    Stored(Arc<Extent>, u64, usize),
    Nothing(Arc<Notify>),
    End,
    Lost(&'static str),
}

/// What the reading end does next.
enum Step {
    Read,
    Wait,
    Over,
}

impl Relay {
    /// A stream of `size` bytes that has not begun, for these destinations; each with how long it may hold up the others.
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

    /// The whole blob for a destination, as a stream that fails where the source does or the destination is let go; `None`
    /// where its beginning is neither in memory nor in the spool any more.
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
        drop(state);
        let reading = Some(Reading { relay: Arc::clone(self), number });
        let pieces = stream::unfold(reading, |reading| async move {
            let reading = reading?;
            match reading.relay.next(reading.number).await {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Some(pieces.boxed())
    }

    /// A destination wants nothing more.
    pub(super) fn leave(&self, number: usize) {
        let mut state = self.state();
        if state.seats.remove(&number).is_some() {
            state.first_gone.get_or_insert_with(Instant::now);
        }
        drop(state);
        self.moved.notify_one();
    }

    /// Forgets the destinations that want nothing any more.
    pub(super) fn retain(&self, wants: impl Fn(usize) -> bool) {
        self.state().seats.retain(|number, _| wants(*number));
        self.moved.notify_one();
    }

    /// Whether a destination has fallen behind.
    pub(super) fn is_behind(&self, number: usize) -> bool {
        let state = self.state();
        state.seats.get(&number).is_some_and(|seat| matches!(seat.mode, Mode::Spool | Mode::LetGo))
    }

    /// Why the source failed, where it did.
    pub(super) fn failure(&self) -> Option<Cause> {
        match &self.state().end {
            Some(End::Failed(cause)) => Some(cause.clone()),
            _ => None,
        }
    }

    /// Every stream of it fails.
    pub(super) fn fail(&self, error: &Error) {
        self.end(End::Failed(error.into()));
    }

    /// Reads the source to its end, its failure, or until no destination is left.
    pub(super) async fn read(&self, source: impl Stream<Item = Result<Bytes, Error>>) {
        let mut source = std::pin::pin!(source);
        loop {
            match self.step() {
                Step::Over => return self.end(End::Abandoned),
                Step::Wait => self.wait_for_room().await,
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

    /// Waits until nothing has to be kept in memory: because all destinations have what they want, or because those that are
    /// behind have it in the spool. Where the spool has no room this lasts as long as they do.
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

    /// Has every destination served from the spool.
    async fn spool_all(&self) {
        if self.reserve().await {
            let mut state = self.state();
            state
                .seats
                .values_mut()
                .filter(|seat| seat.mode == Mode::Window)
                .for_each(|s| s.mode = Mode::Spool);
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
        if state.has_room(self.size) { Step::Read } else { Step::Wait }
    }

    /// Waits until the window has room, at the cost of those that are behind it.
    async fn wait_for_room(&self) {
        let mut still_since = Instant::now();
        loop {
            self.store().await;
            let wait = {
                let mut state = self.state();
                if state.has_room(self.size) || !state.seats.values().any(Seat::listens) {
                    return;
                }
                state.patience(still_since)
            };
            let waiting_since = Instant::now();
            let is_over = tokio::select! {
                () = self.moved.notified() => false,
                () = sleep(wait.time) => true,
            };
            if wait.hungry {
                self.state().charge(&wait.behind, waiting_since.elapsed());
            }
            if is_over {
                self.overtake(wait.hungry).await;
            }
            if !is_over || wait.hungry {
                still_since = Instant::now();
            }
        }
    }

    /// Has those that the window waits for served from the spool, or lets them go where there is no room; where somebody is
    /// hungry only those whose time is up.
    async fn overtake(&self, hungry: bool) {
        let is_stored = self.reserve().await;
        let mut state = self.state();
        let floor = state.floor();
        for seat in state.seats.values_mut().filter(|seat| seat.mode == Mode::Window && seat.position < floor)
        {
            if is_stored && (!hungry || seat.held_up >= seat.patience) {
                seat.mode = Mode::Spool;
            } else if !is_stored && (!hungry || seat.held_up >= LAST_PATIENCE) {
                seat.mode = Mode::LetGo;
                seat.woken.notify_one();
            }
        }
    }

    /// Sees to it that the stream goes to the spool, from where the window begins; `false` where it has no room.
    async fn reserve(&self) -> bool {
        let base = {
            let state = self.state();
            match &state.stored {
                Some(stored) => return !stored.broken,
                None if state.refused => return false,
                None => state.base,
            }
        };
        // The window does not move in the meantime: only the reading end, which waits here, moves it.
        let extent = self.spool.reserve(self.size - base).await;
        let mut state = self.state();
        state.refused = extent.is_none();
        state.stored = extent.map(|extent| Stored { extent, from: base, to: base, broken: false });
        !state.refused
    }

    /// Writes to the spool what it lacks of the window.
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

    /// The next piece for a destination, once it is there; `None` after the last.
    async fn next(&self, number: usize) -> std::io::Result<Option<Bytes>> {
        loop {
            let next = self.state().next(number, self.size);
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
            if let Some(seat) = self.state().seats.get_mut(&number) {
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

/// How long to wait for those that are behind.
struct Wait {
    time: Duration,
    /// Whether anybody is held up: has taken all there is.
    hungry: bool,
    behind: Vec<usize>,
}

impl Seat {
    fn new(patience: Duration) -> Self {
        Self { position: 0, mode: Mode::Window, held_up: Duration::ZERO, patience, woken: Arc::default() }
    }

    /// One that was let go, or whose upload has failed, does not make anybody read on.
    fn listens(&self) -> bool {
        matches!(self.mode, Mode::Window | Mode::Spool)
    }

    /// Whether it keeps the window where it is, whose first piece ends at `floor`.
    fn is_behind(&self, floor: u64) -> bool {
        self.mode == Mode::Window && self.position < floor
    }
}

impl State {
    fn wake_all(&self) {
        self.seats.values().for_each(|seat| seat.woken.notify_one());
    }

    /// Whether another piece may come into the window; takes out what all have, but only to make room, so that who fails
    /// early can begin anew.
    fn has_room(&mut self, size: u64) -> bool {
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

    /// What is before this is needed in memory by nobody.
    fn needed_from(&self) -> u64 {
        let waiting = self.seats.values().filter(|seat| seat.mode == Mode::Window).map(|seat| seat.position);
        let storing = self.stored.iter().filter(|stored| !stored.broken).map(|stored| stored.to);
        waiting.chain(storing).min().unwrap_or(self.head)
    }

    /// The end of the window's first piece: whoever has not got so far keeps it there.
    fn floor(&self) -> u64 {
        self.window.front().map_or(self.head, |(at, piece)| at + piece.len() as u64)
    }

    fn patience(&self, still_since: Instant) -> Wait {
        let floor = self.floor();
        let behind = || self.seats.iter().filter(move |(_, seat)| seat.is_behind(floor));
        let hungry = self.seats.values().any(|seat| seat.listens() && seat.position == self.head);
        let left = |seat: &Seat| {
            let patience = if self.refused { LAST_PATIENCE } else { seat.patience };
            patience.saturating_sub(seat.held_up)
        };
        let standstill = if self.refused { STUCK } else { STANDSTILL };
        let time = if hungry {
            behind().map(|(_, seat)| left(seat)).min().unwrap_or_default()
        } else {
            standstill.saturating_sub(still_since.elapsed())
        };
        Wait { time, hungry, behind: behind().map(|(number, _)| *number).collect() }
    }

    /// Puts time that somebody was held up for to the account of those that were behind.
    fn charge(&mut self, behind: &[usize], time: Duration) {
        for number in behind {
            if let Some(seat) = self.seats.get_mut(number) {
                seat.held_up += time;
            }
        }
    }

    /// What of the window is not yet in the spool though it should be: where it goes, up to where it then reaches, and itself.
    fn unstored(&self) -> Option<(Arc<Extent>, u64, u64, Vec<Bytes>)> {
        let stored = self.stored.as_ref().filter(|stored| !stored.broken && stored.to < self.head)?;
        let first = self.window.partition_point(|(at, _)| *at < stored.to);
        let pieces: Vec<Bytes> = self.window.range(first..).map(|(_, piece)| piece.clone()).collect();
        Some((Arc::clone(&stored.extent), stored.to - stored.from, self.head, pieces))
    }

    /// Where the disk has failed, those that were to read from it go back to the window, if they can.
    fn without_disk(&mut self) {
        if self.stored.as_ref().is_some_and(|stored| stored.broken) {
            self.refused = true;
            let base = self.base;
            let behind = self.seats.values_mut().filter(|seat| seat.mode == Mode::Spool);
            for seat in behind.filter(|seat| seat.position >= base) {
                seat.mode = Mode::Window;
            }
        }
    }

    fn next(&self, number: usize, size: u64) -> Next {
        let Some(seat) = self.seats.get(&number) else { return Next::Lost("it is given up") };
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
        if seat.mode == Mode::LetGo || is_behind || matches!(self.end, Some(End::Abandoned)) {
            return Next::Lost("let go, to be served later");
        }
        Next::Nothing(Arc::clone(&seat.woken))
    }

    /// What the window has from a place on, to the end of the piece.
    fn in_memory(&self, position: u64) -> Option<Bytes> {
        let after = self.window.partition_point(|(at, _)| *at <= position);
        let (at, piece) = self.window.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(position - at).ok().filter(|skip| *skip < piece.len())?;
        Some(piece.slice(skip..))
    }

    /// Whether anybody, now that all has been read, still needs what is in memory. A blob that is in memory as a whole is kept
    /// for those that may have to begin anew.
    fn needs_memory(&self, size: u64) -> bool {
        let is_stored = self.stored.as_ref().is_some_and(|stored| !stored.broken && stored.to == size);
        let is_whole = self.base == 0;
        let needs = |seat: &Seat| match seat.mode {
            Mode::Window | Mode::Spool => is_whole || seat.position < size,
            Mode::Between => is_whole,
            Mode::LetGo => false,
        };
        matches!(self.end, Some(End::Read)) && !is_stored && self.seats.values().any(needs)
    }

    /// Nothing is kept in memory any more.
    fn clear(&mut self) {
        self.window.clear();
        self.base = self.head;
    }
}

/// A destination's end of the stream.
struct Reading {
    relay: Arc<Relay>,
    number: usize,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(seat) = self.relay.state().seats.get_mut(&self.number) {
            // Who has failed holds up nobody while it gets ready for another attempt.
            seat.mode = Mode::Between;
        }
        self.relay.moved.notify_one();
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
