//! The one HTTP door of the process.
//!
//! Every request of the process goes through a [`Door`]. It knows what each host bears, waits, retries, follows redirects only
//! where they may lead, bounds answers in size and time, counts, and never shows a secret. It knows no protocol above HTTP.
//!
//! A request holds a place at its host until the body of its answer is read. [`Door::send`] gives an [`Answer`] that was read
//! to its end, so no answer that a caller holds can keep the caller's next request waiting. See `docs/design/transport.md`.

mod address;
mod answer;
mod class;
mod clients;
mod content;
mod course;
mod door;
mod error;
mod host;
pub mod limit;
mod pauses;
mod redact;
mod request;
mod retry;
mod settings;
mod shared;
mod stream;
mod tally;
mod under_way;

pub use answer::Answer;
pub use class::Class;
pub use door::{Door, Opened, Queue};
pub use error::{Error, ErrorKind};
pub use redact::{Secret, shown};
pub use request::{Body, Place, Request};
pub use retry::{Budget, FAILURE_LIFE, Retry, is_temporary};
pub use settings::{HostSettings, InvalidSettings, Settings, Timeouts};
pub use stream::{BodyStream, Sink};
pub use tally::{HostTally, Tally};
pub use under_way::Stall;
