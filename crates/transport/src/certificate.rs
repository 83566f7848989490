//! Rejected certificates of hosts.

use std::time::{Duration, UNIX_EPOCH};

use httpdate::fmt_http_date;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

/// Returns what is wrong with the certificate of a host, followed by the name of the error in rustls or webpki.
pub(crate) fn describe(error: &CertificateError) -> String {
    let date = |time: &UnixTime| fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    match error {
        CertificateError::UnknownIssuer => {
            "no trusted authority has signed it, or the host does not send its intermediate certificates (UnknownIssuer)".to_owned()
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
        // Of the certificate, or of the handshake.
        CertificateError::BadSignature => "a signature does not match its key (BadSignature)".to_owned(),
        // The error of webpki, whose text is its name.
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "it is the certificate of an authority, which cannot identify a host (CaUsedAsEndEntity)".to_owned()
        }
        CertificateError::Other(other) => other.to_string(),
        other => format!("{other} ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/line/tls.rs` tests the other reasons with servers.
    #[test]
    fn encodings_and_signatures_are_described() {
        for (error, text) in [
            (CertificateError::BadEncoding, "it cannot be read as X.509 (BadEncoding)"),
            (CertificateError::BadSignature, "a signature does not match its key (BadSignature)"),
        ] {
            assert_eq!(describe(&error), text);
        }
    }
}
