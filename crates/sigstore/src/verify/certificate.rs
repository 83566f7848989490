//! The issuers of certificates.

use sigstore_crypto::KeyAlgorithm;
use sigstore_types::{DerPublicKey, HashAlgorithm, SignatureBytes};

use crate::der::Value;

/// The maximum number of certificates of a chain to examine.
const CHAIN_MAX: usize = 10;
/// The tag of a certificate's version, which is absent in version 1.
const VERSION: u8 = 0xa0;

/// The encoded parts of a certificate that identify its holder and its issuer (RFC 5280, 4.1).
pub(super) struct Certificate<'a> {
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a [u8],
    key: &'a [u8],
    /// The part that the issuer has signed.
    content: &'a [u8],
    /// The identifier of the signature algorithm.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate. Returns `None` if the bytes are not a certificate.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let parts = Value::only(der)?.parts()?;
        let [content, algorithm, signature] = parts.as_slice() else { return None };
        let fields = content.parts()?;
        let version = usize::from(fields.first()?.tag == VERSION);
        let [serial, _, issuer, _, _, key, ..] = &fields[version..] else { return None };
        Some(Self {
            serial: serial.whole,
            issuer: issuer.whole,
            key: key.whole,
            content: content.whole,
            algorithm: algorithm.parts()?.first()?.content,
            // A bit string without unused bits.
            signature: signature.content.strip_prefix(&[0])?,
        })
    }

    /// Returns whether the holder of a key (*SubjectPublicKeyInfo*) has issued the certificate.
    fn is_signed_with(&self, key: &[u8]) -> bool {
        let key = DerPublicKey::new(key.to_vec());
        let signature = SignatureBytes::from_bytes(self.signature);
        let scheme = KeyAlgorithm::from_spki(&key)
            .and_then(|algorithm| algorithm.resolve_signing_scheme(hash_of(self.algorithm)));
        scheme.is_ok_and(|scheme| {
            sigstore_crypto::verify_signature(&key, self.content, &signature, scheme).is_ok()
        })
    }
}

/// Returns the digest algorithm of a signature algorithm. Algorithms that are not listed here imply their own.
fn hash_of(algorithm: &[u8]) -> HashAlgorithm {
    const ECDSA: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    let number = algorithm.strip_prefix(&ECDSA).or_else(|| algorithm.strip_prefix(&RSA));
    match number {
        Some([0x03 | 0x0c]) => HashAlgorithm::Sha2384,
        Some([0x04 | 0x0d]) => HashAlgorithm::Sha2512,
        _ => HashAlgorithm::Sha2256,
    }
}

/// Returns whether a certificate chains to one of these authorities. Validity and usage are ignored. The first item of `chain`
/// is the certificate. The others connect it to an authority.
pub(super) fn leads_to<'a>(chain: &[&'a [u8]], authorities: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut keys: Vec<&[u8]> =
        authorities.into_iter().filter_map(Certificate::read).map(|authority| authority.key).collect();
    let mut chain = chain.iter().take(CHAIN_MAX).map(|der| Certificate::read(der));
    let Some(Some(leaf)) = chain.next() else { return false };
    let mut between: Vec<_> = chain.flatten().collect();
    // The order of the chain is arbitrary: each round finds the certificates that the known keys have issued.
    while !between.is_empty() {
        let (issued, others): (Vec<_>, Vec<_>) = between
            .into_iter()
            .partition(|certificate| keys.iter().any(|key| certificate.is_signed_with(key)));
        if issued.is_empty() {
            break;
        }
        keys.extend(issued.iter().map(|certificate| certificate.key));
        between = others;
    }
    keys.iter().any(|key| leaf.is_signed_with(key))
}
