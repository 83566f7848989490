//! Logging of signatures: Rekor v1, which returns a promise and an inclusion proof, and Rekor v2, which answers when the entry
//! is in a signed checkpoint.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use sigstore_rekor::LogEntry;
use sigstore_types::{DerCertificate, DerPublicKey, KindVersion, SignatureContent, TransparencyLogEntry};
use transport::{Answer, Class, Door, Request};
use url::Url;

use super::content::Made;
use super::service::{ServiceRequest, below, granted, send, unusable};
use crate::error::{Service, SignError};
use crate::trust::RekorVersion;

const SERVICE: Service = Service::Rekor;

/// The key or the certificate that a log verifies a signature with.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    Certificate(&'a DerCertificate),
    Key(&'a DerPublicKey),
}

impl Proof<'_> {
    fn pem(self) -> String {
        match self {
            Self::Certificate(certificate) => certificate.to_pem(),
            Self::Key(key) => key.to_pem(),
        }
    }
}

/// A proposed entry, for logs of both versions.
pub(super) struct Proposal {
    v1: Value,
    v1_kind: KindVersion,
    v2: Value,
    /// The signature that the resulting entry must contain, in base64.
    signature: String,
}

impl Proposal {
    pub(super) fn new(made: &Made, proof: Proof<'_>) -> Result<Self, SignError> {
        let pem = STANDARD.encode(proof.pem());
        let signature = made.signature.to_base64();
        let (v1_kind, spec) = match &made.content {
            SignatureContent::DsseEnvelope(envelope) => {
                let text =
                    serde_json::to_string(envelope).map_err(|error| SignError::Key(error.to_string()))?;
                let content = json!({ "envelope": text, "verifiers": [pem] });
                (KindVersion::DsseV001, json!({ "proposedContent": content }))
            }
            _ => {
                let hash = json!({ "algorithm": "sha256", "value": made.digest.to_hex() });
                let signed = json!({ "content": signature, "publicKey": { "content": pem } });
                (KindVersion::HashedRekordV001, json!({ "data": { "hash": hash }, "signature": signed }))
            }
        };
        let v1 = json!({ "apiVersion": v1_kind.version(), "kind": v1_kind.kind(), "spec": spec });
        let mut verifier = json!({ "keyDetails": "PKIX_ECDSA_P256_SHA_256" });
        match proof {
            Proof::Certificate(it) => verifier["x509Certificate"] = json!({ "rawBytes": it.to_base64() }),
            Proof::Key(it) => verifier["publicKey"] = json!({ "rawBytes": it.to_base64() }),
        }
        let v2 = json!({ "hashedRekordRequestV002": {
            "digest": made.digest.to_base64(),
            "signature": { "content": signature, "verifier": verifier },
        } });
        Ok(Self { v1, v1_kind, v2, signature })
    }
}

/// Logs an entry. The answer is verified with the bundle that will contain it.
pub(super) async fn log(
    door: &Door,
    log: &Url,
    version: RekorVersion,
    proposal: &Proposal,
) -> Result<TransparencyLogEntry, SignError> {
    let (path, body) = match version {
        RekorVersion::V1 => ("api/v1/log/entries", &proposal.v1),
        RekorVersion::V2 => ("api/v2/log/entries", &proposal.v2),
    };
    let url = below(log, path);
    let request = ServiceRequest {
        service: SERVICE,
        url: url.clone(),
        kind: "rekor",
        content_type: "application/json",
        body: body.to_string().into_bytes(),
        secret: None,
    };
    let mut response = request.ask(door).await?;
    if version == RekorVersion::V1 && response.status() == StatusCode::CONFLICT {
        response = logged_before(door, log, &response).await?;
    }
    let answer = granted(response, SERVICE)?;
    let entry = match version {
        RekorVersion::V1 => entry_v1(&answer, proposal.v1_kind),
        RekorVersion::V2 => serde_json::from_slice(&answer).map_err(|error| error.to_string()),
    };
    let entry: TransparencyLogEntry = entry.map_err(|why| unusable(SERVICE, &url, why))?;
    // Checked here, where the answering log is known. The rest of the entry is verified with the bundle.
    if !names(entry.canonicalized_body.as_bytes(), &proposal.signature) {
        return Err(unusable(SERVICE, &url, "an entry about another signature than ours"));
    }
    Ok(entry)
}

/// Returns whether an entry contains a signature. The place depends on the kind of entry, so the whole body is searched.
fn names(body: &[u8], signature: &str) -> bool {
    fn is_in(value: &Value, signature: &str) -> bool {
        match value {
            Value::String(text) => text == signature,
            Value::Array(items) => items.iter().any(|item| is_in(item, signature)),
            Value::Object(fields) => fields.values().any(|field| is_in(field, signature)),
            _ => false,
        }
    }
    serde_json::from_slice(body).is_ok_and(|body: Value| is_in(&body, signature))
}

/// Requests an entry that was logged by an earlier request whose answer was lost. The log's answer to the conflict contains the
/// entry's identifier. The entry is requested only from this log, whatever host that answer names.
async fn logged_before(door: &Door, log: &Url, conflict: &Answer) -> Result<Answer, SignError> {
    let asked = conflict.url().clone();
    let place = conflict.header(header::LOCATION.as_str()).unwrap_or_default();
    let id = place.rsplit('/').next().unwrap_or_default().to_owned();
    let is_id = (64..=80).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(unusable(SERVICE, &asked, "a conflict that names no entry"));
    }
    let url = below(log, &format!("api/v1/log/entries/{id}"));
    send(door, SERVICE, Request::new(Method::GET, url, "rekor", Class::Read)).await
}

/// Reads the single entry in an answer of Rekor v1, a map from entry UUID to entry.
fn entry_v1(answer: &Bytes, kind: KindVersion) -> Result<TransparencyLogEntry, String> {
    let entries: HashMap<String, LogEntry> =
        serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let number = entries.len();
    let mut entries = entries.into_values();
    let (Some(entry), None) = (entries.next(), entries.next()) else {
        return Err(format!("it holds {number} entries where one was asked for"));
    };
    entry.to_bundle_entry(kind).map_err(|error| error.to_string())
}
