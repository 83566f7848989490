//! One stream to many: a blob is read once and sent to every destination that lacks it, at the same time.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::blob::BlobStream;
use crate::error::Error;

/// How many pieces of the stream a destination may be behind the fastest.
const DRIFT: usize = 32;

/// How long, in sum, one destination may hold up the others over one blob. Then it is let go, to be served later.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a stream may stand still because no destination takes anything. Their requests have timeouts of their own; this
/// is for an upload that its host does not even admit.
const STUCK: Duration = Duration::from_secs(300);

/// One destination of a stream.
struct Branch {
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    held_up: Duration,
}

/// The sending end: takes pieces from the source and gives them to every branch.
#[derive(Default)]
pub(super) struct Fan {
    branches: Vec<Branch>,
}

impl Fan {
    /// Adds a destination and gives the stream that it is to send, of `length` bytes. The stream ends with an error unless
    /// all of them have gone through it.
    pub(super) fn branch(&mut self, length: u64) -> BoxStream<'static, std::io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(DRIFT);
        self.branches.push(Branch { sender, held_up: Duration::ZERO });
        let state = Some((receiver, length));
        stream::unfold(state, |state| async move {
            let (mut receiver, left) = state?;
            match receiver.recv().await {
                Some(Ok(piece)) => {
                    let left = left.saturating_sub(piece.len() as u64);
                    Some((Ok(piece), Some((receiver, left))))
                }
                Some(Err(error)) => Some((Err(error), None)),
                None if left > 0 => Some((Err(std::io::Error::other("let go, to be served later")), None)),
                None => None,
            }
        })
        .boxed()
    }

    /// Passes a blob on until its end, its failure, or until no destination listens any more.
    ///
    /// # Errors
    /// When the source fails; every destination then sees its stream fail, and completes nothing.
    pub(super) async fn pass_on(mut self, source: &mut BlobStream) -> Result<(), Error> {
        while !self.branches.is_empty() {
            match source.next().await {
                Ok(Some(piece)) => self.give(&piece).await,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let failed = || Err(std::io::Error::other("the source failed"));
                    join_all(self.branches.iter().map(|branch| branch.sender.send(failed()))).await;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives a piece to every branch. The first to take it sets the time: only what others need beyond that holds anybody
    /// up, so destinations that are all equally slow are all waited for.
    async fn give(&mut self, piece: &Bytes) {
        let (first, taken) = watch::channel(false);
        let taking = std::mem::take(&mut self.branches).into_iter().map(|branch| {
            let (first, taken) = (&first, taken.clone());
            async move {
                let kept = branch.take(piece.clone(), taken).await;
                first.send_if_modified(|is_taken| !std::mem::replace(is_taken, true) && kept.is_some());
                kept
            }
        });
        self.branches = join_all(taking).await.into_iter().flatten().collect();
    }
}

impl Branch {
    /// Queues a piece. `None`: the destination has gone, or has used up everybody's patience. `taken` tells when another
    /// one has the piece.
    async fn take(mut self, piece: Bytes, mut taken: watch::Receiver<bool>) -> Option<Self> {
        let piece = match self.sender.try_send(Ok(piece)) {
            Ok(()) => return Some(self),
            Err(TrySendError::Closed(_)) => return None,
            Err(TrySendError::Full(piece)) => piece,
        };
        let sender = self.sender.clone();
        let mut sending = std::pin::pin!(sender.send(piece));
        tokio::select! {
            sent = &mut sending => return sent.is_ok().then_some(self),
            _ = taken.wait_for(|taken| *taken) => {}
            () = sleep(STUCK) => return None,
        }
        let held_up_since = Instant::now();
        let sent = timeout(PATIENCE.saturating_sub(self.held_up), sending).await;
        self.held_up += held_up_since.elapsed();
        matches!(sent, Ok(Ok(()))).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_destination_that_never_takes_anything_is_let_go_and_the_others_go_on() {
        let mut fan = Fan::default();
        let mut fast = fan.branch(500);
        let _slow = fan.branch(500);
        let reading = tokio::spawn(async move {
            let mut pieces = 0;
            while let Some(Ok(_)) = fast.next().await {
                pieces += 1;
            }
            pieces
        });
        let started = Instant::now();
        for _ in 0..100 {
            fan.give(&Bytes::from_static(b"piece")).await;
        }
        assert_eq!(fan.branches.len(), 1);
        assert!(started.elapsed() <= PATIENCE + Duration::from_secs(1));
        drop(fan);
        assert_eq!(reading.await.unwrap(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_destination_is_waited_for() {
        let mut fan = Fan::default();
        let mut slow = fan.branch(250);
        let reading = tokio::spawn(async move {
            let mut pieces = 0;
            while let Some(Ok(_)) = slow.next().await {
                tokio::time::sleep(Duration::from_secs(5)).await;
                pieces += 1;
            }
            pieces
        });
        for _ in 0..50 {
            fan.give(&Bytes::from_static(b"piece")).await;
        }
        drop(fan);
        assert_eq!(reading.await.unwrap(), 50);
    }

    /// Where our own line is what is slow, nobody is to blame, and nobody is let go.
    #[tokio::test(start_paused = true)]
    async fn destinations_that_are_all_equally_slow_are_all_waited_for() {
        let mut fan = Fan::default();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let mut slow = fan.branch(1000);
                tokio::spawn(async move {
                    let mut pieces = 0;
                    while let Some(Ok(_)) = slow.next().await {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        pieces += 1;
                    }
                    pieces
                })
            })
            .collect();
        for _ in 0..200 {
            fan.give(&Bytes::from_static(b"piece")).await;
        }
        assert_eq!(fan.branches.len(), 4);
        drop(fan);
        for reader in readers {
            assert_eq!(reader.await.unwrap(), 200);
        }
    }
}
