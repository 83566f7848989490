//! The domain of image promotion: manifests, edges, inventories, the plan and its phases.
//!
//! Knows no terminal and no environment. Registries are the truth; whatever a run leaves undone, the next one finds.

pub mod audit;
mod cache;
mod decide;
mod edge;
mod error;
mod event;
pub mod evidence;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod intern;
mod inventory;
pub mod manifest;
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
mod text;

pub use cache::{Cache, CacheError, Recheck};
pub use decide::{Verdict, decide};
pub use edge::{Edge, Edges, Overlap};
pub use error::{Blocked, Conflict, Error};
pub use event::{Event, Examination, Observer, Phase, Promotion};
pub use intern::{Id, Interner};
pub use inventory::{Draft, Inventory, Question};
pub use notary::{
    Checkout, CiJob, Notary, Production, Promoter, SignatureFormat, Signing, SummarySigner, Verification,
};
pub use output::write_plan;
pub use phase::{Confirmed, Copying, Job};
pub use pipeline::{Prepared, carry_out, prepare};
pub use problem::Problem;
pub use report::{Ending, ExaminedTotals, Ledger, Report, Totals, UnsignedImage};
pub use run::Run;
