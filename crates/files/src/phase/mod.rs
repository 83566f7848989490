//! The phases of a promotion. Each consumes what the one before has made.

mod copy;
mod listing;
mod open;
mod plan;
mod read;

pub use copy::{CarriedOut, Confirmed, carry_out};
pub use open::{GivenUp, Opened, Readers, Writers, open_stores};
pub use plan::{Conflict, Decision, Edge, Options, Plan, Summary, plan};
pub use read::{ReadStores, read};

/// The number of files that are worked on at the same time. The limits of the hosts say how many requests are sent.
const AT_ONCE: usize = 64;
