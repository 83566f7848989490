//! Advice for the person who reads an error.

use crate::certificate::AUTHORITY_AS_HOST;
use crate::error::{Error, ErrorKind};
use crate::limit::NotAdmitted;

/// Advice for an answer that says that the client sends too many requests.
pub const QUOTA_USED_UP: &str =
    "the host's quota is used up, perhaps by other clients: run again later; completed work is not repeated";

impl Error {
    /// Returns advice on how to resolve the error, if there is any.
    pub fn advice(&self) -> Option<&'static str> {
        match self.kind() {
            ErrorKind::Connect(_) => {
                Some("check the host's name, the network, and the proxy in HTTPS_PROXY and NO_PROXY")
            }
            ErrorKind::Certificate(why) if why.ends_with(AUTHORITY_AS_HOST) => Some(
                "give the host a certificate that is signed by the authority, or a self-signed one with `CA:FALSE`, and list \
                 the signer in `certificateAuthorities` of the configuration",
            ),
            ErrorKind::Certificate(_) => Some(
                "if the host has a certificate of an authority of your own, list the authority in `certificateAuthorities` \
                 of the configuration; otherwise check the host's name and this machine's clock",
            ),
            ErrorKind::NotTls(_) => {
                Some("if the host speaks plain HTTP, set `plainHttp: true` for it in the configuration")
            }
            ErrorKind::NotPlainHttp(_) => {
                Some("if the host speaks TLS, remove `plainHttp` for it from the configuration")
            }
            ErrorKind::Timeout { .. } => Some(
                "if the host needs more time, raise `answerSeconds` for it in the configuration; completed work is not \
                 repeated",
            ),
            ErrorKind::SlowBody { .. } | ErrorKind::LongBody { .. } => {
                Some("the host or the network is too slow: run again later; completed work is not repeated")
            }
            ErrorKind::NotAdmitted { why: NotAdmitted::Outage(outage), .. } if outage.failed == 0 => {
                Some(QUOTA_USED_UP)
            }
            ErrorKind::NotAdmitted { why: NotAdmitted::Outage(_), .. } => Some(
                "the host is down, or cannot be reached: run again when it is back; completed work is not repeated",
            ),
            _ => None,
        }
    }
}
