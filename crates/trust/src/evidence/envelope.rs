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

/// Returns the predicate type of unsigned content: a statement, or an envelope without signatures. Returns `None`
/// for anything else.
pub(crate) fn unsigned_predicate_type(content: &[u8], is_envelope: bool) -> Option<String> {
    if !is_envelope && let Some(kind) = predicate_type_of_statement(content) {
        return Some(kind);
    }
    let envelope: Envelope = serde_json::from_slice(content).ok()?;
    if envelope.signatures.iter().flatten().next().is_some() { None } else { envelope.predicate_type() }
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
    #[serde(default)]
    signatures: Option<Vec<IgnoredAny>>,
}

impl Envelope {
    fn predicate_type(&self) -> Option<String> {
        predicate_type_of_statement(&STANDARD.decode(&self.payload).ok()?)
    }
}

/// Returns the predicate type of an in-toto statement.
fn predicate_type_of_statement(statement: &[u8]) -> Option<String> {
    /// The maximum length of a predicate type, in bytes.
    const TYPE_MAX: usize = 1024;
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peeked {
        predicate_type: String,
    }
    let peeked: Peeked = serde_json::from_slice(statement).ok()?;
    Some(peeked.predicate_type).filter(|text| text.len() <= TYPE_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_and_an_envelope_without_signatures_are_unsigned() {
        let statement =
            json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": "t" }).to_string();
        let envelope = |signatures: serde_json::Value| {
            json!({ "payload": STANDARD.encode(&statement), "payloadType": "x", "signatures": signatures })
                .to_string()
        };
        let unsigned = |content: &str, is_envelope| unsigned_predicate_type(content.as_bytes(), is_envelope);
        let kind = Some("t".to_owned());
        assert_eq!(unsigned(&statement, false), kind);
        for nothing in [json!([]), json!(null)] {
            assert_eq!(unsigned(&envelope(nothing), true), kind);
        }
        assert_eq!(unsigned(&envelope(json!([{ "sig": "AA==" }])), true), None);
        assert_eq!(unsigned(&statement, true), None, "the type says that it is an envelope");
        assert_eq!(unsigned("{}", false), None);
    }
}
