//! TLS of the test servers. `certificates/make.sh` creates the certificates.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The authority of all certificates.
pub(crate) const AUTHORITY: &[u8] = include_bytes!("../certificates/authority.pem");
const KEY: &[u8] = include_bytes!("../certificates/key.pem");

/// The certificate of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Certificate {
    /// Valid for 127.0.0.1, registry.example and storage.example.
    Host,
    /// The same names, but expired.
    Expired,
    /// The same names, but not valid yet.
    Future,
    /// Valid for another name.
    Misnamed,
    /// The certificate of the authority.
    Authority,
}

impl Certificate {
    /// Returns an acceptor of TLS connections with this certificate. `protocol` is negotiated by ALPN.
    pub(crate) fn acceptor(self, protocol: &str) -> TlsAcceptor {
        let pem: &[u8] = match self {
            Self::Host => include_bytes!("../certificates/host.pem"),
            Self::Expired => include_bytes!("../certificates/expired.pem"),
            Self::Future => include_bytes!("../certificates/future.pem"),
            Self::Misnamed => include_bytes!("../certificates/misnamed.pem"),
            Self::Authority => AUTHORITY,
        };
        let chain = vec![CertificateDer::from_pem_slice(pem).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = versions.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
