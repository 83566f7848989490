//! Which certificates the door trusts.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::settings::InvalidSettings;

/// The verifier that trusts the authorities of the system only. A system has hundreds of files of certificates, so the process
/// reads them once.
static OF_THE_SYSTEM: OnceLock<Arc<Verifier>> = OnceLock::new();

/// Returns the settings of TLS: the door trusts the authorities of the system and those in the PEM files `authorities`, and
/// prefers HTTP/2.
///
/// # Errors
/// If a file is not valid PEM, if a certificate cannot be used, or if the system has none and there are no others.
pub(crate) fn config(authorities: &[Vec<u8>]) -> Result<ClientConfig, InvalidSettings> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(authorities, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(InvalidSettings::Tls)?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = ["h2", "http/1.1"].map(Vec::from).to_vec();
    Ok(config)
}

fn verifier(
    authorities: &[Vec<u8>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<Verifier>, InvalidSettings> {
    let mut added = Vec::new();
    for (index, pem) in authorities.iter().enumerate() {
        let position = index + 1;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|source| InvalidSettings::Authority { position, source })?;
            // The verifier would not say which of them it cannot use.
            let mut store = RootCertStore::empty();
            store
                .add(certificate.clone())
                .map_err(|source| InvalidSettings::Certificate { position, source })?;
            added.push(certificate);
        }
    }
    if !added.is_empty() {
        let verifier = Verifier::new_with_extra_roots(added, Arc::clone(provider));
        return Ok(Arc::new(verifier.map_err(InvalidSettings::Tls)?));
    }
    if let Some(verifier) = OF_THE_SYSTEM.get() {
        return Ok(Arc::clone(verifier));
    }
    let read = Arc::new(Verifier::new(Arc::clone(provider)).map_err(InvalidSettings::Tls)?);
    Ok(Arc::clone(OF_THE_SYSTEM.get_or_init(|| read)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_the_system_are_read_once() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (one, other) = (verifier(&[], &provider).unwrap(), verifier(&[Vec::new()], &provider).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn an_authority_that_cannot_be_read_is_named_by_its_position() {
        let broken = b"-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n".to_vec();
        let error = config(&[Vec::new(), broken]).unwrap_err().to_string();
        assert!(error.starts_with("certificate authority number 2 cannot be read as PEM"), "{error}");
    }

    /// Base64 that is not a certificate.
    #[test]
    fn an_authority_that_is_not_a_certificate_is_refused() {
        let other = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        let error = config(&[other]).unwrap_err().to_string();
        assert!(
            error.starts_with("certificate authority number 1 has a certificate that cannot be used"),
            "{error}"
        );
    }
}
