//! The audit of one image of `kpromo verify`.

use trust::audit::{AuditError, Audited, ImageName};

/// An image that the user named, and the result of its audit.
pub(crate) struct ImageAudit {
    pub(crate) image: ImageName,
    pub(crate) found: Result<Audited, AuditError>,
}
