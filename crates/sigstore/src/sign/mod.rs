//! Signing: with a key, or with certificates of an identity. All signatures use the same key and certificate while the
//! certificate is valid, so a run asks Fulcio a few times and not once per signature.
//!
//! The answers of Fulcio, Rekor and the timestamp authority are not trusted: a bundle is returned only after it has been
//! verified like any other bundle and its signatory is the expected one.
//!
//! A temporary failure of a service delays signatures, and fails them only if it lasts: a signer continues to retry after the
//! retries of the door ([`waiting`]). The caller limits the number of waiting signatures by the number of concurrent calls.

mod content;
mod fulcio;
mod rekor;
mod service;
mod source;
#[cfg(test)]
mod tests;
mod timestamp;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use content::Content;
use fulcio::Certificate;
use futures_util::future::try_join_all;
use jiff::SignedDuration;
use sigstore_crypto::KeyPair;
use sigstore_types::bundle::{
    CertificateContent, PublicKeyIdentifier, Rfc3161Timestamp, TimestampVerificationData,
    VerificationMaterial, VerificationMaterialContent,
};
use sigstore_types::{Bundle, DerCertificate, MediaType};
pub use source::{Owner, SignerSource};
use tokio::sync::Mutex;
use tokio::time::timeout;
use transport::Door;
use waiting::{Failed, Waiting};

use crate::error::{SignError, TrustError};
use crate::identity::Identity;
use crate::key::SigningKey;
use crate::legacy;
use crate::signatory::Signatory;
use crate::statement::Statement;
use crate::trust::Services;
use crate::verify::Verifier;

/// The minimum remaining validity of a certificate. The signature must be logged before the certificate expires.
const MARGIN: SignedDuration = SignedDuration::from_secs(90);

/// A signer. Cloning it is cheap, and all clones share a certificate.
#[derive(Clone, Debug)]
pub struct Signer {
    door: Door,
    holder: Arc<Holder>,
    services: Arc<Services>,
    verifier: Arc<Verifier>,
    /// The retries of logs and timestamp authorities.
    waiting: Arc<Waiting>,
}

/// The holder of the signing key.
#[derive(Debug)]
enum Holder {
    Key(SigningKey),
    Identity {
        identity: Box<Identity>,
        /// The certificate in use. The first task that finds it stale requests a new one while the others wait for the lock.
        current: Mutex<Option<Arc<Certificate>>>,
        /// The retries of tokens and certificates.
        waiting: Waiting,
    },
}

impl Holder {
    fn of(identity: Identity) -> Self {
        let (current, waiting) = Default::default();
        Self::Identity { identity: Box::new(identity), current, waiting }
    }

    /// Forgets failures to get tokens and certificates.
    fn try_again(&self) {
        if let Self::Identity { identity, waiting, .. } = self {
            identity.try_again();
            waiting.try_again();
        }
    }
}

/// A verified signature of a [`Signer`].
#[derive(Clone, Debug)]
pub struct Signed {
    bundle: Bundle,
    /// The certificates above the signer's, as returned by Fulcio.
    chain: Vec<DerCertificate>,
    /// The signatory.
    pub signatory: Signatory,
}

impl Signed {
    /// Returns the bundle (v0.3) as JSON.
    pub fn bundle(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "bundles always serialize")]
        self.bundle.to_json().expect("a bundle serializes to JSON").into_bytes()
    }

    /// Returns the annotations of a `.sig` layer whose content is the signed message.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        legacy::annotations(&self.bundle, &self.chain)
    }
}

/// The key or the certificate for one signature.
enum Credential<'a> {
    Key(&'a SigningKey),
    Certificate(Arc<Certificate>),
}

impl Signer {
    /// Creates a signer with a key. Without services, nothing is logged. `root` is the trusted root of the services.
    ///
    /// # Errors
    /// The same as [`Verifier::with_key`].
    pub fn with_key(
        door: Door,
        key: SigningKey,
        services: Services,
        root: Option<&[u8]>,
    ) -> Result<Self, SignError> {
        let verifier = Arc::new(Verifier::with_key(key.verification_key(), root)?);
        Ok(Self::new(door, Arc::new(Holder::Key(key)), services, verifier))
    }

    /// Creates a signer with certificates of an identity. `verifier` verifies new signatures and must trust the services.
    pub fn with_identity(
        door: Door,
        identity: Identity,
        services: Services,
        verifier: Arc<Verifier>,
    ) -> Self {
        Self::new(door, Arc::new(Holder::of(identity)), services, verifier)
    }

    fn new(door: Door, holder: Arc<Holder>, services: Services, verifier: Arc<Verifier>) -> Self {
        Self { door, holder, services: Arc::new(services), verifier, waiting: Arc::default() }
    }

    /// Forgets all failures of services: the next signature asks them again, with full patience. Call it before a second round
    /// at the end of a phase.
    pub fn try_again(&self) {
        self.holder.try_again();
        self.waiting.try_again();
    }

    /// Returns the signatory. Requests a certificate if necessary, so that a wrong identity is detected before anything is
    /// signed.
    ///
    /// # Errors
    /// Returns an error if there is no identity, or no certificate for it.
    pub async fn signatory(&self) -> Result<Signatory, SignError> {
        Ok(self.credential().await?.signatory())
    }

    /// Returns the verifier for signatures of this signer and of all other trusted signers.
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// Signs bytes.
    ///
    /// # Errors
    /// Returns an error if a service fails, or if the signature does not verify.
    pub async fn message(&self, message: &[u8]) -> Result<Signed, SignError> {
        self.sign(Content::Message(message)).await
    }

    /// Signs a statement about the artifact with this SHA-256 digest, in hexadecimal.
    ///
    /// # Errors
    /// The same as [`Signer::message`].
    pub async fn statement(&self, statement: &Statement, sha256: &str) -> Result<Signed, SignError> {
        self.statement_bytes(&statement.to_json(), sha256).await
    }

    /// Signs an existing statement without changing its bytes.
    ///
    /// # Errors
    /// The same as [`Signer::message`].
    pub async fn statement_bytes(&self, json: &[u8], sha256: &str) -> Result<Signed, SignError> {
        self.sign(Content::Statement { json, sha256 }).await
    }

    async fn sign(&self, content: Content<'_>) -> Result<Signed, SignError> {
        let Services { rekor, timestamp_authorities, .. } = &*self.services;
        let services = rekor.iter().map(|(url, _)| url).chain(timestamp_authorities);
        let patience = waiting::patience(&self.door, services);
        self.waiting.retry(patience, || self.attempt(content)).await
    }

    /// Signs once. If the certificate expires in the meantime, signs again with a new one.
    async fn attempt(&self, content: Content<'_>) -> Result<Signed, Failed> {
        // Requests for credentials have their own retries.
        let credential = async || self.credential().await.map_err(Failed::Permanent);
        let with = credential().await?;
        let signed = match with.left() {
            Some(left) => timeout(left, self.sign_with(content, &with)).await.ok(),
            None => Some(self.sign_with(content, &with).await),
        };
        match signed {
            // The certificate expired before the signature was logged: services can be slow.
            Some(Err(SignError::Unverified(_))) if with.is_expired() => {}
            Some(result) => return Ok(result?),
            None => {}
        }
        Ok(self.sign_with(content, &credential().await?).await?)
    }

    /// Makes a signature with all its proofs.
    async fn sign_with(&self, content: Content<'_>, with: &Credential<'_>) -> Result<Signed, SignError> {
        let Self { door, services, verifier, .. } = self;
        let made = content.signed(with.pair())?;
        let proposal = rekor::Proposal::new(&made, with.proof())?;
        let entries = services.rekor.iter().map(|(url, version)| rekor::log(door, url, *version, &proposal));
        let stamps = services.timestamp_authorities.iter();
        let stamps = stamps.map(|url| timestamp::stamp(door, url, verifier, made.signature.as_bytes()));
        let (entries, stamps) = tokio::try_join!(try_join_all(entries), try_join_all(stamps))?;
        let stamps = stamps.into_iter().map(Rfc3161Timestamp::new).collect();
        let material = VerificationMaterial::new(with.material())
            .with_tlog_entries(entries)
            .with_timestamp_verification_data(TimestampVerificationData::new(stamps));
        let bundle = Bundle::new(MediaType::Bundle0_3, material, made.content);
        let verified = verifier
            .check(&bundle, &content.artifact()?)
            .map_err(|why| SignError::Unverified(why.with_parties(&services.to_string())))?;
        let (expected, got) = (with.signatory(), verified.signatory);
        if got != expected {
            return Err(SignError::WrongSignatory { expected: expected.to_string(), got: got.to_string() });
        }
        Ok(Signed { bundle, chain: with.chain().to_vec(), signatory: got })
    }

    /// Returns the current credential: the key, or a certificate that remains valid long enough.
    async fn credential(&self) -> Result<Credential<'_>, SignError> {
        let (identity, current, waiting) = match &*self.holder {
            Holder::Key(key) => return Ok(Credential::Key(key)),
            Holder::Identity { identity, current, waiting } => (identity, current, waiting),
        };
        let mut current = current.lock().await;
        if let Some(certificate) = current.as_ref().filter(|certificate| certificate.is_good_for(MARGIN)) {
            return Ok(Credential::Certificate(Arc::clone(certificate)));
        }
        let patience = waiting::patience(&self.door, &self.services.fulcio);
        let asked = waiting.retry(patience, async || Ok(self.certificate(identity).await?)).await;
        // A permanent failure is also remembered, so that not every signature repeats the request.
        let certificate = asked.inspect_err(|error| waiting.give_up(error))?;
        *current = Some(Arc::clone(&certificate));
        Ok(Credential::Certificate(certificate))
    }

    /// Requests a new certificate.
    async fn certificate(&self, identity: &Identity) -> Result<Arc<Certificate>, SignError> {
        let fulcio = self
            .services
            .fulcio
            .as_ref()
            .ok_or_else(|| TrustError::Service("no Fulcio, which identities need".to_owned()))?;
        let token = identity.token().await?;
        let certificate = Arc::new(fulcio::certificate(&self.door, fulcio, &token).await?);
        tracing::debug!(signatory = %certificate.signatory(), until = %certificate.not_after(), "certificate");
        Ok(certificate)
    }
}

impl Credential<'_> {
    fn pair(&self) -> &KeyPair {
        match self {
            Self::Key(key) => key.pair(),
            Self::Certificate(certificate) => certificate.pair(),
        }
    }

    fn signatory(&self) -> Signatory {
        match self {
            Self::Key(key) => key.signatory(),
            Self::Certificate(certificate) => certificate.signatory().clone(),
        }
    }

    /// Returns the proof that a log needs to verify the signature.
    fn proof(&self) -> rekor::Proof<'_> {
        match self {
            Self::Key(key) => rekor::Proof::Key(key.public()),
            Self::Certificate(certificate) => rekor::Proof::Certificate(certificate.leaf()),
        }
    }

    fn material(&self) -> VerificationMaterialContent {
        match self {
            // Cosign's hint: the digest of the key.
            Self::Key(key) => VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new(
                sigstore_crypto::sha256(key.public().as_bytes()).to_base64(),
            )),
            Self::Certificate(certificate) => {
                VerificationMaterialContent::Certificate(CertificateContent::new(certificate.leaf().clone()))
            }
        }
    }

    fn chain(&self) -> &[DerCertificate] {
        match self {
            Self::Key(_) => &[],
            Self::Certificate(certificate) => certificate.chain(),
        }
    }

    /// Returns the remaining validity, or `None` for a key and for an expired certificate.
    fn left(&self) -> Option<Duration> {
        match self {
            Self::Key(_) => None,
            Self::Certificate(certificate) => certificate.left(),
        }
    }

    /// Returns whether the certificate has expired.
    fn is_expired(&self) -> bool {
        match self {
            Self::Key(_) => false,
            Self::Certificate(certificate) => !certificate.is_good_for(SignedDuration::ZERO),
        }
    }
}
