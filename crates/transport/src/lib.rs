//! The only HTTP client of the process.
//!
//! Every request of the process goes through a [`Door`]. The door limits the load on each host, waits, retries, follows only
//! permitted redirects, bounds the size and duration of answers, counts requests, and never displays a secret. It does not depend
//! on any protocol above HTTP.
//!
//! A request holds a permit at its host until the body of its answer is read. [`Door::send`] returns a complete [`Answer`], so no
//! answer that a caller keeps can block the caller's next request. See `docs/design/transport.md`.

mod address;
mod advice;
mod answer;
mod authorities;
mod certificate;
mod class;
mod clients;
mod content;
mod door;
mod error;
mod exchange;
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
mod timeline;
mod tls;
mod under_way;

pub use advice::QUOTA_USED_UP;
pub use answer::Answer;
pub use authorities::{Authorities, InvalidAuthorities};
pub use class::Class;
pub use door::{Door, Opened, Queue};
pub use error::{Error, ErrorKind};
pub use redact::{Secret, shown};
pub use request::{Body, Request, Reservation};
pub use retry::{Budget, FAILURE_LIFE, Retry, is_temporary};
pub use settings::{HostSettings, InvalidSettings, Settings, Timeouts};
pub use stream::{BodyStream, Sink};
pub use tally::{HostTally, Tally};
pub use timeline::{BUCKETS_MAX, Bucket, Timeline};
pub use under_way::Stall;
