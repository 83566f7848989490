//! The job that checks images: a run of the promotion phases that promotes nothing.

use std::collections::{HashMap, HashSet};

use manifest::{Destination, DigestTags, Image, Manifest, Manifests, Position};
use oci::{Digest, RegistryRoot, Repository};

use super::image::FoundImage;
use crate::phase::{CheckedImages, Completion, Job};

/// The manifests that list the images in production. They provide the source and the policy of each image.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// The manifests. Without manifests (`None`), images of unknown origin are signed, and no records are made.
    pub manifests: Option<Manifests>,
}

impl Naming {
    /// Returns the images that the manifests name, in all their repositories. `None` if there are no manifests.
    pub fn named(&self) -> Option<HashSet<(Repository, Digest)>> {
        let manifests = &self.manifests.as_ref()?.manifests;
        let mut named = HashSet::new();
        for manifest in manifests {
            for (destination, image) in pairs(manifest) {
                // An image whose name is too long for a destination is not promoted there.
                let Ok(repository) = destination.root.repository(&image.name) else { continue };
                named.extend(image.digests.iter().map(|listed| (repository.clone(), listed.digest)));
            }
        }
        Some(named)
    }
}

fn pairs(manifest: &Manifest) -> impl Iterator<Item = (&Destination, &Image)> {
    manifest
        .destinations
        .iter()
        .flat_map(|destination| manifest.images.iter().map(move |image| (destination, image)))
}

/// Returns the job that checks these images.
pub(super) fn job(images: &[FoundImage], naming: &Naming, writes: bool) -> Job {
    let mut wanted: HashMap<&Repository, HashMap<Digest, &FoundImage>> = HashMap::new();
    for image in images {
        wanted.entry(&image.repository).or_default().insert(image.digest, image);
    }
    let known = naming.manifests.as_ref();
    let mut named: HashSet<(Repository, Digest)> = HashSet::new();
    let mut manifests = Vec::new();
    for manifest in known.into_iter().flat_map(|known| &known.manifests) {
        for (destination, image) in pairs(manifest) {
            let Ok(repository) = destination.root.repository(&image.name) else { continue };
            let Some(wanted) = wanted.get(&repository) else { continue };
            let digests: Vec<DigestTags> = image
                .digests
                .iter()
                .filter_map(|listed| Some((listed, wanted.get(&listed.digest)?)))
                .flat_map(|(listed, found)| as_found(listed, found))
                .collect();
            if digests.is_empty() {
                continue;
            }
            named.extend(digests.iter().map(|listed| (repository.clone(), listed.digest)));
            manifests.push(Manifest {
                destinations: vec![destination.clone()],
                unchanged: Vec::new(),
                images: vec![Image { name: image.name.clone(), digests }],
                ..of(manifest)
            });
        }
    }
    let unnamed = images.iter().filter(|image| !named.contains(&(image.repository.clone(), image.digest)));
    manifests.extend(unnamed.map(in_itself));
    let tagged = images.iter().filter(|image| image.signs);
    let checked = CheckedImages {
        manifests,
        tagged: tagged.map(|image| (image.repository.clone(), image.digest)).collect(),
        signs_unnamed: known.is_none(),
    };
    let policies = known.map(|known| known.policies.clone()).unwrap_or_default();
    Job {
        manifests: Manifests { policies, ..Manifests::default() },
        strict: false,
        keep_going: true,
        late_after: None,
        writes,
        checks_attached: true,
        cache: None,
        completion: Completion::Checked(checked),
        shard: None,
    }
}

/// Copies a manifest without its images.
fn of(manifest: &Manifest) -> Manifest {
    Manifest {
        name: manifest.name.clone(),
        images_file: manifest.images_file.clone(),
        source: manifest.source.clone(),
        destinations: Vec::new(),
        unchanged: Vec::new(),
        images: Vec::new(),
    }
}

/// Returns the entries under which the image of a listed digest can be in production: an entry with the tags of the manifest and,
/// unless the image is known to have one of these tags, an entry without a tag.
fn as_found(listed: &DigestTags, found: &FoundImage) -> Vec<DigestTags> {
    let has_tag = listed.tags.iter().any(|(tag, _)| found.tags.contains(tag));
    let untagged = DigestTags { tags: Vec::new(), ..listed.clone() };
    let mut entries = vec![listed.clone()];
    if !has_tag && !listed.tags.is_empty() {
        entries.push(untagged);
    }
    entries
}

/// Returns a manifest for an image that no manifest lists. Its source is its own repository.
fn in_itself(image: &FoundImage) -> Manifest {
    let root = RegistryRoot { host: image.repository.host.clone(), prefix: None };
    let position = Position { line: 1, column: 1 };
    let digests = vec![DigestTags { digest: image.digest, position, tags: Vec::new() }];
    Manifest {
        name: "".into(),
        images_file: "".into(),
        source: root.clone(),
        destinations: vec![Destination { root, service_account: None }],
        unchanged: Vec::new(),
        images: vec![Image { name: image.repository.path.clone(), digests }],
    }
}
