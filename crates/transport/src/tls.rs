//! Which certificates the door trusts.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::{env, fs};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, Error};
use rustls_platform_verifier::Verifier;

use crate::authorities::Authorities;
use crate::settings::InvalidSettings;

/// The verifier that trusts the authorities of the system only. A system has hundreds of files of certificates, so the process
/// reads them once for all doors without authorities of their own.
static OF_THE_SYSTEM: OnceLock<Arc<Verifier>> = OnceLock::new();

/// The maximum size of the file that `SSL_CERT_FILE` names, in bytes. Bundles of all public authorities have 250 KB.
const CERTIFICATE_FILE_MAX: u64 = 16 * 1024 * 1024;

/// Returns the settings of TLS: the door trusts the authorities of the system and `authorities`, and prefers HTTP/2.
///
/// # Errors
/// If neither the system nor `authorities` has a certificate, or if `SSL_CERT_FILE` names no readable file.
#[expect(
    clippy::disallowed_methods,
    reason = "the verifier reads the variable itself, and has no parameter for it"
)]
pub(crate) fn config(authorities: &Authorities) -> Result<ClientConfig, InvalidSettings> {
    check_certificate_file(env::var_os("SSL_CERT_FILE").map(PathBuf::from))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(authorities, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(InvalidSettings::Tls)?;
    // rustls calls each verifier that it does not contain dangerous. This one checks the chain, the names and the dates.
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = ["h2", "http/1.1"].map(Vec::from).to_vec();
    Ok(config)
}

/// Checks the file before the verifier reads it: the verifier would wait for a pipe without a limit, and it ignores a file that
/// cannot be read if there are other authorities. An empty variable names no file.
fn check_certificate_file(path: Option<PathBuf>) -> Result<(), InvalidSettings> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else { return Ok(()) };
    let problem = match fs::metadata(&path) {
        Err(error) => format!("cannot be read: {error}"),
        Ok(metadata) if !metadata.is_file() => "is not a regular file".to_owned(),
        Ok(metadata) if metadata.len() > CERTIFICATE_FILE_MAX => {
            format!("has {} bytes; the limit is {CERTIFICATE_FILE_MAX}", metadata.len())
        }
        Ok(_) => match fs::File::open(&path) {
            Ok(_) => return Ok(()),
            Err(error) => format!("cannot be read: {error}"),
        },
    };
    Err(InvalidSettings::CertificateFile { path, problem })
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
    fn a_certificate_file_is_checked_before_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(directory.path().join(name));
        let problem = |path| check_certificate_file(path).map_err(|error| error.to_string());
        assert_eq!(problem(None), Ok(()));
        assert_eq!(problem(Some(PathBuf::new())), Ok(()), "the verifier finds no authority then");
        fs::write(directory.path().join("small.pem"), "text").unwrap();
        assert_eq!(problem(path("small.pem")), Ok(()));
        let large = fs::File::create(directory.path().join("large.pem")).unwrap();
        large.set_len(CERTIFICATE_FILE_MAX + 1).unwrap();
        for (path, expected) in [
            (path("large.pem"), "large.pem, which has 16777217 bytes; the limit is 16777216"),
            (path("missing.pem"), "missing.pem, which cannot be read: No such file"),
            (path("."), "which is not a regular file"),
            (Some("/dev/zero".into()), "SSL_CERT_FILE names /dev/zero, which is not a regular file"),
        ] {
            let error = problem(path).unwrap_err();
            assert!(error.contains(expected) && error.contains("unset it"), "{error}");
        }
    }

    #[test]
    fn doors_share_the_verifier_of_the_system() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let none = Authorities::default();
        let (one, other) = (verifier(&none, &provider).unwrap(), verifier(&none, &provider).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
    }
}
