//! Sign: promoted images are signed. Its place in the chain; signing itself is not yet in this build, and the phase says so.

use crate::event::{Event, Phase};
use crate::phase::promote::Promoted;
use crate::run::Run;

/// What Sign has made of what was promoted.
#[derive(Debug)]
pub struct Signed {
    pub(super) promoted: Promoted,
}

/// Signs what was promoted.
pub async fn sign(run: &Run, promoted: Promoted) -> Signed {
    run.tell(&Event::Skipped { phase: Phase::Sign, why: "signing is not yet in this build" });
    Signed { promoted }
}
