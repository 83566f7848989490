//! Which certificates the door trusts.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, Error};
use rustls_platform_verifier::Verifier;

use crate::authorities::Authorities;
use crate::settings::InvalidSettings;

/// The verifier that trusts the authorities of the system only. A system has hundreds of files of certificates, so the process
/// reads them once for all doors without authorities of their own.
static OF_THE_SYSTEM: OnceLock<Arc<Verifier>> = OnceLock::new();

/// Returns the settings of TLS: the door trusts the authorities of the system and `authorities`, and prefers HTTP/2.
///
/// # Errors
/// If neither the system nor `authorities` has a certificate.
pub(crate) fn config(authorities: &Authorities) -> Result<ClientConfig, InvalidSettings> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(authorities, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(InvalidSettings::Tls)?;
    // rustls calls each verifier that it does not contain dangerous. This one checks the chain, the names and the dates.
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = ["h2", "http/1.1"].map(Vec::from).to_vec();
    Ok(config)
}

fn verifier(
    authorities: &Authorities,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<Verifier>, InvalidSettings> {
    let invalid = |source: Error| match source {
        // On Linux, rustls-platform-verifier returns it only if it has found no certificate.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_share_the_verifier_of_the_system() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let none = Authorities::default();
        let (one, other) = (verifier(&none, &provider).unwrap(), verifier(&none, &provider).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
    }
}
