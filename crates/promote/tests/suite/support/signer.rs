//! The keys that promotions sign with, and checks of what they have signed.

use std::collections::BTreeMap;

use oci::{AttachedTag, AttachmentKind, Digest, Known, NewLayer, Reader, Repository, Selector};
use sigstore::{
    CosignLayer, SIMPLE_SIGNING_TYPE, Services, Signer, SignerSource, SigningKey, SimpleSigning, Statement,
    Trust, TrustSettings, VerificationKey, Verifier,
};
use transport::{Door, Secret};
use trust::{Promoter, SignatureFormat, Signing, TrustConfig};

use super::hand::BUNDLE;

pub(crate) const RECORD: &str = "https://k8s.io/promo-tools/promotion/v1";

/// A key and the format of its signatures. It outlives a run, unlike the signers created from it.
pub(crate) struct Identity {
    private: Secret,
    public: String,
    format: SignatureFormat,
}

impl Identity {
    pub(crate) fn new(format: SignatureFormat) -> Self {
        let private = SigningKey::generate_pem().unwrap();
        let key = SigningKey::from_pem(private.reveal().as_bytes(), None).unwrap();
        Self { private, public: key.verification_key().to_pem(), format }
    }

    /// Returns the configuration of a new run that signs with this key.
    pub(crate) fn trust_config(&self, door: &Door, canonical_host: oci::Host) -> TrustConfig {
        let key = SigningKey::from_pem(self.private.reveal().as_bytes(), None).unwrap();
        let trust = Trust::new(door.clone(), TrustSettings::default()).unwrap();
        let signer = SignerSource::key(door.clone(), key, trust);
        let promoter = Promoter { version: "0.0.0-test".to_owned(), ..Promoter::default() };
        TrustConfig {
            signing: Some(Signing { signer, format: self.format, at_once: 8, summaries: None, promoter }),
            ..super::trust_config(door, TrustSettings::default(), canonical_host)
        }
    }

    /// Returns a layer for a `.sig` tag, signed with this key, whose payload names a reference and a digest.
    pub(crate) async fn layer(&self, reference: &str, digest: Digest) -> NewLayer {
        let key = SigningKey::from_pem(self.private.reveal().as_bytes(), None).unwrap();
        let signer = Signer::with_key(super::door(), key, Services::none(), None).unwrap();
        let payload = SimpleSigning::new(reference, &digest.to_string(), BTreeMap::new()).to_json();
        let annotations = signer.message(&payload).await.unwrap().annotations();
        NewLayer { media_type: SIMPLE_SIGNING_TYPE.to_owned(), content: payload.into(), annotations }
    }

    /// Returns trust in this key and nothing else.
    pub(crate) fn trust(&self) -> Trust {
        let key = VerificationKey::from_pem(self.public.as_bytes()).unwrap();
        let settings = TrustSettings { verification_key: Some(key), ..TrustSettings::default() };
        Trust::new(super::door(), settings).unwrap()
    }

    fn verifier(&self) -> Verifier {
        Verifier::with_key(VerificationKey::from_pem(self.public.as_bytes()).unwrap(), None).unwrap()
    }

    /// Returns the number of layers in the `.sig` tag of a digest that this key has signed.
    pub(crate) async fn layers(&self, reader: &Reader, canonical: &Repository, digest: Digest) -> usize {
        let tag = AttachedTag::new(digest, AttachmentKind::Signature).unwrap().tag();
        let Some(attachment) = reader.attachment(canonical, Selector::Tag(&tag)).await.unwrap().present()
        else {
            return 0;
        };
        let mut count = 0;
        for layer in &attachment.layers {
            let payload = reader.small_blob(canonical, layer.digest, layer.size, 1 << 20).await.unwrap();
            let layer = CosignLayer { payload: &payload, annotations: &layer.annotations };
            let verified = self.verifier().cosign_signature(&layer);
            count += usize::from(verified.is_ok_and(|it| it.content.digest() == digest.to_string()));
        }
        count
    }

    /// Returns the statements about a digest that this key has signed.
    pub(crate) async fn statements(
        &self,
        reader: &Reader,
        canonical: &Repository,
        digest: Digest,
    ) -> Vec<Statement> {
        let mut statements = Vec::new();
        let hex = digest.to_string().split_once(':').unwrap().1.to_owned();
        for listed in reader.referrers(canonical, digest, Some(BUNDLE), Known::Unknown).await.unwrap() {
            let attachment = reader.referrer(canonical, digest, &listed).await.unwrap().present().unwrap();
            let layer = &attachment.layers[0];
            let bundle = reader.small_blob(canonical, layer.digest, layer.size, 1 << 20).await.unwrap();
            statements.extend(self.verifier().statement(&bundle, &hex).ok().map(|it| it.content));
        }
        statements
    }

    /// Panics unless the number of signatures by this key on an image and its parts, and of records of the image, is in the
    /// range `often`.
    pub(crate) async fn assert_signed_once(
        &self,
        reader: &Reader,
        canonical: &Repository,
        image: Digest,
        often: std::ops::RangeInclusive<usize>,
    ) {
        for part in reader.outline(&canonical.at(image)).await.unwrap().manifests {
            let statements = self.statements(reader, canonical, part.digest).await;
            let of = |kind: &str| statements.iter().filter(|it| it.predicate_type == kind).count();
            let what = format!("{canonical}@{}", part.digest);
            let when = |wanted: bool| if wanted { often.clone() } else { 0..=0 };
            let tagged = self.layers(reader, canonical, part.digest).await;
            let by_tag = when(self.format != SignatureFormat::Bundle);
            assert!(by_tag.contains(&tagged), "{tagged} signatures at the tag of {what}");
            let bundles = of(trust::evidence::SIGN_TYPE);
            let by_bundle = when(self.format != SignatureFormat::Tag);
            assert!(by_bundle.contains(&bundles), "{bundles} bundles with signatures of {what}");
            let recorded = when(part.digest == image);
            assert!(recorded.contains(&of(RECORD)), "{} records of {what}", of(RECORD));
        }
    }
}
