//! Servers with predefined behaviour, and doors that connect to them.

pub(crate) mod http2;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod tls;

use std::time::Duration;

use bytes::Bytes;
use transport::{Authorities, Body, Door, Retry, Settings, Timeouts};

/// Returns the settings of the tests: they trust [`tls::AUTHORITY`], and use short pauses.
pub(crate) fn settings() -> Settings {
    let retry = Retry { attempts: 3, first_pause: Duration::from_millis(5), ..Retry::default() };
    let authorities = Authorities::from_pem(tls::AUTHORITY).unwrap();
    Settings { retry, authorities, ..Settings::default() }
}

/// Returns the same settings with a shorter timeout for answers.
pub(crate) fn impatient(answer: Duration) -> Settings {
    Settings { timeouts: Timeouts { answer, ..Timeouts::default() }, ..settings() }
}

pub(crate) fn door() -> Door {
    Door::open(settings()).unwrap()
}

/// Returns a body that can be sent only once.
pub(crate) fn stream(bytes: &'static [u8]) -> Body {
    let stream = Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(bytes))]));
    Body::Stream { length: bytes.len() as u64, stream }
}
