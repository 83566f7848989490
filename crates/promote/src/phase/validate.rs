//! Validate: signatures of staging images are verified before anything is written. Its place in the chain; verification
//! itself is not yet in this build, and the phase says so.

use oci::Reader;

use crate::error::Error;
use crate::event::{Event, Phase};
use crate::phase::plan::Plan;
use crate::phase::provenance::Proven;
use crate::run::Run;

/// A plan that may be carried out: the only thing that Promote takes.
#[derive(Debug)]
pub struct Cleared {
    pub(super) plan: Plan,
}

impl Cleared {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Verifies the signatures of the images to promote.
///
/// # Errors
/// When a signature is there and does not verify.
pub async fn validate(run: &Run, _reader: &Reader, proven: Proven) -> Result<Cleared, Error> {
    let why = "verifying signatures of staging is not yet in this build";
    run.tell(&Event::Skipped { phase: Phase::Validate, why });
    Ok(Cleared { plan: proven.plan })
}
