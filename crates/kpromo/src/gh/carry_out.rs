//! Carries out a plan: the only part of a run that writes.

use bytes::Bytes;
use files::{Condition, Error, ErrorKind, SMALL_MAX, Source, Target, Upload, is_written, memory, transfer};
use futures_util::stream::{BoxStream, StreamExt as _, iter, once};
use manifest::files::Sha256;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::asset::{Asset, Assets};
use super::outcome::{Copy, NotCopied, Outcome};
use super::plan::{Destination, Plan, PlannedAsset, StoreMap, Verdict};
use super::progress::Progress;

/// The number of assets that are copied concurrently. The limits of the hosts bound the number of requests.
const AT_ONCE: usize = 32;
/// The memory for content that is being copied, in KiB.
const MEMORY: u32 = 64 * 1024;
/// The minimum memory that an asset counts for, in KiB: its buffers and requests.
const LEAST: u32 = 64;

/// Carries out plans.
pub(super) struct Copying<'a> {
    pub(super) stores: &'a StoreMap,
    pub(super) assets: &'a Assets,
    pub(super) outcome: &'a Outcome,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a CancellationToken,
}

impl Copying<'_> {
    /// Writes the objects that are absent. An asset that fails does not stop the others.
    pub(super) async fn carry_out(&self, plan: &Plan) {
        let open: Vec<&PlannedAsset> =
            plan.assets.iter().filter(|planned| planned.writes().next().is_some()).collect();
        if open.is_empty() {
            return;
        }
        self.progress.begin(open.len());
        let budget = Semaphore::new(MEMORY as usize);
        let copies = iter(open.into_iter().map(|planned| self.one(planned, &budget)));
        copies.buffer_unordered(AT_ONCE).collect::<()>().await;
        self.progress.end();
    }

    async fn one(&self, planned: &PlannedAsset, budget: &Semaphore) {
        let places: Vec<&Destination> = planned.writes().collect();
        let size = planned.asset.size;
        let cost = u32::try_from(memory(size, places.len()) / 1024).unwrap_or(MEMORY).clamp(LEAST, MEMORY);
        let permit = tokio::select! {
            permit = budget.acquire_many(cost) => permit.ok(),
            () = self.stop.cancelled() => None,
        };
        if permit.is_none() || self.stop.is_cancelled() {
            self.outcome.done().not_begun += places.len();
            return;
        }
        let results = self.copy(planned, &places).await;
        for (place, result) in places.iter().zip(results) {
            self.record(planned, place, result);
        }
        self.progress.worked(size);
    }

    /// Copies an asset to destinations.
    async fn copy(&self, planned: &PlannedAsset, places: &[&Destination]) -> Vec<Result<Copied, Error>> {
        let asset = &planned.asset;
        let (sha256, kept) = match planned.sha256 {
            Some(sha256) => (sha256, None),
            // The hash is unknown, and no object is completed before its hash is known.
            None => match self.hash(asset).await {
                Ok(read) => read,
                Err(error) => return vec![Err(error); places.len()],
            },
        };
        let mut pieces: BoxStream<'_, Result<Bytes, Error>> = match kept {
            Some(content) => once(async { Ok(content) }).boxed(),
            None => self.assets.content(asset).fuse().boxed(),
        };
        // Start no upload before GitHub sends the asset, so that an interrupt until then leaves no trace.
        let first = tokio::select! {
            first = pieces.next() => first.transpose(),
            () = self.stop.cancelled() => Err(Error::new(format!("reading {asset}"), ErrorKind::Interrupted)),
        };
        let first = match first {
            Ok(first) => first,
            Err(error) => return vec![Err(error); places.len()],
        };
        self.outcome.done().is_writing = true;
        let pieces = iter(first.map(Ok)).chain(pieces).boxed();
        let mut targets = Vec::with_capacity(places.len());
        for place in places {
            // The stores of all destinations were opened for the plan.
            let Some(store) = self.stores.get(&place.store) else { return Vec::new() };
            let attributes = planned.attributes(&place.name, &sha256);
            let upload =
                Upload { size: asset.size, sha256, crc32c: None, attributes, condition: Condition::Absent };
            targets.push(Target { store: store.writer(), name: &place.name, upload });
        }
        let what = format!("reading {asset}");
        let source = Source { what, size: asset.size, sha256, pieces };
        let written = transfer(source, targets, self.stop).await;
        let mut results = Vec::with_capacity(written.len());
        for (place, written) in places.iter().zip(written) {
            results.push(match written {
                Ok(_) => Ok(Copied::Written(sha256)),
                Err(error) if error.is_precondition() => self.found(place, sha256, error).await,
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Reads an asset to hash it, and keeps its content if it is small.
    async fn hash(&self, asset: &Asset) -> Result<(Sha256, Option<Bytes>), Error> {
        tokio::select! {
            read = self.assets.hash(asset, SMALL_MAX) => read.map(|(hashes, kept)| (hashes.sha256, kept)),
            () = self.stop.cancelled() => Err(Error::new(format!("reading {asset}"), ErrorKind::Interrupted)),
        }
    }

    /// Checks an object that was absent when it was planned. It may have the wanted content: another run may have written it, or
    /// this run did and the answer was lost.
    async fn found(&self, place: &Destination, sha256: Sha256, error: Error) -> Result<Copied, Error> {
        let Some(store) = self.stores.get(&place.store) else { return Err(error) };
        match is_written(store.reader(), &place.name, &sha256, &Condition::Absent, &error).await? {
            true => Ok(Copied::Found(sha256)),
            false => Ok(Copied::Other),
        }
    }

    /// Records the result for an object.
    fn record(&self, planned: &PlannedAsset, place: &Destination, result: Result<Copied, Error>) {
        let (asset, destination) = (&planned.asset, place.url());
        let mut done = self.outcome.done();
        let not_copied = |error: String, advice| NotCopied {
            source: asset.to_string(),
            destination: Some(destination.clone()),
            error,
            advice,
        };
        let is_first = planned.objects.first().is_some_and(|(first, _)| first.url() == destination);
        match result {
            Ok(Copied::Written(sha256) | Copied::Found(sha256)) if is_first => {
                done.files.insert(place.name.to_string(), sha256);
            }
            _ => {}
        }
        match result {
            Ok(Copied::Written(sha256)) => {
                tracing::debug!("written: {destination}");
                let (source, sha256) = (asset.to_string(), sha256.to_string());
                done.copied.push(Copy { source, destination, sha256, bytes: asset.size });
            }
            Ok(Copied::Found(_)) => {
                tracing::info!("already there: {destination}");
                done.there += 1;
            }
            Ok(Copied::Other) => {
                let error =
                    format!("{destination}: something else was written there meanwhile; it is not replaced");
                tracing::error!("{error}");
                done.conflicts.push(not_copied(error, None));
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted) => done.not_begun += 1,
            Err(error) => {
                let (text, advice) = describe(asset, &error);
                tracing::error!("{destination}: {text}");
                done.failed.push(not_copied(format!("{destination}: {text}"), advice));
            }
        }
    }
}

/// The result for an object.
#[derive(Clone, Copy, Debug)]
enum Copied {
    /// This run has written it.
    Written(Sha256),
    /// The object existed when this run was about to write it.
    Found(Sha256),
    /// An object with other content existed when this run was about to write it.
    Other,
}

/// Returns the error message in terms of releases, and advice.
fn describe(asset: &Asset, error: &Error) -> (String, Option<&'static str>) {
    match error.kind() {
        ErrorKind::Mismatch { found: Some(found), wanted } => {
            let who = if asset.sha256.is_some() { "GitHub says" } else { "a first read had" };
            let text = format!("reading {asset}: the content has the SHA-256 {found}, and {who} {wanted}");
            (text, Some("nothing of it was written: run the same command again"))
        }
        _ => (error.to_string(), error.advice()),
    }
}

/// Records the results that the plan has already determined.
pub(super) fn record_plan(outcome: &Outcome, plan: &Plan) {
    let mut done = outcome.done();
    for (source, error) in &plan.unusable {
        tracing::error!("{error}");
        let (source, error) = (source.clone(), error.clone());
        done.failed.push(NotCopied { source, destination: None, error, advice: None });
    }
    for planned in &plan.assets {
        for (index, (place, verdict)) in planned.objects.iter().enumerate() {
            let destination = place.url();
            let source = planned.asset.to_string();
            match verdict {
                Verdict::Write => {}
                Verdict::Done => {
                    done.there += 1;
                    if let Some(sha256) = planned.sha256.filter(|_| index == 0) {
                        done.files.insert(place.name.to_string(), sha256);
                    }
                }
                Verdict::Conflict(why) => {
                    let error = format!("{destination}: {why}; it is not replaced");
                    tracing::error!("{error}");
                    let destination = Some(destination);
                    done.conflicts.push(NotCopied { source, destination, error, advice: None });
                }
                Verdict::Failed(why, advice) => {
                    let error = format!("{destination}: {why}");
                    tracing::error!("{error}");
                    let (destination, advice) = (Some(destination), *advice);
                    done.failed.push(NotCopied { source, destination, error, advice });
                }
            }
        }
    }
}
