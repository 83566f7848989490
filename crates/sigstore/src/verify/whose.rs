//! Whether a signature that does not verify is someone else's (specification 02, *Who is someone else*).
//!
//! A signature claims to be by a trusted signer if its certificate chains to an authority of the trusted root or, if a key is
//! trusted, if it names that key or was made with it. Any other signature is someone else's. Whether such a signature is valid
//! or not, it proves nothing to this verifier.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_types::{Artifact, Bundle, DerCertificate, SignatureContent};

use super::certificate::leads_to;
use super::material::TrustedMaterial;
use crate::key::VerificationKey;

/// Returns why a bundle is someone else's if certificates are trusted, or `None` if its certificate chains to a trusted
/// authority.
pub(super) fn foreign_to_root(bundle: &Bundle, trusted: &TrustedMaterial) -> Option<&'static str> {
    let chain = certificates(bundle);
    if chain.is_empty() {
        return Some("it names a key, and certificates are trusted here");
    }
    let authorities =
        trusted.root.certificate_authorities.iter().flat_map(|authority| &authority.cert_chain.certificates);
    let authorities = authorities.map(|certificate| certificate.raw_bytes.as_bytes());
    let chain: Vec<_> = chain.into_iter().map(DerCertificate::as_bytes).collect();
    let is_known = leads_to(&chain, authorities);
    (!is_known).then_some("its certificate is of no authority that the trusted root knows")
}

/// Returns why a bundle is someone else's if one key is trusted, or `None` if it claims to be by that key.
pub(super) fn foreign_to_key(
    bundle: &Bundle,
    artifact: &Artifact<'_>,
    key: &VerificationKey,
) -> Option<&'static str> {
    if let Some(certificate) = bundle.signing_certificate() {
        let is_of_key = sigstore_crypto::parse_certificate_info(certificate)
            .is_ok_and(|certificate| certificate.public_key == *key.der());
        return (!is_of_key).then_some("it has a certificate, and a key is trusted here");
    }
    let claims =
        is_named_by_hint(bundle, key) || is_named_by_log(bundle, key) || is_made_with(bundle, artifact, key);
    (!claims).then_some("it is by another key than the one that is trusted here")
}

/// Returns the certificate of a bundle, if any, and the certificates that connect it to an authority.
fn certificates(bundle: &Bundle) -> Vec<&DerCertificate> {
    match &bundle.verification_material.content {
        VerificationMaterialContent::Certificate(certificate) => vec![&certificate.raw_bytes],
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            certificates.iter().map(|certificate| &certificate.raw_bytes).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns whether the bundle names the key by its digest: in base64, as cosign does, or in hexadecimal.
fn is_named_by_hint(bundle: &Bundle, key: &VerificationKey) -> bool {
    let VerificationMaterialContent::PublicKey(named) = &bundle.verification_material.content else {
        return false;
    };
    let digest = sigstore_crypto::sha256(key.der().as_bytes());
    [digest.to_base64(), digest.to_hex()].contains(&named.hint)
}

/// Returns whether a log entry of the bundle is about a signature by the key. The entry's body contains the key as DER or PEM,
/// in base64.
fn is_named_by_log(bundle: &Bundle, key: &VerificationKey) -> bool {
    let pem = key.to_pem();
    // Ignores the end of the base64 text, which depends on the number of line breaks at the end of the PEM text.
    let whole = pem.trim_end().len() / 3 * 3;
    let names = [key.der().to_base64(), STANDARD.encode(&pem[..whole])];
    bundle.verification_material.tlog_entries.iter().any(|entry| {
        let body = String::from_utf8_lossy(entry.canonicalized_body.as_bytes());
        names.iter().any(|name| body.contains(name))
    })
}

/// Returns whether the signature is by the key: over the payload, over the artifact, or over the digest in the bundle.
fn is_made_with(bundle: &Bundle, artifact: &Artifact<'_>, key: &VerificationKey) -> bool {
    let Ok(key) = sigstore_crypto::VerificationKey::from_spki(key.der()) else { return false };
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            key.verify(envelope.pae(), &envelope.signature.sig).is_ok()
        }
        SignatureContent::MessageSignature(message) => {
            let over = |digest: &[u8]| key.verify_prehashed(digest, &message.signature).is_ok();
            let named = message.message_digest.as_ref().is_some_and(|named| over(named.digest.as_bytes()));
            named
                || match artifact {
                    Artifact::Blob(bytes) => key.verify(bytes, &message.signature).is_ok(),
                    Artifact::Digest(digest) => over(digest.as_bytes()),
                    _ => false,
                }
        }
        _ => false,
    }
}
