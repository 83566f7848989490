//! Tests of the relay on a paused clock.

use futures_util::future::join_all;
use proptest::prelude::*;

use super::*;
use crate::copy::spool::SpoolSettings;
use crate::error::ErrorKind;

const PIECE: usize = 64 * 1024;

fn spool(limit: u64) -> Spool {
    Spool::new(SpoolSettings { limit, ..SpoolSettings::default() })
}

/// Returns a blob of the given number of windows, in which no two pieces are equal.
fn blob(windows: usize) -> Vec<u8> {
    (0..windows * 4 * 1024 * 1024).map(|at| (at / 7 + at / PIECE) as u8).collect()
}

fn source(content: &[u8]) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::iter(content.chunks(PIECE).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>())
}

fn relay(content: &[u8], spool: &Spool, destinations: usize) -> Arc<Relay> {
    Arc::new(Relay::new(
        content.len() as u64,
        spool.clone(),
        (0..destinations).map(|number| (number, PATIENCE)),
    ))
}

/// Reads a stream with a pause after each piece, and then leaves.
async fn take(relay: &Arc<Relay>, number: usize, pause: Duration) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut pieces = relay.stream(number).expect("the start of the blob is available");
    while let Some(piece) = pieces.next().await {
        sleep(pause).await;
        all.extend_from_slice(&piece?);
    }
    drop(pieces);
    relay.leave(number);
    Ok(all)
}

async fn read(relay: &Arc<Relay>, content: &[u8]) {
    relay.read(source(content)).await;
    relay.settle().await;
}

#[tokio::test(start_paused = true)]
async fn equally_fast_destinations_do_not_use_the_spool() {
    let (content, spool) = (blob(4), spool(1 << 30));
    let relay = relay(&content, &spool, 5);
    let taking = join_all((0..5).map(|number| take(&relay, number, Duration::from_millis(1))));
    let (all, ()) = join(taking, read(&relay, &content)).await;
    assert!(all.into_iter().all(|got| got.unwrap() == content));
    assert_eq!(spool.written(), 0);
}

/// If the local network is the bottleneck, all destinations are equally slow and none is behind.
#[tokio::test(start_paused = true)]
async fn equally_slow_destinations_do_not_use_the_spool() {
    let (content, spool) = (blob(2), spool(1 << 30));
    let relay = relay(&content, &spool, 4);
    let taking = join_all((0..4).map(|number| take(&relay, number, Duration::from_millis(700))));
    let (all, ()) = join(taking, relay.read(source(&content))).await;
    assert!(all.into_iter().all(|got| got.unwrap() == content));
    assert_eq!(spool.written(), 0);
}

/// The slow destination delays the others no longer than its patience, then reads everything from the spool at its own pace. From
/// then on the blob needs no memory.
#[tokio::test(start_paused = true)]
async fn a_destination_that_is_behind_continues_from_the_spool() {
    let (content, spool) = (blob(8), spool(1 << 30));
    let relay = relay(&content, &spool, 2);
    let started = Instant::now();
    let reading = async {
        let (fast, ()) = join(take(&relay, 0, Duration::from_millis(1)), read(&relay, &content)).await;
        assert!(fast.unwrap() == content);
        started.elapsed()
    };
    let (slow, settled_after) = join(take(&relay, 1, Duration::from_secs(1)), reading).await;
    assert!(slow.unwrap() == content);
    assert!(settled_after < Duration::from_secs(8), "{settled_after:?}");
    assert!(started.elapsed() > Duration::from_secs(100), "the slow destination reads at its own pace");
    assert!(
        spool.written() > 0 && spool.written() < content.len() as u64,
        "only the part from its position on is spooled"
    );
}

/// One extent serves all destinations that are behind.
#[tokio::test(start_paused = true)]
async fn destinations_that_are_behind_share_one_extent() {
    let (content, spool) = (blob(4), spool(1 << 30));
    let relay = relay(&content, &spool, 4);
    let taking = join_all(
        (0..4).map(|n| take(&relay, n, Duration::from_millis(if n == 0 { 1 } else { 900 + n as u64 }))),
    );
    let (all, ()) = join(taking, read(&relay, &content)).await;
    assert!(all.into_iter().all(|got| got.unwrap() == content));
    assert!(spool.written() <= content.len() as u64);
}

/// A destination that has not started is treated like one that is behind from the first byte on.
#[tokio::test(start_paused = true)]
async fn a_late_destination_and_its_retry_are_served_from_the_spool() {
    let (content, spool) = (blob(3), spool(1 << 30));
    let relay = relay(&content, &spool, 2);
    let (fast, ()) = join(take(&relay, 0, Duration::ZERO), read(&relay, &content)).await;
    assert!(fast.unwrap() == content);
    let mut first = relay.stream(1).unwrap();
    first.next().await.unwrap().unwrap();
    drop(first);
    assert!(take(&relay, 1, Duration::ZERO).await.unwrap() == content, "the second attempt");
    assert_eq!(spool.written(), content.len() as u64);
}

/// A destination whose upload has failed can read a blob that fits into the window again, until no destination needs it.
#[tokio::test(start_paused = true)]
async fn further_attempts_for_a_small_blob_are_served_from_memory() {
    let content = blob(1);
    let spool = spool(0);
    let relay = relay(&content, &spool, 1);
    relay.read(source(&content)).await;
    for _ in 0..3 {
        let mut failing = relay.stream(0).unwrap();
        failing.next().await.unwrap().unwrap();
    }
    assert!(take(&relay, 0, Duration::ZERO).await.unwrap() == content);
    relay.settle().await;
    assert!(relay.stream(0).is_none(), "the blob is released then");
}

/// Without a spool, a destination that is behind is dropped, and the others continue.
#[tokio::test(start_paused = true)]
async fn without_disk_space_a_destination_that_is_behind_is_dropped() {
    let missing = SpoolSettings { directory: Some("/nonexistent".into()), limit: 1 << 30 };
    for spool in [spool(0), Spool::new(missing), Spool::on_a_failing_disk()] {
        let content = blob(8);
        let relay = relay(&content, &spool, 2);
        let taking = join(take(&relay, 0, Duration::ZERO), take(&relay, 1, Duration::from_secs(5)));
        let started = Instant::now();
        let reading = async {
            relay.read(source(&content)).await;
            started.elapsed()
        };
        let ((fast, slow), read_after) = join(taking, reading).await;
        assert!(fast.unwrap() == content);
        assert!(slow.is_err_and(|error| error.to_string().contains("let go")));
        assert!(read_after < LAST_PATIENCE + Duration::from_secs(1), "{read_after:?}");
        assert!(relay.stream(1).is_none(), "another attempt needs another read");
    }
}

/// If no destination takes any data, the source does not wait forever.
#[tokio::test(start_paused = true)]
async fn a_stalled_stream_goes_to_the_spool() {
    let (content, spool) = (blob(3), spool(1 << 30));
    let relay = relay(&content, &spool, 1);
    let _idle = relay.stream(0).unwrap();
    read(&relay, &content).await;
    assert_eq!(spool.written(), content.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_window_is_kept_in_memory() {
    let (content, spool) = (blob(4), spool(1 << 30));
    let relay = relay(&content, &spool, 2);
    let most = Mutex::new(0);
    let watched = source(&content).inspect(|_| {
        let kept: usize = relay.state().window.iter().map(|(_, piece)| piece.len()).sum();
        let mut most = most.lock().unwrap();
        *most = kept.max(*most);
    });
    let taking = join(take(&relay, 0, Duration::ZERO), take(&relay, 1, Duration::from_millis(900)));
    let reading = async {
        relay.read(watched).await;
        relay.settle().await;
        assert!(relay.state().window.is_empty(), "the slow destination is served only from the spool");
    };
    let ((fast, slow), ()) = join(taking, reading).await;
    assert!(fast.unwrap() == content && slow.unwrap() == content);
    let most = most.into_inner().unwrap() as u64;
    assert!(most <= WINDOW + PIECE as u64, "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_source_fails_all_destinations() {
    let content = blob(1);
    let spool = spool(1 << 30);
    let relay = relay(&content, &spool, 2);
    let failing = || Error::new("reading", ErrorKind::Content("gone".to_owned()));
    let broken = source(&content[..PIECE * 3]).chain(stream::iter([Err(failing())]));
    let taking = join_all((0..2).map(|number| take(&relay, number, Duration::from_secs(1))));
    let (all, ()) = join(taking, relay.read(broken)).await;
    assert!(all.into_iter().all(|got| got.is_err()));
    assert!(relay.failure().unwrap().text.contains("gone"));
}

#[tokio::test(start_paused = true)]
async fn without_destinations_the_source_is_not_read() {
    let (content, spool) = (blob(2), spool(1 << 30));
    let relay = relay(&content, &spool, 1);
    relay.leave(0);
    relay.read(source(&content)).await;
    assert_eq!(relay.state().head, 0);
    assert!(relay.stream(0).is_none());
}

/// Without a disk, or if the disk fails, destinations that are all slow keep reading from the window.
#[tokio::test(start_paused = true)]
async fn without_a_disk_slow_destinations_read_from_the_window() {
    for spool in [spool(0), Spool::on_a_failing_disk()] {
        let content = blob(3);
        let relay = relay(&content, &spool, 2);
        let taking = join_all((0..2).map(|number| take(&relay, number, STANDSTILL + Duration::from_secs(1))));
        let (all, ()) = join(taking, relay.read(source(&content))).await;
        assert!(all.into_iter().all(|got| got.is_ok_and(|got| got == content)));
    }
}

/// A failed upload may keep reading from its stream after the next one has started.
#[tokio::test(start_paused = true)]
async fn an_outdated_stream_does_not_affect_the_next_one() {
    let (content, spool) = (blob(1), spool(0));
    let relay = relay(&content, &spool, 1);
    relay.read(source(&content)).await;
    let mut over = relay.stream(0).unwrap();
    over.next().await.unwrap().unwrap();
    let mut next = relay.stream(0).unwrap();
    next.next().await.unwrap().unwrap();
    assert!(over.next().await.unwrap().is_err());
    drop(over);
    let mut rest = PIECE;
    while let Some(piece) = next.next().await {
        rest += piece.unwrap().len();
    }
    assert_eq!(rest, content.len());
}

/// A destination that starts at some time, pauses after each piece, and fails several times on its way.
#[derive(Clone, Debug)]
struct Visitor {
    starts: u64,
    pause: u64,
    fails: Vec<usize>,
}

prop_compose! {
    fn visitor()(
        starts in 0_u64..3_000, pause in prop::sample::select(vec![0_u64, 1, 10, 100, 1_000]),
        fails in proptest::collection::vec(0_usize..60, 0..3),
    ) -> Visitor {
        Visitor { starts, pause, fails }
    }
}

/// Reads everything. Returns `None` if the destination was dropped or restarted too late.
async fn visit(relay: &Arc<Relay>, number: usize, visitor: &Visitor) -> Option<Vec<u8>> {
    sleep(Duration::from_millis(visitor.starts)).await;
    for fails in visitor.fails.iter().map(|at| Some(*at)).chain([None]) {
        let mut pieces = relay.stream(number)?;
        let mut all = Vec::new();
        while fails != Some(all.len() / PIECE) {
            sleep(Duration::from_millis(visitor.pause)).await;
            match pieces.next().await {
                Some(Ok(piece)) => all.extend_from_slice(&piece),
                Some(Err(_)) => return None,
                None => return Some(all),
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// For any start times, speeds and disk space: all destinations end, each receives exactly the blob or nothing, and memory
    /// stays bounded at all times. With enough disk space, all destinations that do not fail receive the blob.
    #[test]
    fn every_destination_gets_all_or_nothing(
        visitors in proptest::collection::vec(visitor(), 1..5),
        limit in prop::sample::select(vec![0, 5 << 20, 1 << 30]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let content = blob(2);
        let (got, most) = runtime.block_on(async {
            let relay = &relay(&content, &spool(limit), visitors.len());
            let visiting = join_all(visitors.iter().enumerate().map(|(number, visitor)| async move {
                let got = visit(relay, number, visitor).await;
                relay.leave(number);
                got
            }));
            let most = Mutex::new(0);
            let watched = source(&content).inspect(|_| {
                let kept: usize = relay.state().window.iter().map(|(_, piece)| piece.len()).sum();
                let mut most = most.lock().unwrap();
                *most = kept.max(*most);
            });
            let reading = async {
                relay.read(watched).await;
                relay.settle().await;
                assert!(relay.state().window.is_empty());
            };
            let (got, ()) = tokio::time::timeout(Duration::from_secs(3_600), join(visiting, reading)).await?;
            let most = most.into_inner().unwrap() as u64;
            Ok::<_, tokio::time::error::Elapsed>((got, most))
        })?;
        prop_assert!(most <= WINDOW + PIECE as u64);
        for (visitor, got) in visitors.iter().zip(got) {
            prop_assert!(got.is_some() || limit < 1 << 30 || !visitor.fails.is_empty(), "{visitor:?} got nothing");
            prop_assert!(got.is_none_or(|got| got == content));
        }
    }
}
