//! The content that an attachment claims to have, before verification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The content that a bundle claims to have.
pub(crate) enum Content {
    Message,
    /// A statement, with its predicate type if it can be read.
    Statement(Option<String>),
}

/// The properties of a bundle that are readable before verification.
pub(crate) struct Peeked {
    pub(crate) content: Content,
    /// Whether the bundle has a certificate, and not just the hint of a key.
    pub(crate) by_certificate: bool,
}

pub(crate) fn peek(bundle: &[u8]) -> Peeked {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle {
        dsse_envelope: Option<Envelope>,
        message_signature: Option<IgnoredAny>,
        verification_material: Option<Material>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Material {
        certificate: Option<IgnoredAny>,
        x509_certificate_chain: Option<IgnoredAny>,
    }
    let Ok(Bundle { dsse_envelope, message_signature, verification_material }) =
        serde_json::from_slice(bundle)
    else {
        return Peeked { content: Content::Statement(None), by_certificate: false };
    };
    let has_certificate =
        |material: Material| material.certificate.is_some() || material.x509_certificate_chain.is_some();
    let content = match dsse_envelope {
        None if message_signature.is_some() => Content::Message,
        envelope => Content::Statement(envelope.and_then(|envelope| envelope.predicate_type())),
    };
    Peeked { content, by_certificate: verification_material.is_some_and(has_certificate) }
}

/// Returns the predicate type that an envelope claims to have.
pub(crate) fn predicate_type_of_envelope(envelope: &[u8]) -> Option<String> {
    serde_json::from_slice::<Envelope>(envelope).ok()?.predicate_type()
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

impl Envelope {
    fn predicate_type(&self) -> Option<String> {
        /// The maximum length of a predicate type, in bytes.
        const TYPE_MAX: usize = 1024;
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Peeked {
            predicate_type: String,
        }
        let payload = STANDARD.decode(&self.payload).ok()?;
        let peeked: Peeked = serde_json::from_slice(&payload).ok()?;
        Some(peeked.predicate_type).filter(|text| text.len() <= TYPE_MAX)
    }
}
