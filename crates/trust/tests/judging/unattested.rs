//! An index cannot hide a runnable image from a policy with mode `require`, regardless of how it labels its entries.

use manifest::policy::Mode;
use oci::{Descriptor, Digest, MediaType, RawManifest};
use proptest::prelude::*;
use serde_json::{Value, json};
use trust::policy::{Image, Platform, VerifiedAttestation, is_exempt, judge};

use crate::support::*;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const STATEMENT: &str = "application/vnd.in-toto+json";

/// The attestation of a manifest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Attested {
    Nothing,
    Good,
    Bad,
    ByStranger,
}

/// The label of an entry in its index.
#[derive(Clone, Debug)]
struct Label {
    /// Whether the platform is `unknown/unknown`.
    is_unknown: bool,
    /// The entry that the annotation names as the subject of this attestation manifest: a sibling, the entry itself or an
    /// absent one.
    attests: Option<usize>,
    /// Whether the entry is listed with the media type of the other kind of manifest.
    is_disguised: bool,
}

/// The structure of a manifest, as its pusher creates it.
#[derive(Clone, Debug)]
enum Made {
    Image { number: u8, attested: Attested, layers: Vec<&'static str> },
    Index { attested: Attested, entries: Vec<(Label, Made)> },
}

/// An entry with its manifest, as the promoter reads it.
struct Read {
    manifest: RawManifest,
    image: Image,
}

impl Made {
    fn attested(&self) -> Attested {
        match self {
            Self::Image { attested, .. } | Self::Index { attested, .. } => *attested,
        }
    }

    /// Whether a runnable image has no accepted attestation: neither of its own nor of an index that contains it. Only the
    /// structure is considered, not the labels.
    fn has_unattested(&self) -> bool {
        if self.attested() == Attested::Good {
            return false;
        }
        match self {
            Self::Image { layers, .. } => layers.is_empty() || layers.iter().any(|layer| *layer != STATEMENT),
            Self::Index { entries, .. } => entries.iter().any(|(_, entry)| entry.has_unattested()),
        }
    }

    /// Returns the manifest, and the image as the promoter finds it. The promoter reads the entries of everything that is
    /// listed as an index.
    fn read(&self) -> Read {
        let (manifest, platforms) = match self {
            Self::Image { number, layers, .. } => (image_manifest(*number, layers), None),
            Self::Index { entries, .. } => {
                let read: Vec<Read> = entries.iter().map(|(_, entry)| entry.read()).collect();
                let labels = entries.iter().map(|(label, _)| label);
                let manifest = index_manifest(labels.zip(&read));
                let children = manifest.parse().unwrap().children;
                let platforms =
                    children.iter().zip(read).map(|(child, read)| platform(&children, child, read));
                let platforms = platforms.collect();
                (manifest, Some(platforms))
            }
        };
        let digest = manifest.digest();
        let verified = attestations(self.attested(), digest);
        let image = Image { digest, verified, rejected: Vec::new(), others: Vec::new(), platforms };
        Read { manifest, image }
    }
}

fn platform(siblings: &[Descriptor], child: &Descriptor, read: Read) -> Platform {
    let is_exempt = is_exempt(siblings, child, &read.manifest);
    let platforms = read.image.platforms.filter(|_| child.media_type.is_index());
    Platform { name: child.platform.clone(), is_exempt, image: Image { platforms, ..read.image } }
}

fn attestations(evidence: Attested, digest: Digest) -> Vec<VerifiedAttestation> {
    let about = |mut attestation: VerifiedAttestation| {
        let hex = digest.hex();
        attestation.statement.subject[0].digest.insert("sha256".to_owned(), hex);
        vec![attestation]
    };
    match evidence {
        Attested::Nothing => Vec::new(),
        Attested::Good => about(good("app")),
        Attested::Bad => about(bad("app")),
        Attested::ByStranger => about(attested("app", stranger(), V1, v1(HOSTED, SOURCE))),
    }
}

fn image_manifest(number: u8, layers: &[&str]) -> RawManifest {
    let blob = |media_type: &str| {
        let digest = Digest::of(&[number]).to_string();
        json!({ "mediaType": media_type, "digest": digest, "size": 1 })
    };
    let layers: Vec<Value> = layers.iter().map(|layer| blob(layer)).collect();
    let config = blob("application/vnd.oci.image.config.v1+json");
    let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers });
    RawManifest::new(MediaType::OciManifest, serde_json::to_vec(&manifest).unwrap().into())
}

fn index_manifest<'a>(entries: impl Iterator<Item = (&'a Label, &'a Read)> + Clone) -> RawManifest {
    let digests: Vec<Digest> = entries.clone().map(|(_, read)| read.manifest.digest()).collect();
    let described: Vec<Value> = entries
        .map(|(label, read)| {
            let is_index = read.manifest.media_type().is_index() != label.is_disguised;
            let os = if label.is_unknown { "unknown" } else { "linux" };
            let mut entry = json!({
                "mediaType": if is_index { INDEX } else { IMAGE },
                "digest": read.manifest.digest().to_string(),
                "size": read.manifest.bytes().len(),
                "platform": { "os": os, "architecture": if label.is_unknown { "unknown" } else { "amd64" } },
            });
            if let Some(number) = label.attests {
                let about = digests.get(number).copied().unwrap_or(Digest::of(b"elsewhere"));
                entry["annotations"] = json!({
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": about.to_string(),
                });
            }
            entry
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": described });
    RawManifest::new(MediaType::OciIndex, serde_json::to_vec(&index).unwrap().into())
}

fn evidence() -> impl Strategy<Value = Attested> {
    prop_oneof![3 => Just(Attested::Nothing), 3 => Just(Attested::Good), 1 => Just(Attested::Bad), 1 => Just(Attested::ByStranger)]
}

fn label() -> impl Strategy<Value = Label> {
    (any::<bool>(), proptest::option::of(0_usize..5), proptest::bool::weighted(0.1))
        .prop_map(|(is_unknown, attests, is_disguised)| Label { is_unknown, attests, is_disguised })
}

fn made() -> impl Strategy<Value = Made> {
    let layers = prop_oneof![
        3 => Just(vec![LAYER]),
        3 => Just(vec![STATEMENT]),
        1 => Just(vec![STATEMENT, LAYER]),
        1 => Just(vec![LAYER, STATEMENT]),
        1 => Just(Vec::new()),
    ];
    // The number is small, so that images with the same layers are often the same and indexes list one manifest more than
    // once.
    let image = (0_u8..4, evidence(), layers).prop_map(|(number, attested, layers)| Made::Image {
        number,
        attested,
        layers,
    });
    image.prop_recursive(3, 24, 4, |inner| {
        let attested = prop_oneof![4 => Just(Attested::Nothing), 1 => evidence()];
        (attested, proptest::collection::vec((label(), inner), 0..5))
            .prop_map(|(attested, entries)| Made::Index { attested, entries })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// An image that passes is attested, as seen by an observer that knows the structure of every manifest.
    #[test]
    fn no_runnable_image_passes_without_a_required_attestation(made in made()) {
        let judgement = judge(Some(&usual()), &made.read().image);
        prop_assert!(!(judgement.is_satisfied() && made.has_unattested()), "{:?}\n{}", made, judgement);
        prop_assert_eq!(judgement.blocks(), !judgement.is_satisfied());
        let warns = draft(Mode::Warn).into_policy().unwrap().unwrap();
        prop_assert_eq!(judge(Some(&warns), &made.read().image).is_satisfied(), judgement.is_satisfied());
    }

    /// An index made by BuildKit passes if and only if each of its images is attested.
    #[test]
    fn an_index_of_buildkit_passes_if_each_image_is_attested(attested in proptest::collection::vec(any::<bool>(), 1..5)) {
        let plain = Label { is_unknown: false, attests: None, is_disguised: false };
        let image = |(number, is_attested): (usize, &bool)| {
            let attested = if *is_attested { Attested::Good } else { Attested::Nothing };
            (plain.clone(), Made::Image { number: u8::try_from(number).unwrap(), attested, layers: vec![LAYER] })
        };
        let beside = |number: usize| {
            let label = Label { is_unknown: true, attests: Some(number), is_disguised: false };
            let number = u8::try_from(number).unwrap();
            (label, Made::Image { number, attested: Attested::Nothing, layers: vec![STATEMENT, STATEMENT] })
        };
        let images = attested.iter().enumerate().map(image);
        let entries = images.chain((0..attested.len()).map(beside)).collect();
        let made = Made::Index { attested: Attested::Nothing, entries };
        let judgement = judge(Some(&usual()), &made.read().image);
        prop_assert_eq!(judgement.is_satisfied(), attested.iter().all(|is_attested| *is_attested), "{}", judgement);
        prop_assert_eq!(judgement.platforms.len(), attested.len(), "attestation manifests are not judged");
    }
}
