//! Certificates (Fulcio's `signingCert`, version 2).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use sigstore_crypto::{CertificateInfo, KeyPair};
use sigstore_types::DerCertificate;
use transport::Door;
use url::Url;

use super::service::{ServiceRequest, below, granted, unusable};
use crate::error::{Service, SignError};
use crate::identity::IdentityToken;
use crate::signatory::Signatory;
use crate::verify::check_clocks;

const SERVICE: Service = Service::Fulcio;

/// A key, and a certificate for it.
#[derive(Debug)]
pub(super) struct Certificate {
    pair: KeyPair,
    leaf: DerCertificate,
    chain: Vec<DerCertificate>,
    signatory: Signatory,
    not_after: Timestamp,
}

impl Certificate {
    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(super) fn leaf(&self) -> &DerCertificate {
        &self.leaf
    }

    /// Returns the certificates above the leaf.
    pub(super) fn chain(&self) -> &[DerCertificate] {
        &self.chain
    }

    pub(super) fn signatory(&self) -> &Signatory {
        &self.signatory
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Returns the remaining validity by the local clock, or `None` if the certificate has expired.
    pub(super) fn left(&self) -> Option<Duration> {
        Duration::try_from(self.not_after.duration_since(Timestamp::now())).ok()
    }

    pub(super) fn is_good_for(&self, time: SignedDuration) -> bool {
        Timestamp::now().saturating_add(time).is_ok_and(|then| then < self.not_after)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    signed_certificate_embedded_sct: Option<Issued>,
}

#[derive(Deserialize)]
struct Issued {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

/// Requests a certificate for a new key and the identity of the token.
pub(super) async fn certificate(
    door: &Door,
    fulcio: &Url,
    token: &IdentityToken,
) -> Result<Certificate, SignError> {
    let key_error = |error: sigstore_crypto::Error| SignError::Key(error.to_string());
    let pair = KeyPair::generate_ecdsa_p256().map_err(key_error)?;
    let public = pair.public_key_der().map_err(key_error)?;
    let possession = pair.sign(token.proof_subject().as_bytes()).map_err(key_error)?;
    let body = json!({
        "credentials": { "oidcIdentityToken": token.raw().reveal() },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": public.to_pem() },
            "proofOfPossession": STANDARD.encode(possession.as_bytes()),
        },
    });
    let url = below(fulcio, "api/v2/signingCert");
    let request = ServiceRequest {
        service: SERVICE,
        url: url.clone(),
        kind: "fulcio",
        content_type: "application/json",
        body: body.to_string().into_bytes(),
        secret: Some(token.raw().clone()),
    };
    let answer = granted(request.ask(door).await?, SERVICE)?;
    let (leaf, chain) = read(&answer).map_err(|why| unusable(SERVICE, &url, why))?;
    let info = sigstore_crypto::parse_certificate_info(&leaf).map_err(|why| unusable(SERVICE, &url, why))?;
    if info.public_key != public {
        return Err(unusable(SERVICE, &url, "the certificate is for another key than ours"));
    }
    // Checked before anything is logged, because a signature with this certificate would not be accepted here.
    check_clocks(info.not_before, Timestamp::now()).map_err(|why| unusable(SERVICE, &url, why))?;
    let signatory =
        signatory(&info).ok_or_else(|| unusable(SERVICE, &url, "the certificate has no identity"))?;
    if !token.issuers().any(|issuer| signatory == named(token, issuer)) {
        let (expected, got) = (named(token, token.issuer()).to_string(), signatory.to_string());
        return Err(SignError::WrongSignatory { expected, got });
    }
    Ok(Certificate { pair, leaf, chain, signatory, not_after: info.not_after })
}

fn read(answer: &[u8]) -> Result<(DerCertificate, Vec<DerCertificate>), String> {
    const MOST: usize = 8;
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let issued =
        answer.signed_certificate_embedded_sct.ok_or("it holds no certificate with its log's timestamp")?;
    let texts = issued.chain.certificates;
    if texts.len() > MOST {
        return Err("its chain is too long".to_owned());
    }
    let mut certificates = texts
        .iter()
        .map(|pem| DerCertificate::from_pem(pem).map_err(|error| error.to_string()))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter();
    let leaf = certificates.next().ok_or("it holds no certificate")?;
    Ok((leaf, certificates.collect()))
}

/// Returns the signatory that a certificate for the token must name.
fn named(token: &IdentityToken, issuer: &str) -> Signatory {
    Signatory::Certificate { issuer: issuer.to_owned(), subject: token.identity().to_owned() }
}

fn signatory(info: &CertificateInfo) -> Option<Signatory> {
    let subject = info.identity.as_ref()?.as_str().to_owned();
    Some(Signatory::Certificate { issuer: info.issuer.clone()?, subject })
}
