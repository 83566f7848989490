//! The phases of a promotion. Each phase consumes the result of the phase before it.

mod copy;
mod given_up;
mod listing;
mod open;
mod plan;
mod planning;
mod read;
mod readers;

pub use copy::{CarriedOut, Confirmed, carry_out};
pub use given_up::GivenUp;
pub use listing::{Presence, look};
pub use open::{Opened, open_stores};
pub use plan::{Conflict, Decision, Edge, Plan};
pub use planning::{Options, plan};
pub use read::{ReadStores, read};
pub use readers::{Readers, Writers};

/// The number of files that are processed concurrently. The limits of the hosts bound the number of requests.
const AT_ONCE: usize = 64;
