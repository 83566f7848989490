//! Which certificates the door trusts.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use httpdate::fmt_http_date;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::settings::InvalidSettings;

/// The verifier that trusts the authorities of the system only. A system has hundreds of files of certificates, so the process
/// reads them once.
static OF_THE_SYSTEM: OnceLock<Arc<Verifier>> = OnceLock::new();

/// Certificates of authorities to trust in addition to those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

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

/// Returns the settings of TLS: the door trusts the authorities of the system and `authorities`, and prefers HTTP/2.
///
/// # Errors
/// If neither the system nor `authorities` has a certificate.
pub(crate) fn config(authorities: &Authorities) -> Result<ClientConfig, InvalidSettings> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(authorities, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(InvalidSettings::Tls)?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = ["h2", "http/1.1"].map(Vec::from).to_vec();
    Ok(config)
}

fn verifier(
    authorities: &Authorities,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<Verifier>, InvalidSettings> {
    let invalid = |source: Error| match source {
        Error::General(_) => InvalidSettings::NoAuthorities,
        other => InvalidSettings::Tls(other),
    };
    if !authorities.0.is_empty() {
        let verifier = Verifier::new_with_extra_roots(authorities.0.clone(), Arc::clone(provider));
        return Ok(Arc::new(verifier.map_err(invalid)?));
    }
    if let Some(verifier) = OF_THE_SYSTEM.get() {
        return Ok(Arc::clone(verifier));
    }
    let read = Arc::new(Verifier::new(Arc::clone(provider)).map_err(invalid)?);
    Ok(Arc::clone(OF_THE_SYSTEM.get_or_init(|| read)))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate of an authority.
    const AUTHORITY: &str = include_str!("../tests/line/certificates/authority.pem");

    #[test]
    fn certificates_of_the_system_are_read_once() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let none = Authorities::default();
        let (one, other) = (verifier(&none, &provider).unwrap(), verifier(&none, &provider).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
    }

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
