//! Timestamps (RFC 3161).

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use sigstore_types::TimestampToken;
use transport::Door;
use url::Url;

use super::service::{ServiceRequest, granted, unusable};
use crate::error::{Service, SignError};
use crate::verify::Verifier;

/// The start of a request, up to the digest: version 1, and a message imprint by SHA-256 (RFC 3161, 2.4.1). Every field has a
/// fixed length, so the lengths in it are constant.
const HEAD: [u8; 24] = [
    0x30, 0x43, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
    0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
];
/// The tag and the length of the nonce.
const NONCE: [u8; 2] = [0x02, 0x08];
/// The flag that requests the authority's certificate.
const WITH_CERTIFICATE: [u8; 3] = [0x01, 0x01, 0xff];

/// Requests a timestamp over a signature. The answer is verified here, where the answering authority is known, and again with
/// the bundle that will contain it.
pub(super) async fn stamp(
    door: &Door,
    url: &Url,
    verifier: &Verifier,
    signature: &[u8],
) -> Result<TimestampToken, SignError> {
    let service = Service::TimestampAuthority;
    let body = request(signature, nonce()?);
    let content_type = "application/timestamp-query";
    let request =
        ServiceRequest { service, url: url.clone(), kind: "timestamp", content_type, body, secret: None };
    let answer = granted(request.ask(door).await?, service)?;
    let token = TimestampToken::new(answer.to_vec());
    verifier.timestamp(&token, signature).map_err(|why| unusable(service, url, why))?;
    Ok(token)
}

fn request(signature: &[u8], nonce: [u8; 8]) -> Vec<u8> {
    let digest = sigstore_crypto::sha256(signature);
    [&HEAD[..], digest.as_bytes(), &NONCE, &nonce, &WITH_CERTIFICATE].concat()
}

/// Returns a random number that is positive and has no leading zeros, as DER requires.
fn nonce() -> Result<[u8; 8], SignError> {
    let mut nonce = [0; 8];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| SignError::Key("the system gives no random numbers".to_owned()))?;
    nonce[0] = nonce[0] & 0x3f | 0x40;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_in_a_request_match_its_parts() {
        let der = request(b"signature", nonce().unwrap());
        assert_eq!(usize::from(der[1]), der.len() - 2);
        assert_eq!(usize::from(der[6]), HEAD.len() - 7 + 32);
        assert_eq!(&der[HEAD.len()..HEAD.len() + 32], sigstore_crypto::sha256(b"signature").as_bytes());
        assert!((0x40..0x80).contains(&der[HEAD.len() + 34]));
    }
}
