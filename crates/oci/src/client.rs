//! A client of OCI registries.

use std::collections::HashMap;
use std::sync::Arc;

use oci_types::Host;
use transport::Door;

use crate::credential::CredentialSource;
use crate::reader::Reader;
use crate::session::{HostOptions, Sessions};
use crate::writer::Writer;

/// A client of any number of OCI registries. It provides read access and write access. Clones are cheap and share its sessions.
#[derive(Clone, Debug)]
pub struct Client {
    reader: Reader,
    writer: Writer,
}

impl Client {
    /// Creates a client that sends requests through `door` and authenticates with the credentials from `credentials`.
    pub fn new(
        door: Door,
        credentials: Arc<dyn CredentialSource>,
        options: HashMap<Host, HostOptions>,
    ) -> Self {
        let reader = Reader::new(Arc::new(Sessions::new(door, credentials, options)));
        Self { writer: Writer::new(reader.clone()), reader }
    }

    /// Returns read access.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Returns write access. Code without it cannot change a registry.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }
}
