//! The sequence of phases: one round for all hosts that answer, and a second round of the same phases for hosts that were late.

use std::collections::HashMap;

use manifest::ImageId;
use oci::{Client, Reader};
use trust::TrustConfig;
use trust::gate::Passed;

use crate::error::Error;
use crate::event::{Phase, Run};
use crate::phase::{
    Attested, Cleared, Confirmed, Copying, Deferred, Job, Plan, Ready, attest, find_missing,
    find_missing_carried, plan, promote, provenance, scan, setup, sign, validate,
};

/// A run that is ready to write: the first round, and the hosts that it does not wait for.
#[derive(Debug)]
pub struct Prepared {
    cleared: Cleared,
    deferred: Option<Deferred>,
}

impl Prepared {
    /// Returns the number of promoted images that do not pass or could not be checked, and for which nothing is written.
    pub fn refused(&self) -> usize {
        self.cleared.refused()
    }

    /// Returns the first round.
    pub(crate) fn cleared(&self) -> &Cleared {
        &self.cleared
    }

    /// Returns the plan of the first round.
    pub fn plan(&self) -> &Plan {
        self.cleared.plan()
    }
}

/// Runs the phases that write nothing. They hold a reader, and no writer exists yet.
///
/// # Errors
/// If the run is given up.
pub async fn prepare(
    run: &Run,
    client: &Client,
    job: Job,
    trust_config: &TrustConfig,
) -> Result<Prepared, Error> {
    let mut ready = setup(run, job).await?;
    ready.repair_canonical(&trust_config.production);
    let passed = ready.without_staging();
    let (cleared, deferred) = Box::pin(clear(run, &client.reader(), ready, passed, trust_config)).await?;
    Ok(Prepared { cleared, deferred })
}

/// Awaits a read. When the run stops, the read is dropped even in the middle of a request or a pause, because there is nothing to
/// finish.
async fn unless_stopped<T>(run: &Run, reading: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = run.stopped() => Err(Error::Interrupted),
        read = reading => read,
    }
}

/// Runs the phases of a round that write nothing.
async fn clear(
    run: &Run,
    reader: &Reader,
    ready: Ready,
    passed: HashMap<ImageId, Passed>,
    trust_config: &TrustConfig,
) -> Result<(Cleared, Option<Deferred>), Error> {
    let planning = async {
        let (plan, deferred) = plan(run, reader, ready, trust_config).await?;
        Ok((find_missing(run, reader, plan, trust_config).await?, deferred))
    };
    let clearing = async {
        let (plan, deferred) = run.phase(Phase::Plan, planning).await?;
        let proven = provenance(run, reader, plan, passed, trust_config).await?;
        let scanned = scan(run, proven, trust_config).await?;
        let cleared = validate(run, scanned).await?;
        Ok((find_missing_carried(run, reader, cleared).await, deferred))
    };
    Box::pin(unless_stopped(run, clearing)).await
}

/// Runs the phases that write. Failures of single images are part of the result, and so is a second round that was given up.
///
/// # Errors
/// If something has to be signed and cannot be. In this case nothing is written.
pub async fn carry_out(
    run: &Run,
    confirmed: &Confirmed,
    prepared: Prepared,
    copying: &Copying,
    trust_config: &TrustConfig,
) -> Result<Attested, Error> {
    let Prepared { cleared, deferred } = prepared;
    // The futures of the phases are large, so they are boxed.
    let first = Box::pin(write(run, confirmed, cleared, copying, trust_config)).await?;
    let Some(deferred) = deferred else { return Ok(first) };
    let images = deferred.images();
    if run.is_stopping() {
        return Ok(first.without_second_round(run, Error::Interrupted, images));
    }
    let mut first = first;
    let (ready, passed) = (deferred.into_ready(), first.take_passed());
    let second = match Box::pin(clear(run, confirmed.reader(), ready, passed, trust_config)).await {
        Ok((cleared, _)) => Box::pin(write(run, confirmed, cleared, copying, trust_config)).await,
        Err(error) => Err(error),
    };
    Ok(match second {
        Ok(second) => first.with_second_round(second),
        Err(error) => first.without_second_round(run, error, images),
    })
}

/// Runs the phases of a round that write.
async fn write(
    run: &Run,
    confirmed: &Confirmed,
    cleared: Cleared,
    copying: &Copying,
    trust_config: &TrustConfig,
) -> Result<Attested, Error> {
    let signers = match &trust_config.signing {
        Some(signing) if cleared.plan().has_looked() => {
            match unless_stopped(run, async { Ok(signing.ready().await) }).await? {
                Ok(signers) => Some(signers),
                Err(error) => return Err(Error::CannotSign(Box::new(error), Box::new(cleared.into_plan()))),
            }
        }
        _ => None,
    };
    let promoted = promote(run, confirmed, cleared, copying).await;
    let signed = sign(run, confirmed, promoted, trust_config, signers.as_ref()).await;
    Ok(attest(run, confirmed, signed, trust_config, signers.as_ref()).await)
}
