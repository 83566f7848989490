//! The one HTTP door of the process.
//!
//! Every request, whatever it is for, goes through a [`Door`]. It knows what each host bears, waits, retries, follows
//! redirects only where they may lead, bounds what comes back in size and time, counts, and never shows a secret. It knows
//! no protocol above HTTP. See `docs/design/transport.md`.

mod address;
mod body;
mod door;
mod error;
pub mod limit;
mod redact;
mod request;
mod retry;
mod settings;
mod tally;
mod under_way;

pub use body::Response;
pub use door::{Door, Queue};
pub use error::{Error, ErrorKind};
pub use redact::{Secret, shown};
pub use request::{Body, Class, Request};
pub use retry::{Budget, Retry};
pub use settings::{HostSettings, InvalidSettings, Settings, Timeouts};
pub use tally::{HostTally, Tally};
pub use under_way::Stall;
