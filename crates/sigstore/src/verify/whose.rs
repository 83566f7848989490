//! Whether a signature that does not verify is someone else's (specification 02, *Who is someone else*).
//!
//! It is not where it claims to be by a trusted signer: its certificate chains to an authority of the trusted root or, where a
//! key is trusted, it names that key or was made with it. Any other signature is someone else's. It proves nothing here, whether
//! it is good or bad.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_types::{Artifact, Bundle, DerCertificate, SignatureContent};

use super::certificate::leads_to;
use super::material::TrustedMaterial;
use crate::key::VerificationKey;

/// Why a bundle is someone else's, where certificates are trusted; `None` where its certificate chains to a trusted authority.
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

/// Why a bundle is someone else's, where one key is trusted; `None` where it claims to be by that key.
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

/// The certificate of a bundle, where it has one, and those that are to lead from it to an authority.
fn certificates(bundle: &Bundle) -> Vec<&DerCertificate> {
    match &bundle.verification_material.content {
        VerificationMaterialContent::Certificate(certificate) => vec![&certificate.raw_bytes],
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            certificates.iter().map(|certificate| &certificate.raw_bytes).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the bundle names the key by its digest, as cosign does (base64) or in hexadecimal.
fn is_named_by_hint(bundle: &Bundle, key: &VerificationKey) -> bool {
    let VerificationMaterialContent::PublicKey(named) = &bundle.verification_material.content else {
        return false;
    };
    let digest = sigstore_crypto::sha256(key.der().as_bytes());
    [digest.to_base64(), digest.to_hex()].contains(&named.hint)
}

/// Whether a log entry of the bundle is about a signature by the key: its body has it as DER or as PEM, in base64.
fn is_named_by_log(bundle: &Bundle, key: &VerificationKey) -> bool {
    let pem = key.to_pem();
    // Without what a line break more or less at its end would change.
    let whole = pem.trim_end().len() / 3 * 3;
    let names = [key.der().to_base64(), STANDARD.encode(&pem[..whole])];
    bundle.verification_material.tlog_entries.iter().any(|entry| {
        let body = String::from_utf8_lossy(entry.canonicalized_body.as_bytes());
        names.iter().any(|name| body.contains(name))
    })
}

/// Whether the signature is by the key: over the payload, over the artifact, or over the digest that the bundle names.
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
