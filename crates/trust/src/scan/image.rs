//! The image manifests of an image, and their evidence.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use oci::{Descriptor, Digest, Graph};

use super::error::ScanError;
use super::gate::ScanGate;
use super::part::Part;
use super::verdict::Vulnerabilities;
use crate::evidence::{Evidence, EvidenceError, EvidenceKinds, is_about_content};
use crate::gate::Staged;
use crate::policy::exempt_parts;

/// The maximum number of manifests of one image whose evidence is fetched concurrently.
const AT_ONCE: usize = 4;

/// Returns the image manifests of an image to scan, each once, in the order of their platforms: the image itself, or all that
/// its indexes list. Exempt attestation manifests are left out: see [`exempt_parts`].
pub fn parts_of(graph: &Graph) -> Vec<Part> {
    let nodes: HashMap<Digest, &oci::Node> = graph.nodes().iter().map(|node| (node.digest, node)).collect();
    let children = |node: &oci::Node| -> Vec<Descriptor> {
        // The graph was read, so each index can be parsed.
        node.manifest.parse().map(|parsed| parsed.children).unwrap_or_default()
    };
    let indexes = graph.nodes().iter().filter(|node| node.manifest.media_type().is_index());
    let indexes: Vec<(Digest, Vec<Descriptor>)> =
        indexes.map(|index| (index.digest, children(index))).collect();
    let manifest = |digest: &Digest| nodes.get(digest).map(|node| &node.manifest);
    let exempt = exempt_parts(indexes.iter().map(|(_, children)| children.as_slice()), manifest);
    let images = graph.nodes().iter().filter(|node| !node.manifest.media_type().is_index());
    let mut parts: Vec<Part> = images
        .filter(|node| !exempt.contains(&node.digest))
        .map(|node| {
            let listed = |children: &[Descriptor]| {
                children.iter().find(|child| child.digest == node.digest).map(|child| child.platform.clone())
            };
            let above = ancestors(&indexes, node.digest);
            let platform = indexes.iter().find_map(|(_, children)| listed(children)).flatten();
            let config = node.manifest.wire().ok().and_then(|wire| wire.config);
            let config = config.and_then(|config| config.digest().ok());
            Part { digest: node.digest, config, platform, indexes: above, is_only_of_platform: false }
        })
        .collect();
    parts.sort_by(|a, b| (&a.platform, a.digest).cmp(&(&b.platform, b.digest)));
    let mut count: HashMap<Option<String>, usize> = HashMap::new();
    parts.iter().for_each(|part| *count.entry(part.platform.clone()).or_default() += 1);
    for part in &mut parts {
        part.is_only_of_platform = count.get(&part.platform) == Some(&1);
    }
    parts
}

/// Returns the indexes that list a manifest, directly or through other indexes.
fn ancestors(indexes: &[(Digest, Vec<Descriptor>)], digest: Digest) -> Vec<Digest> {
    let mut found: Vec<Digest> = Vec::new();
    let mut seen = HashSet::from([digest]);
    let mut below = vec![digest];
    while let Some(digest) = below.pop() {
        for (index, children) in indexes {
            if children.iter().any(|child| child.digest == digest) && seen.insert(*index) {
                found.push(*index);
                below.push(*index);
            }
        }
    }
    found
}

/// Scans an image in staging. `evidence` is that of the image itself, if it has been fetched, and `platforms` that of its
/// parts. Sends a request for each manifest that has not been read, and requests for evidence if a scanner needs it.
///
/// # Errors
/// If the repository does not answer, or if the trusted root is not available. The error of a scanner is a result.
pub async fn scan_image(
    gate: &ScanGate,
    staged: &Staged<'_>,
    digest: Digest,
    evidence: Option<&Evidence>,
    platforms: &BTreeMap<Digest, Evidence>,
    now: Timestamp,
) -> Result<Result<Vulnerabilities, ScanError>, EvidenceError> {
    let repository = staged.source.repository;
    let unscannable = |why: String| Ok(Ok(gate.unscannable(digest, why)));
    let read;
    let graph = match staged.graph.filter(|graph| graph.is_whole()) {
        Some(graph) => graph,
        None => match Graph::read(staged.client.reader, &repository.at(digest)).await {
            Ok(graph) => {
                read = graph;
                &read
            }
            // Without its manifests, the parts to scan are unknown.
            Err(error) if is_about_content(&error) => return unscannable(error.to_string()),
            Err(error) => return Err(error.into()),
        },
    };
    let parts = parts_of(graph);
    if parts.is_empty() {
        return unscannable("it is an index that lists no image".to_owned());
    }
    let mut known: BTreeMap<Digest, &Evidence> = BTreeMap::new();
    let fetched: Vec<(Digest, Evidence)>;
    if gate.needs_evidence(&repository.host) {
        known.extend(platforms.iter().map(|(digest, evidence)| (*digest, evidence)));
        known.extend(evidence.map(|evidence| (digest, evidence)));
        let wanted =
            parts.iter().flat_map(|part| [part.digest].into_iter().chain(part.indexes.iter().copied()));
        let wanted: BTreeSet<Digest> = wanted.filter(|digest| !known.contains_key(digest)).collect();
        let fetch = async |digest| {
            let evidence = staged.evidence(digest, EvidenceKinds::Attestations).await?;
            Ok::<_, EvidenceError>((digest, evidence))
        };
        fetched = stream::iter(wanted).map(fetch).buffer_unordered(AT_ONCE).try_collect().await?;
        known.extend(fetched.iter().map(|(digest, evidence)| (*digest, evidence)));
    }
    Ok(gate.judge(repository, &parts, &known, now).await)
}
