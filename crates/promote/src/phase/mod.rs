//! The phases of a promotion. Each phase consumes the result of the one before, so that phases in the wrong order do not
//! compile. The phases before Promote hold a reader, which cannot write.

mod attest;
mod blocked;
mod carried;
mod carry;
mod checked;
mod completed;
mod completion;
mod destinations;
mod examine;
mod hosts;
mod missing;
mod owed;
pub(crate) mod plan;
mod planning;
mod promote;
mod provenance;
mod scan;
mod schedule;
mod setup;
mod sign;
mod summary;
mod validate;

pub use attest::Attested;
pub(crate) use attest::attest;
pub(crate) use carried::find_missing_carried;
pub(crate) use checked::{Checked, LackingPart};
pub use completion::{CheckedImages, Completion};
pub(crate) use missing::find_missing;
pub use owed::{Attached, Missing};
pub use plan::{Failure, Plan};
pub use planning::{Deferred, plan};
pub use promote::{Confirmed, Copying, Promoted, promote};
pub use provenance::{Proven, provenance};
pub use scan::{Scanned, Survey, scan, survey};
pub use setup::{Job, Ready, setup};
pub(crate) use sign::sign;
pub use sign::{Signed, SignedImage};
pub use summary::{Count, Summary};
pub use validate::{Cleared, validate};
