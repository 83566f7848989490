//! The domain of image promotion: manifests, edges, inventories, the plan and its phases.
//!
//! Knows no terminal and no environment. Registries are the truth; whatever a run leaves undone, the next one finds.

pub mod audit;
mod cache;
mod decide;
mod error;
mod event;
pub mod evidence;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod inventory;
mod notary;
mod output;
pub mod phase;
mod pipeline;
pub mod policy;
mod problem;
mod report;
mod run;
mod signing;
mod subject;

pub use cache::{Cache, CacheError, Recheck};
pub use decide::{Verdict, decide};
pub use error::{Blocked, Conflict, Error};
pub use event::{Event, Examination, Observer, Phase, Promotion};
pub use inventory::{Draft, Inventory, Question};
pub use notary::{
    CiJob, Notary, Production, Promoter, SignatureFormat, Signing, SummarySigner, Verification,
};
pub use output::write_plan;
pub use phase::{Confirmed, Copying, Job};
pub use pipeline::{Prepared, carry_out, prepare};
pub use problem::Problem;
pub use report::{Ending, ExaminedTotals, Ledger, Report, Totals, UnsignedImage};
pub use run::Run;
