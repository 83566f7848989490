//! The chain of phases, and nothing else: one round for all hosts that answer, and a second one of the same phases for those
//! that were late.

use std::collections::HashMap;

use manifest::ImageId;
use oci::{Client, Reader};
use trust::TrustConfig;
use trust::gate::Passed;

use crate::error::Error;
use crate::event::Phase;
use crate::phase::{
    Attested, Cleared, Confirmed, Copying, Deferred, Job, Plan, Ready, attest, look, look_at_carried, plan,
    promote, provenance, setup, sign, validate,
};
use crate::run::Run;

/// A run that may write: the first round, and what it does not wait for.
#[derive(Debug)]
pub struct Prepared {
    cleared: Cleared,
    deferred: Option<Deferred>,
}

impl Prepared {
    /// How many promoted images do not pass, or could not be looked at, and so stay without what they lack.
    pub fn refused(&self) -> usize {
        self.cleared.refused()
    }

    /// The plan of the first round.
    pub fn plan(&self) -> &Plan {
        self.cleared.plan()
    }
}

/// The phases that write nothing: they hold a reader, and what may write is not made.
///
/// # Errors
/// When the run is given up.
pub async fn prepare(
    run: &Run,
    client: &Client,
    job: Job,
    trust_config: &TrustConfig,
) -> Result<Prepared, Error> {
    let ready = setup(run, job).await?;
    let passed = HashMap::new();
    let (cleared, deferred) = Box::pin(clear(run, &client.reader(), ready, passed, trust_config)).await?;
    Ok(Prepared { cleared, deferred })
}

/// The phases of a round that write nothing.
async fn clear(
    run: &Run,
    reader: &Reader,
    ready: Ready,
    passed: HashMap<ImageId, Passed>,
    trust_config: &TrustConfig,
) -> Result<(Cleared, Option<Deferred>), Error> {
    let planning = async {
        let (plan, deferred) = plan(run, reader, ready, trust_config).await?;
        Ok((look(run, reader, plan, trust_config).await?, deferred))
    };
    let (plan, deferred) = run.phase(Phase::Plan, planning).await?;
    let proven = provenance(run, reader, plan, passed, trust_config).await?;
    let cleared = validate(run, proven).await?;
    let cleared = look_at_carried(run, reader, cleared).await;
    if run.is_stopping() { Err(Error::Interrupted) } else { Ok((cleared, deferred)) }
}

/// The phases that write. Failures of single images are in what comes back, and so is a second round that was given up.
///
/// # Errors
/// When there is something to sign and it cannot be signed: then nothing is begun.
pub async fn carry_out(
    run: &Run,
    confirmed: &Confirmed,
    prepared: Prepared,
    copying: &Copying,
    trust_config: &TrustConfig,
) -> Result<Attested, Error> {
    let Prepared { cleared, deferred } = prepared;
    // Boxed, since the futures of all phases are large.
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

/// The phases of a round that write.
async fn write(
    run: &Run,
    confirmed: &Confirmed,
    cleared: Cleared,
    copying: &Copying,
    trust_config: &TrustConfig,
) -> Result<Attested, Error> {
    let signers = match &trust_config.signing {
        Some(signing) if cleared.plan().has_looked() => match signing.ready().await {
            Ok(signers) => Some(signers),
            Err(error) => return Err(Error::CannotSign(Box::new(error), Box::new(cleared.into_plan()))),
        },
        _ => None,
    };
    let promoted = promote(run, confirmed, cleared, copying).await;
    let signed = sign(run, confirmed, promoted, trust_config, signers.as_ref()).await;
    Ok(attest(run, confirmed, signed, trust_config, signers.as_ref()).await)
}
