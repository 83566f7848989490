//! The phases of a promotion. Each consumes what the one before made, so that no order but the right one compiles; those
//! before Promote hold a reader, which cannot write.

mod attest;
mod plan;
mod promote;
mod provenance;
mod schedule;
mod setup;
mod sign;
mod validate;

pub use attest::{Attested, attest};
pub use plan::{Count, Failure, Plan, Summary, plan};
pub use promote::{Confirmed, Copying, Promoted, promote};
pub use provenance::{Proven, provenance};
pub use setup::{Job, Ready, setup};
pub use sign::{Signed, sign};
pub use validate::{Cleared, validate};
