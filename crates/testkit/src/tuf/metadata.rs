//! Keys and signatures of TUF metadata.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::Digest;
use serde_json::{Value, json};

/// A P-256 key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pair: Arc<EcdsaKeyPair>,
    description: Value,
    id: String,
}

impl Key {
    pub(super) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key can be made");
        let public = pair.public_key().as_der().expect("a public key can be encoded");
        let description = json!({
            "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": { "public": pem(public.as_ref()) },
        });
        let id = Digest::of(canonical(&description).as_bytes()).hex();
        Self { pair: Arc::new(pair), description, id }
    }

    /// Returns the key ID, the hash of the description.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the description of the key in a root.
    pub(super) fn description(&self) -> Value {
        self.description.clone()
    }

    fn sign(&self, bytes: &[u8]) -> String {
        let signature = self.pair.sign(&SystemRandom::new(), bytes).expect("bytes can be signed");
        hex::encode(signature.as_ref())
    }
}

/// Returns metadata with its signatures.
pub(super) fn envelope<'a>(signed: &Value, keys: impl IntoIterator<Item = &'a Key>) -> Vec<u8> {
    let text = canonical(signed);
    let signature = |key: &Key| json!({ "keyid": key.id(), "sig": key.sign(text.as_bytes()) });
    let signatures: Vec<_> = keys.into_iter().map(signature).collect();
    json!({ "signed": signed, "signatures": signatures }).to_string().into_bytes()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line));
    let body = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

/// Returns canonical JSON: no whitespace, names in order, and only quote and backslash escaped in strings, so that a PEM
/// keeps its line breaks.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            let entries =
                entries.into_iter().map(|(name, value)| format!("{}:{}", quoted(name), canonical(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_has_sorted_names_and_unescaped_line_breaks() {
        let value = json!({ "b": ["x\ny", "\"\\"], "a": { "z": 1, "y": true } });
        assert_eq!(canonical(&value), "{\"a\":{\"y\":true,\"z\":1},\"b\":[\"x\ny\",\"\\\"\\\\\"]}");
    }
}
