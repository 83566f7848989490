//! User-managed keys in PEM files, including cosign's encrypted ones.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde::Deserialize;
use sigstore_crypto::KeyPair;
use sigstore_types::DerPublicKey;
use transport::Secret;

use crate::error::{TrustError, bounded};
use crate::signatory::Signatory;

/// The maximum size of a key file, in bytes.
const FILE_MAX: usize = 64 * 1024;

/// The kinds of public keys that are accepted.
const PUBLIC_KINDS: &str = "supported are ECDSA keys on P-256 or P-384, RSA keys and Ed25519 keys; \
                            `cosign public-key --key cosign.key` prints that of a private key";
/// The kind of private keys that is accepted, and how to get one.
const PRIVATE_KIND: &str = "kpromo signs with an ECDSA key on P-256, encrypted by cosign or unencrypted in PKCS #8; \
                            `cosign generate-key-pair` makes one";

/// A public key that verifies signatures.
#[derive(Clone, Debug, PartialEq)]
pub struct VerificationKey(DerPublicKey);

impl VerificationKey {
    /// Reads a public key from PEM (`PUBLIC KEY`, RFC 5280 *SubjectPublicKeyInfo*).
    ///
    /// # Errors
    /// Returns an error if the text is not a public key, or if the key's algorithm is not supported.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let unusable = |why: String| TrustError::unusable("the verification key", why);
        let text = text(pem).map_err(unusable)?;
        if text.contains("PRIVATE KEY-----") {
            let why = "it is a private key; signatures are verified with the public one, such as cosign.pub";
            return Err(unusable(why.to_owned()));
        }
        let der = DerPublicKey::from_pem(text)
            .map_err(|_| unusable(format!("it is not a public key in PEM (`PUBLIC KEY`): {PUBLIC_KINDS}")))?;
        sigstore_crypto::VerificationKey::from_spki(&der)
            .map_err(|_| unusable(format!("it is of a kind that is not supported: {PUBLIC_KINDS}")))?;
        Ok(Self(der))
    }

    /// Returns the key as PEM.
    pub fn to_pem(&self) -> String {
        self.0.to_pem()
    }

    /// Returns the SHA-256 digest of the key's DER, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        sigstore_crypto::sha256(self.0.as_bytes()).to_hex()
    }

    /// Returns the holder of the private key as a signatory.
    pub fn signatory(&self) -> Signatory {
        Signatory::Key { fingerprint: self.fingerprint() }
    }

    pub(crate) fn der(&self) -> &DerPublicKey {
        &self.0
    }
}

/// A private key for signing: ECDSA on P-256, the kind that cosign generates.
#[derive(Debug)]
pub struct SigningKey {
    pair: KeyPair,
    public: DerPublicKey,
}

/// The content of the PEM text of an encrypted cosign key.
#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: KdfParameters,
    salt: String,
}

#[derive(Deserialize)]
struct KdfParameters {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

impl SigningKey {
    /// Generates a key.
    ///
    /// # Errors
    /// Returns an error if the system provides no random numbers.
    pub fn generate() -> Result<Self, TrustError> {
        Self::from_pem(Self::generate_pem()?.reveal().as_bytes(), None)
    }

    /// Generates a key and returns it as unencrypted PEM (PKCS #8).
    ///
    /// # Errors
    /// Returns an error if the system provides no random numbers.
    pub fn generate_pem() -> Result<Secret, TrustError> {
        /// The number of characters in a line (RFC 7468, section 2).
        const LINE: usize = 64;
        let document = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map_err(|_| unusable("none can be made: the system gives no random numbers"))?;
        let content = STANDARD.encode(document.as_ref());
        let lines = content.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
        let content = lines.map(|line| format!("{line}\n")).collect::<String>();
        Ok(Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{content}-----END PRIVATE KEY-----\n")))
    }

    /// Reads a private key from PEM: `PRIVATE KEY` (PKCS #8), or a key that cosign encrypted, with its password.
    ///
    /// # Errors
    /// Returns an error if the text is not a private key, the key is of another kind, or the password is wrong.
    pub fn from_pem(pem: &[u8], password: Option<&Secret>) -> Result<Self, TrustError> {
        let text = text(pem).map_err(unusable)?;
        let (label, der) = unwrap_pem(text)?;
        let der = match label.as_str() {
            "PRIVATE KEY" => der,
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let password = password.ok_or_else(|| {
                    unusable("it is encrypted, and there is no password: set COSIGN_PASSWORD")
                })?;
                decrypt(&der, password)?
            }
            "EC PRIVATE KEY" => {
                return Err(unusable(
                    "it is in the form SEC 1: convert it with `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW`",
                ));
            }
            "ENCRYPTED PRIVATE KEY" => {
                return Err(unusable(
                    "it is encrypted in PKCS #8, which is not read: `cosign import-key-pair --key KEY` encrypts it as cosign does, \
                     `openssl pkcs8 -in KEY -out NEW` decrypts it",
                ));
            }
            "RSA PRIVATE KEY" => return Err(unusable(format!("it is an RSA key: {PRIVATE_KIND}"))),
            "PUBLIC KEY" => return Err(unusable(format!("it is a public key: {PRIVATE_KIND}"))),
            other => {
                let other = bounded(other);
                return Err(unusable(format!(
                    "a PEM text of `{other}` is not a private key: {PRIVATE_KIND}"
                )));
            }
        };
        let pair = KeyPair::from_pkcs8_der(&der);
        pair.map_err(|_| unusable(format!("{}: {PRIVATE_KIND}", kind(&der)))).and_then(Self::new)
    }

    fn new(pair: KeyPair) -> Result<Self, TrustError> {
        let public = pair.public_key_der().map_err(unusable)?;
        Ok(Self { pair, public })
    }

    /// Returns the public key that belongs to this key.
    pub fn verification_key(&self) -> VerificationKey {
        VerificationKey(self.public.clone())
    }

    pub(crate) fn signatory(&self) -> Signatory {
        self.verification_key().signatory()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(crate) fn public(&self) -> &DerPublicKey {
        &self.public
    }
}

/// Describes a private key that is not accepted.
fn kind(pkcs8: &[u8]) -> &'static str {
    let is_ecdsa = |curve| EcdsaKeyPair::from_pkcs8(curve, pkcs8).is_ok();
    if RsaKeyPair::from_pkcs8(pkcs8).is_ok() {
        "it is an RSA key"
    } else if Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).is_ok() {
        "it is an Ed25519 key"
    } else if is_ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING) {
        "it is an ECDSA key on P-384"
    } else if is_ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING) {
        "it is an ECDSA key on P-521"
    } else {
        "it is not a supported kind of private key"
    }
}

fn unusable(why: impl std::fmt::Display) -> TrustError {
    TrustError::unusable("the signing key", why)
}

fn text(pem: &[u8]) -> Result<&str, String> {
    if pem.len() > FILE_MAX {
        return Err(format!("it has {} bytes; no more than {FILE_MAX} are read", pem.len()));
    }
    std::str::from_utf8(pem).map_err(|_| "it is not PEM".to_owned())
}

/// Reads the label and the content of a PEM text (RFC 7468).
fn unwrap_pem(text: &str) -> Result<(String, Vec<u8>), TrustError> {
    let bad = || unusable(format!("it is not a private key in PEM: {PRIVATE_KIND}"));
    let (_, rest) = text.split_once("-----BEGIN ").ok_or_else(bad)?;
    let (label, rest) = rest.split_once("-----").ok_or_else(bad)?;
    let (content, _) = rest.split_once(&format!("-----END {label}-----")).ok_or_else(bad)?;
    let content: String = content.split_ascii_whitespace().collect();
    Ok((label.to_owned(), STANDARD.decode(content).map_err(|_| bad())?))
}

/// Decrypts a cosign key: scrypt (RFC 7914) and NaCl's secretbox.
fn decrypt(content: &[u8], password: &Secret) -> Result<Vec<u8>, TrustError> {
    /// Limits the cost of scrypt. The parameters that cosign writes are far below this limit.
    const WORK_MAX: u64 = 1 << 25;
    let bad = || unusable("it is not an encrypted key of cosign");
    let Encrypted { kdf, cipher, ciphertext } = serde_json::from_slice(content).map_err(|_| bad())?;
    if kdf.name != "scrypt" || cipher.name != "nacl/secretbox" {
        return Err(unusable(format!(
            "encrypted with {} and {}, which are not known",
            bounded(&kdf.name),
            bounded(&cipher.name)
        )));
    }
    let KdfParameters { n, r, p } = kdf.params;
    let work = n.saturating_mul(r.into()).saturating_mul(p.into());
    if !n.is_power_of_two() || n < 2 || work > WORK_MAX {
        return Err(unusable("its encryption parameters exceed the limits"));
    }
    let exponent = u8::try_from(n.trailing_zeros()).map_err(|_| bad())?;
    let parameters = scrypt::Params::new(exponent, r, p).map_err(|_| bad())?;
    let mut key = [0; 32];
    let salt = STANDARD.decode(kdf.salt).map_err(|_| bad())?;
    scrypt::scrypt(password.reveal().as_bytes(), &salt, &parameters, &mut key).map_err(|_| bad())?;
    let nonce: [u8; 24] =
        STANDARD.decode(cipher.nonce).ok().and_then(|nonce| nonce.try_into().ok()).ok_or_else(bad)?;
    let ciphertext = STANDARD.decode(ciphertext).map_err(|_| bad())?;
    XSalsa20Poly1305::new(Key::from_slice(&key))
        .decrypt(Nonce::from_slice(&nonce), ciphertext.as_slice())
        .map_err(|_| unusable("the password in COSIGN_PASSWORD is wrong"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn private(label: &str, der: &[u8]) -> String {
        SigningKey::from_pem(pem(label, der).as_bytes(), None).unwrap_err().to_string()
    }

    #[test]
    fn the_error_for_an_unsupported_private_key_names_its_kind_and_the_supported_one() {
        let rsa = RsaPair::generate(KeySize::Rsa2048).unwrap();
        let rsa = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
        let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap();
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap().to_pkcs8v1().unwrap();
        for (der, expected) in [
            (rsa.as_ref(), "it is an RSA key"),
            (ed25519.as_ref(), "it is an Ed25519 key"),
            (p384.as_ref(), "it is an ECDSA key on P-384"),
            (b"nonsense", "not a supported kind of private key"),
        ] {
            let error = private("PRIVATE KEY", der);
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("P-256") && error.contains("cosign generate-key-pair"), "{error}");
        }
        for (label, expected) in [
            ("RSA PRIVATE KEY", "an RSA key"),
            ("PUBLIC KEY", "a public key"),
            ("ENCRYPTED PRIVATE KEY", "cosign import-key-pair"),
            ("EC PRIVATE KEY", "openssl pkcs8 -topk8"),
            ("OPENSSH PRIVATE KEY", "cosign generate-key-pair"),
        ] {
            let error = private(label, b"content");
            assert!(error.contains(expected), "{label}: {error}");
        }
    }

    #[test]
    fn the_error_for_an_invalid_verification_key_names_the_accepted_kinds() {
        let error = |pem: &str| VerificationKey::from_pem(pem.as_bytes()).unwrap_err().to_string();
        assert!(error(&pem("PRIVATE KEY", b"x")).contains("the public one"));
        for wrong in ["nothing", &pem("PUBLIC KEY", b"nonsense")] {
            assert!(error(wrong).contains("cosign public-key"), "{}", error(wrong));
        }
    }

    #[test]
    fn a_wrong_password_is_reported() {
        let kdf = r#"{"name":"scrypt","params":{"N":2,"r":1,"p":1},"salt":"AAAA"}"#;
        let cipher = r#"{"name":"nacl/secretbox","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
        let content = format!(r#"{{"kdf":{kdf},"cipher":{cipher},"ciphertext":"AAAAAAAAAAAAAAAAAAAAAAAA"}}"#);
        let pem = pem("ENCRYPTED SIGSTORE PRIVATE KEY", content.as_bytes());
        let error = SigningKey::from_pem(pem.as_bytes(), Some(&Secret::new("x"))).unwrap_err().to_string();
        assert!(error.contains("the password in COSIGN_PASSWORD is wrong"), "{error}");
    }
}
