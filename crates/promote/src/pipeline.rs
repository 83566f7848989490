//! The chain of phases, and nothing else.

use oci::Client;

use crate::error::Error;
use crate::notary::Notary;
use crate::phase::{
    Attested, Cleared, Confirmed, Copying, Job, attest, plan, promote, provenance, setup, sign, validate,
};
use crate::run::Run;

/// The phases that write nothing: they hold a reader, and what may write is not made.
///
/// # Errors
/// When the run is given up.
pub async fn prepare(run: &Run, client: &Client, job: Job, notary: &Notary) -> Result<Cleared, Error> {
    let read = client.reader();
    let ready = setup(run, job).await?;
    let plan = plan(run, &read, ready, notary).await?;
    let proven = provenance(run, &read, plan, notary).await?;
    let cleared = validate(run, proven).await?;
    if run.is_stopping() { Err(Error::Interrupted) } else { Ok(cleared) }
}

/// The phases that write, for whoever has confirmed. Failures of single images are in what comes back.
///
/// # Errors
/// When there is something to sign and nobody to sign it: then nothing is begun.
pub async fn carry_out(
    run: &Run,
    client: &Client,
    cleared: Cleared,
    confirmed: Confirmed,
    copying: &Copying,
    notary: &Notary,
) -> Result<Attested, Error> {
    let signers = match &notary.signing {
        Some(signing) if !cleared.plan().edges().all().is_empty() => match signing.ready().await {
            Ok(signers) => Some(signers),
            Err(error) => return Err(Error::NobodySigns(Box::new(error), Box::new(cleared.into_plan()))),
        },
        _ => None,
    };
    let writer = client.writer();
    let promoted = promote(run, &writer, cleared, confirmed, copying, notary).await;
    let signed = sign(run, &writer, promoted, notary, signers.as_ref()).await;
    Ok(attest(run, &writer, signed, notary, signers.as_ref()).await)
}
