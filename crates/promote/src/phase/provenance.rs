//! Provenance: attestations of staging images are verified before anything is written. Its place in the chain; verification
//! itself is not yet in this build, and the phase says so.

use oci::Reader;

use crate::error::Error;
use crate::event::{Event, Phase};
use crate::phase::plan::Plan;
use crate::run::Run;

/// A plan whose images have passed the provenance phase.
#[derive(Debug)]
pub struct Proven {
    pub(super) plan: Plan,
}

/// Verifies the attestations of the images to promote.
///
/// # Errors
/// When an image does not satisfy its policy.
pub async fn provenance(run: &Run, _reader: &Reader, plan: Plan) -> Result<Proven, Error> {
    let why = "verifying attestations of staging is not yet in this build";
    run.tell(&Event::Skipped { phase: Phase::Provenance, why });
    Ok(Proven { plan })
}
