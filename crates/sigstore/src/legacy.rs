//! Cosign's legacy formats, mapped to bundles: layers whose annotations contain the signature, the certificate and the log entry
//! (cosign *Signature Specification*), and the signed payload (*Simple Signing*).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigstore_types::bundle::{
    InclusionPromise, LogId, MessageSignature, PublicKeyIdentifier, Rfc3161Timestamp,
    TimestampVerificationData, VerificationMaterial, VerificationMaterialContent, X509Certificate,
};
use sigstore_types::{
    Bundle, CanonicalizedBody, DerCertificate, DsseEnvelope, KindVersion, LogIndex, LogKeyId, MediaType,
    SignatureBytes, SignatureContent, SignedTimestamp, TimestampToken, TransparencyLogEntry,
};

use crate::error::Rejection;
use crate::json::names_are_unique;

/// The media type of the payload of a `.sig` layer.
pub const SIMPLE_SIGNING_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The media type of a DSSE envelope, which is the content of a `.att` layer.
pub const DSSE_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The value of `critical.type`.
const SIGNATURE_KIND: &str = "cosign container image signature";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// The maximum size of an annotation, in bytes.
const ANNOTATION_MAX: usize = 1024 * 1024;

/// A layer of a `.sig` or `.att` manifest.
#[derive(Clone, Copy, Debug)]
pub struct CosignLayer<'a> {
    /// The layer's content: a signed payload, or an envelope.
    pub payload: &'a [u8],
    /// The annotations of the layer's descriptor.
    pub annotations: &'a BTreeMap<String, String>,
}

/// The payload of an image signature (*Simple Signing*).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimpleSigning {
    critical: Critical,
    /// Further statements of the signer, by key.
    #[serde(default)]
    pub optional: Option<BTreeMap<String, Value>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl SimpleSigning {
    /// Creates the payload for an image with this reference and manifest digest (`sha256:…`), with optional statements.
    pub fn new(reference: &str, digest: &str, optional: BTreeMap<String, String>) -> Self {
        let optional = optional.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
        Self {
            critical: Critical {
                identity: Identity { reference: reference.to_owned() },
                image: Image { digest: digest.to_owned() },
                kind: SIGNATURE_KIND.to_owned(),
            },
            optional: Some(optional),
        }
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Returns an error if the bytes are not the payload of an image signature.
    pub fn parse(payload: &[u8]) -> Result<Self, Rejection> {
        let this: Self = parse("the payload", payload)?;
        if this.critical.kind != SIGNATURE_KIND {
            return Err(malformed("the payload", "it is not one of an image's signature"));
        }
        Ok(this)
    }

    /// Returns the payload as JSON to sign: the same bytes for the same content.
    pub fn to_json(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "strings always serialize")]
        serde_json::to_vec(self).expect("a payload serializes to JSON")
    }

    /// Returns the image's reference.
    pub fn reference(&self) -> &str {
        &self.critical.identity.reference
    }

    /// Returns the digest of the image's manifest, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.critical.image.digest
    }
}

/// The content of `dev.sigstore.cosign/bundle`: Rekor's promise, and the entry that it covers.
#[derive(Serialize, Deserialize)]
struct RekorBundle {
    #[serde(rename = "SignedEntryTimestamp")]
    promise: String,
    #[serde(rename = "Payload")]
    payload: RekorPayload,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RekorPayload {
    body: String,
    integrated_time: i64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
struct CosignTimestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

impl CosignLayer<'_> {
    /// Converts a `.sig` layer to a bundle: a signature over the layer's content.
    pub(crate) fn signature(&self) -> Result<Bundle, Rejection> {
        let signature = self
            .annotation(SIGNATURE)?
            .ok_or_else(|| Rejection::Malformed("the layer has no signature".to_owned()))?;
        let signature = SignatureBytes::new(decode("the signature", signature)?);
        let mut material = self.material()?;
        if let Some(token) = self.timestamp()? {
            let timestamps = vec![Rfc3161Timestamp::new(token)];
            material = material.with_timestamp_verification_data(TimestampVerificationData::new(timestamps));
        }
        let content = SignatureContent::MessageSignature(MessageSignature::new(signature));
        Ok(Bundle::new(MediaType::Bundle0_1, material, content))
    }

    /// Converts a `.att` layer to a bundle. The bundle omits the timestamp, which in this format is over the whole envelope.
    pub(crate) fn attestation(&self) -> Result<Bundle, Rejection> {
        let envelope: DsseEnvelope = parse("the envelope", self.payload)?;
        let material = self.material()?;
        Ok(Bundle::new(MediaType::Bundle0_1, material, SignatureContent::DsseEnvelope(envelope)))
    }

    /// Returns the layer's timestamp, if any.
    pub(crate) fn timestamp(&self) -> Result<Option<TimestampToken>, Rejection> {
        let Some(text) = self.annotation(TIMESTAMP)? else { return Ok(None) };
        let timestamp: CosignTimestamp = parse("the timestamp", text.as_bytes())?;
        Ok(Some(TimestampToken::new(decode("the timestamp", &timestamp.token)?)))
    }

    fn material(&self) -> Result<VerificationMaterial, Rejection> {
        let content = match self.annotation(CERTIFICATE)? {
            Some(pem) => {
                let mut certificates = certificates(pem)?;
                certificates.truncate(1);
                if let Some(chain) = self.annotation(CHAIN)? {
                    certificates.extend(self::certificates(chain)?);
                }
                VerificationMaterialContent::X509CertificateChain { certificates }
            }
            None => VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")),
        };
        let entries = self.annotation(BUNDLE)?.map(entry).transpose()?;
        Ok(VerificationMaterial::new(content).with_tlog_entries(entries.into_iter().collect()))
    }

    /// Returns an annotation if it is present and not empty: cosign writes empty annotations for absent values.
    fn annotation(&self, key: &str) -> Result<Option<&str>, Rejection> {
        match self.annotations.get(key) {
            Some(text) if text.len() > ANNOTATION_MAX => {
                Err(Rejection::TooLarge { size: text.len() as u64, max: ANNOTATION_MAX as u64 })
            }
            Some(text) if !text.is_empty() => Ok(Some(text)),
            _ => Ok(None),
        }
    }
}

/// Returns the annotations of a `.sig` layer for a bundle. The promise is the only proof of the log that the format can
/// contain, so cosign rejects the annotations of a bundle without a promise.
pub(crate) fn annotations(bundle: &Bundle, chain: &[DerCertificate]) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if let SignatureContent::MessageSignature(message) = &bundle.content {
        annotations.insert(SIGNATURE.to_owned(), message.signature.to_base64());
    }
    if let Some(certificate) = bundle.signing_certificate() {
        annotations.insert(CERTIFICATE.to_owned(), certificate.to_pem());
        let chain: String = chain.iter().map(DerCertificate::to_pem).collect();
        annotations.insert(CHAIN.to_owned(), chain);
    }
    let promised = |entry: &&TransparencyLogEntry| entry.inclusion_promise.is_some();
    if let Some(entry) = bundle.verification_material.tlog_entries.iter().find(promised)
        && let Some(text) = rekor_bundle(entry)
    {
        annotations.insert(BUNDLE.to_owned(), text);
    }
    if let Some(timestamp) =
        bundle.verification_material.timestamp_verification_data.rfc3161_timestamps.first()
    {
        let text = serde_json::json!({ "SignedRFC3161Timestamp": timestamp.signed_timestamp.to_base64() });
        annotations.insert(TIMESTAMP.to_owned(), text.to_string());
    }
    annotations
}

fn rekor_bundle(entry: &TransparencyLogEntry) -> Option<String> {
    let payload = RekorPayload {
        body: entry.canonicalized_body.to_base64(),
        integrated_time: entry.integrated_time?.as_second(),
        log_index: entry.log_index.get(),
        log_id: hex::encode(entry.log_id.key_id.as_bytes()),
    };
    let promise = entry.inclusion_promise.as_ref()?.signed_entry_timestamp.to_base64();
    serde_json::to_string(&RekorBundle { promise, payload }).ok()
}

/// Returns the log entry that a promise covers.
fn entry(text: &str) -> Result<TransparencyLogEntry, Rejection> {
    /// The kind of entry, as its body states it.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        kind: String,
        api_version: String,
    }
    let bad = |error: &dyn std::fmt::Display| malformed("the log entry", error);
    let RekorBundle { promise, payload } = parse("the log entry", text.as_bytes())?;
    let body = decode("the log entry", &payload.body)?;
    let Kind { kind, api_version } = serde_json::from_slice(&body).map_err(|error| bad(&error))?;
    let kind: KindVersion =
        serde_json::from_value(serde_json::json!({ "kind": kind, "version": api_version }))
            .map_err(|error| bad(&error))?;
    let id = hex::decode(&payload.log_id).map_err(|error| bad(&error))?;
    let index = LogIndex::new(payload.log_index).map_err(|error| bad(&error))?;
    let time = jiff::Timestamp::from_second(payload.integrated_time).map_err(|error| bad(&error))?;
    let promise = InclusionPromise::new(SignedTimestamp::new(decode("the log's promise", &promise)?));
    let log = LogId::new(LogKeyId::new(id));
    Ok(TransparencyLogEntry::new(index, log, kind, CanonicalizedBody::new(body))
        .with_integrated_time(time)
        .with_inclusion_promise(promise))
}

/// Reads the certificates of a PEM text, in order.
fn certificates(pem: &str) -> Result<Vec<X509Certificate>, Rejection> {
    const END: &str = "-----END CERTIFICATE-----";
    const MOST: usize = 8;
    let certificates: Vec<X509Certificate> = pem
        .split_inclusive(END)
        .filter(|text| text.contains(END))
        .take(MOST + 1)
        .map(|text| DerCertificate::from_pem(text.trim()).map(X509Certificate::new))
        .collect::<Result<_, _>>()
        .map_err(|error| malformed("the certificate", error))?;
    match certificates.len() {
        0 => Err(malformed("the certificate", "it is not PEM")),
        many if many > MOST => Err(malformed("the certificate", "the chain is too long")),
        _ => Ok(certificates),
    }
}

/// Reads JSON in which names are unique within each object.
fn parse<T: serde::de::DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, Rejection> {
    names_are_unique(json).and_then(|()| serde_json::from_slice(json)).map_err(|error| malformed(what, error))
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, Rejection> {
    STANDARD.decode(text).map_err(|error| malformed(what, error))
}

fn malformed(what: &str, why: impl std::fmt::Display) -> Rejection {
    Rejection::Malformed(crate::error::bounded(&format!("{what}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_the_form_that_cosign_signs() {
        let optional = BTreeMap::from([("org.kubernetes.kpromo.version".to_owned(), "kpromo-1".to_owned())]);
        let payload = SimpleSigning::new("registry.k8s.io/pause", "sha256:ab", optional);
        assert_eq!(
            String::from_utf8(payload.to_json()).unwrap(),
            r#"{"critical":{"identity":{"docker-reference":"registry.k8s.io/pause"},"image":{"docker-manifest-digest":"sha256:ab"},"type":"cosign container image signature"},"optional":{"org.kubernetes.kpromo.version":"kpromo-1"}}"#
        );
        assert_eq!(SimpleSigning::parse(&payload.to_json()).unwrap(), payload);
    }

    #[test]
    fn a_payload_of_another_kind_is_rejected() {
        let other = br#"{"critical":{"identity":{"docker-reference":"a"},"image":{"docker-manifest-digest":"b"},"type":"atomic container signature"},"optional":null}"#;
        assert!(matches!(SimpleSigning::parse(other), Err(Rejection::Malformed(_))));
    }

    #[test]
    fn a_payload_with_a_repeated_name_is_refused() {
        let payload = |reference: &str| {
            format!(
                r#"{{"critical":{{"identity":{{"docker-reference":"a"}},"image":{{"docker-manifest-digest":"b"}},"type":"{SIGNATURE_KIND}"}},"optional":{{"a":{{{reference}}}}}}}"#
            )
        };
        SimpleSigning::parse(payload(r#""b":1"#).as_bytes()).unwrap();
        let twice = SimpleSigning::parse(payload(r#""b":1,"b":2"#).as_bytes());
        assert!(matches!(&twice, Err(Rejection::Malformed(why)) if why.contains("is repeated")), "{twice:?}");
    }

    #[test]
    fn annotations_are_bounded() {
        let annotations = BTreeMap::from([(SIGNATURE.to_owned(), "A".repeat(ANNOTATION_MAX + 1))]);
        let layer = CosignLayer { payload: b"", annotations: &annotations };
        assert!(matches!(layer.signature(), Err(Rejection::TooLarge { .. })));
        let many = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".repeat(20);
        assert!(certificates(&many).is_err());
    }
}
