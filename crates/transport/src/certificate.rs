//! Rejected certificates of hosts.

use std::time::{Duration, UNIX_EPOCH};

use httpdate::fmt_http_date;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

/// Returns what is wrong with a certificate of a host, in words, with the name of the error in the library.
pub(crate) fn words(error: &CertificateError) -> String {
    let date = |time: &UnixTime| fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    match error {
        CertificateError::UnknownIssuer => {
            "it is signed by an authority that is not trusted (UnknownIssuer)".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it has expired: it was valid until {} (Expired)", date(not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid yet: it is valid from {} (NotValidYet)", date(not_before))
        }
        // The text names the host and the names in the certificate.
        CertificateError::NotValidForNameContext { .. } => format!("{error} (NotValidForName)"),
        CertificateError::BadEncoding => "it cannot be read as X.509 (BadEncoding)".to_owned(),
        CertificateError::BadSignature => {
            "its signature is not that of its authority (BadSignature)".to_owned()
        }
        CertificateError::Other(other) => match other.to_string() {
            text if text == "CaUsedAsEndEntity" => {
                "it is the certificate of an authority, which cannot identify a host (CaUsedAsEndEntity)"
                    .to_owned()
            }
            text => text,
        },
        other => format!("{other} ({other:?})"),
    }
}
