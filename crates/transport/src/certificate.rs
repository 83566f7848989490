//! Rejected certificates of hosts, and handshakes that hosts refuse.

use std::time::{Duration, UNIX_EPOCH};

use httpdate::fmt_http_date;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

/// The end of the description of a host certificate that is that of an authority.
pub(crate) const AUTHORITY_AS_HOST: &str = "(CaUsedAsEndEntity)";

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
            format!("it is the certificate of an authority, which cannot identify a host {AUTHORITY_AS_HOST}")
        }
        CertificateError::Other(other) if other.to_string() == "UnsupportedCertVersion" => {
            "it is not an X.509 certificate of version 3, which has the names of a host (UnsupportedCertVersion)".to_owned()
        }
        CertificateError::Other(other) => other.to_string(),
        other => format!("{other} ({other:?})"),
    }
}

/// Returns why a host refuses the handshake, if it would refuse another one, too.
pub(crate) fn refused_handshake(error: &Error) -> Option<String> {
    let why = match error {
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the host does not support TLS 1.2 or later"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the host requires a client certificate, and kpromo has none"
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => "the host does not serve this name",
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
            "the host accepts none of the offered algorithms, or requires a client certificate"
        }
        Error::PeerIncompatible(_) => return Some(error.to_string()),
        _ => return None,
    };
    Some(format!("{why} ({error})"))
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
