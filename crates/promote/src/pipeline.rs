//! The chain of phases, and nothing else.

use oci::Client;

use crate::error::Error;
use crate::phase::{
    Attested, Cleared, Confirmed, Copying, Job, attest, plan, promote, provenance, setup, sign, validate,
};
use crate::run::Run;

/// The phases that write nothing: they hold a reader, and what may write is not made.
///
/// # Errors
/// When the run is given up.
pub async fn prepare(run: &Run, client: &Client, job: Job) -> Result<Cleared, Error> {
    let read = client.reader();
    let ready = setup(run, job).await?;
    let plan = plan(run, &read, ready).await?;
    let proven = provenance(run, &read, plan).await?;
    let cleared = validate(run, &read, proven).await?;
    if run.is_stopping() { Err(Error::Interrupted) } else { Ok(cleared) }
}

/// The phases that write, for whoever has confirmed. Failures of single images are in what comes back.
pub async fn carry_out(
    run: &Run,
    client: &Client,
    cleared: Cleared,
    confirmed: Confirmed,
    copying: &Copying,
) -> Attested {
    let promoted = promote(run, &client.writer(), cleared, confirmed, copying).await;
    let signed = sign(run, promoted).await;
    attest(run, signed).await
}
