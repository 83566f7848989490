//! Certificate authorities of users.

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
    #[error("contains no PEM certificate")]
    None,
    /// A certificate is damaged.
    #[error("certificate number {0} is not valid PEM")]
    Pem(usize),
    /// A certificate is not valid X.509.
    #[error("certificate number {0} cannot be read as X.509")]
    Certificate(usize),
}

impl Authorities {
    /// Reads the certificates in a PEM text (RFC 7468). Other text, white space around lines and a byte order mark are ignored.
    ///
    /// # Errors
    /// If there is no certificate, or one that cannot be used. Certificates are numbered from 1.
    pub fn from_pem(text: &[u8]) -> Result<Self, InvalidAuthorities> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        let lines = lines.collect::<Vec<_>>().join(&b'\n');
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&lines) {
            let number = certificates.len() + 1;
            let certificate = certificate.map_err(|_| InvalidAuthorities::Pem(number))?;
            let added = RootCertStore::empty().add(certificate.clone());
            added.map_err(|_| InvalidAuthorities::Certificate(number))?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err(InvalidAuthorities::None) } else { Ok(Self(certificates)) }
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
        for (text, expected) in [
            (String::new(), InvalidAuthorities::None),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
                InvalidAuthorities::None,
            ),
            ("# between -----BEGIN CERTIFICATE----- and END\n".to_owned(), InvalidAuthorities::None),
            (pem("???"), InvalidAuthorities::Pem(1)),
            (after(&pem("???")), InvalidAuthorities::Pem(2)),
            (after("-----BEGIN CERTIFICATE-----\nAAAA\n"), InvalidAuthorities::Pem(2)),
            (pem("AAAA"), InvalidAuthorities::Certificate(1)),
        ] {
            assert_eq!(Authorities::from_pem(text.as_bytes()), Err(expected), "{text}");
        }
    }
}
