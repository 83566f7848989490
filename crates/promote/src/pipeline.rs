//! The chain of phases, and nothing else.

use oci::Client;

use crate::error::Error;
use crate::phase::{
    Attested, Cleared, Confirmed, Job, attest, plan, promote, provenance, setup, sign, validate,
};
use crate::run::Run;

/// How a run ends that nothing stopped before production was touched.
#[derive(Debug)]
pub enum Outcome {
    /// Nobody confirmed: this is what would be done.
    DryRun(Cleared),
    /// All phases are over; failures of single images are in the data.
    Finished(Attested),
}

/// Runs a promotion. Without a confirmation the phases that write are not reached, and what may write is never made.
///
/// # Errors
/// When the run is given up before anything is written.
pub async fn run(
    run: &Run,
    client: &Client,
    job: Job,
    confirmed: Option<Confirmed>,
) -> Result<Outcome, Error> {
    let read = client.reader();
    let ready = setup(run, job).await?;
    let plan = plan(run, &read, ready).await?;
    let proven = provenance(run, &read, plan).await?;
    let cleared = validate(run, &read, proven).await?;
    let Some(confirmed) = confirmed else { return Ok(Outcome::DryRun(cleared)) };
    if run.is_stopping() {
        return Err(Error::Interrupted);
    }
    let promoted = promote(run, &client.writer(), cleared, confirmed).await;
    let signed = sign(run, promoted).await;
    Ok(Outcome::Finished(attest(run, signed).await))
}
