//! Attest: promotion records are attached. Its place in the chain; attesting itself is not yet in this build, and the phase
//! says so.

use crate::event::{Event, Phase};
use crate::phase::promote::Promoted;
use crate::phase::sign::Signed;
use crate::run::Run;

/// The end of a run that was confirmed.
#[derive(Debug)]
pub struct Attested {
    promoted: Promoted,
}

impl Attested {
    /// What was promoted, and what was not.
    pub fn promoted(&self) -> &Promoted {
        &self.promoted
    }
}

/// Attaches a record to what was promoted.
pub async fn attest(run: &Run, signed: Signed) -> Attested {
    run.tell(&Event::Skipped {
        phase: Phase::Attest,
        why: "attaching promotion records is not yet in this build",
    });
    Attested { promoted: signed.promoted }
}
