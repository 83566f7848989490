//! Additional certificate authorities.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Certificates of authorities to trust in addition to those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(pub(crate) Vec<CertificateDer<'static>>);

/// Why a text is not a list of certificates of authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthorities {
    /// The text has no certificate.
    #[error("contains no PEM certificate (`openssl x509 -inform der` converts other certificates)")]
    NoCertificate,
    /// A section is damaged. The number of certificates before it, and the cause.
    #[error("damaged PEM section (certificates before it: {0}): {1}")]
    Pem(usize, String),
    /// A certificate is not valid X.509. Its number, starting at 1, and the cause.
    #[error("certificate number {0} cannot be read as X.509: {1}")]
    Certificate(usize, String),
}

impl Authorities {
    /// Reads the certificates in a PEM text (RFC 7468). Other text, white space around lines and a byte order mark are ignored.
    ///
    /// # Errors
    /// Returns an error if the text has no certificate, if a section is damaged, or if a certificate is not valid X.509.
    pub fn from_pem(text: &[u8]) -> Result<Self, InvalidAuthorities> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        let lines = lines.collect::<Vec<_>>().join(&b'\n');
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&lines) {
            let before = certificates.len();
            let certificate =
                certificate.map_err(|error| InvalidAuthorities::Pem(before, error.to_string()))?;
            let added = RootCertStore::empty().add(certificate.clone());
            added.map_err(|error| InvalidAuthorities::Certificate(before + 1, error.to_string()))?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err(InvalidAuthorities::NoCertificate) } else { Ok(Self(certificates)) }
    }

    /// Adds other certificates.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate of an authority.
    const AUTHORITY: &str = include_str!("../tests/line/certificates/authority.pem");

    #[test]
    fn a_certificate_is_found_however_its_lines_are_written() {
        let one = Authorities::from_pem(AUTHORITY.as_bytes()).unwrap();
        let indented: String = AUTHORITY.lines().map(|line| format!("  {line} \n")).collect();
        for text in [
            indented.clone(),
            format!("\u{feff}{AUTHORITY}"),
            AUTHORITY.replace('\n', "\r\n"),
            AUTHORITY.replace('\n', "\r"),
            format!("an authority between -----BEGIN CERTIFICATE----- and END\n{AUTHORITY}and more text"),
        ] {
            assert_eq!(Authorities::from_pem(text.as_bytes()).as_ref(), Ok(&one), "{text}");
        }
        let two = Authorities::from_pem(format!("{AUTHORITY}{indented}").as_bytes()).unwrap();
        assert_eq!(two.0.len(), 2);
    }

    #[test]
    fn a_text_without_usable_certificates_is_refused() {
        let pem =
            |content: &str| format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
        let after = |text: &str| format!("{AUTHORITY}{text}");
        let key =
            |content: &str| format!("-----BEGIN PRIVATE KEY-----\n{content}\n-----END PRIVATE KEY-----\n");
        for (text, expected) in [
            (String::new(), "contains no PEM certificate"),
            (key("AAAA"), "contains no PEM certificate"),
            ("# between -----BEGIN CERTIFICATE----- and END\n".to_owned(), "contains no PEM certificate"),
            (key("???"), "damaged PEM section (certificates before it: 0): "),
            (pem("???"), "damaged PEM section (certificates before it: 0): "),
            (after(&pem("???")), "damaged PEM section (certificates before it: 1): "),
            (
                after("-----BEGIN CERTIFICATE-----\nAAAA\n"),
                "damaged PEM section (certificates before it: 1): ",
            ),
            (pem("AAAA"), "certificate number 1 cannot be read as X.509: "),
        ] {
            let error = Authorities::from_pem(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}{error}");
            assert!(
                !error.contains("???") && !error.contains("AAAA"),
                "an error contains no part of a key: {error}"
            );
        }
    }
}
