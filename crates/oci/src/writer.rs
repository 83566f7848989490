//! Write access to registries.

use crate::reader::Reader;

/// Writes to registries.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Read access as everybody has it.
    reader: Reader,
    /// Read access by the tokens that writing needs, so that looking before writing needs no others.
    pub(crate) own: Reader,
}

impl Writer {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { own: reader.clone().pushing(), reader }
    }

    /// The same access without the right to write.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}
