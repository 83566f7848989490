//! A client of OCI registries.

use std::collections::HashMap;
use std::sync::Arc;

use oci_types::Host;
use transport::Door;

use crate::credential::CredentialSource;
use crate::reader::Reader;
use crate::session::{HostOptions, Sessions};
use crate::writer::Writer;

/// A client of any number of OCI registries. It hands out read access and write access; clones are cheap and share its sessions.
#[derive(Clone, Debug)]
pub struct Client {
    reader: Reader,
    writer: Writer,
}

impl Client {
    /// A client that sends through `door` and authenticates with what `credentials` gives.
    pub fn new(
        door: Door,
        credentials: Arc<dyn CredentialSource>,
        options: HashMap<Host, HostOptions>,
    ) -> Self {
        let reader = Reader::new(Arc::new(Sessions::new(door, credentials, options)));
        Self { writer: Writer::new(reader.clone()), reader }
    }

    /// Read access.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Write access. Code that holds none cannot change a registry.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }
}
