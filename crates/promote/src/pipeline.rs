//! The chain of phases, and nothing else.

use oci::Client;
use sigstore::SignError;

use crate::error::Error;
use crate::notary::Notary;
use crate::phase::{
    Attested, Cleared, Confirmed, Copying, Job, attest, plan, promote, provenance, setup, sign, validate,
};
use crate::run::Run;
use crate::signing::Signers;

/// The phases that write nothing: they hold a reader, and what may write is not made. A run that cannot sign what it promotes
/// fails here already, so that a dry run fails as the confirmed one would.
///
/// # Errors
/// When the run is given up.
pub async fn prepare(run: &Run, client: &Client, job: Job, notary: &Notary) -> Result<Cleared, Error> {
    let read = client.reader();
    let ready = setup(run, job).await?;
    let plan = plan(run, &read, ready, notary).await?;
    let proven = provenance(run, &read, plan, notary).await?;
    let cleared = validate(run, proven).await?;
    if run.is_stopping() {
        return Err(Error::Interrupted);
    }
    match signers(notary, &cleared).await {
        Ok(_) => Ok(cleared),
        Err(error) => Err(Error::NobodySigns(Box::new(error), Box::new(cleared.into_plan()))),
    }
}

/// Who signs, where anything is to be signed.
async fn signers<'a>(notary: &'a Notary, cleared: &Cleared) -> Result<Option<Signers<'a>>, SignError> {
    match &notary.signing {
        Some(signing) if !cleared.plan().edges().all().is_empty() => signing.ready().await.map(Some),
        _ => Ok(None),
    }
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
    let signers = match signers(notary, &cleared).await {
        Ok(signers) => signers,
        Err(error) => return Err(Error::NobodySigns(Box::new(error), Box::new(cleared.into_plan()))),
    };
    let writer = client.writer();
    let promoted = promote(run, &writer, cleared, confirmed, copying, notary).await;
    let signed = sign(run, &writer, promoted, notary, signers.as_ref()).await;
    Ok(attest(run, &writer, signed, notary, signers.as_ref()).await)
}
