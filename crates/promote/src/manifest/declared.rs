//! The provenance policies that manifests declare, joined to those of a run.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Spot};
use super::{Manifest, Manifests};
use crate::policy::{Policies, Policy, PolicyConflict, Relation};

/// What a manifest declares of the provenance of its images.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Its policy; none: there is none, or it is off.
    pub(super) policy: Option<Arc<Policy>>,
    /// Where it stands, or where it would.
    pub(super) spot: Spot,
    /// What a person should know about it.
    pub(super) warnings: Vec<Diagnostic>,
}

impl Declared {
    /// A manifest that says nothing.
    pub(super) fn nothing(spot: Spot) -> Self {
        Self { policy: None, spot, warnings: Vec::new() }
    }
}

/// A manifest with what it declares.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) manifest: Manifest,
    pub(super) declared: Declared,
}

impl Loaded {
    /// The manifests of a run with the policies that hold in it, unless these contradict one another.
    pub(super) fn join(
        loaded: Vec<Self>,
        mut warnings: Vec<Diagnostic>,
        wrong: &mut Diagnostics,
    ) -> Manifests {
        let declared: Vec<_> =
            loaded.iter().map(|one| (&one.manifest.source, one.declared.policy.clone())).collect();
        let policies = Policies::new(&declared).unwrap_or_else(|conflicts| {
            conflicts.iter().for_each(|conflict| wrong.push(diagnostic(&loaded, conflict)));
            Policies::default()
        });
        let manifests = loaded
            .into_iter()
            .map(|Self { manifest, declared }| {
                warnings.extend(declared.warnings);
                manifest
            })
            .collect();
        Manifests { manifests, warnings, rejected: Diagnostics::default(), policies }
    }
}

fn diagnostic(loaded: &[Loaded], conflict: &PolicyConflict) -> Diagnostic {
    let [first, second] = [conflict.first, conflict.second].map(|number| &loaded[number]);
    let (source, place) = (&second.manifest.source, &first.declared.spot);
    let (message, help) = match conflict.relation {
        Relation::Same => (
            match (&first.declared.policy, &second.declared.policy) {
                (Some(_), None) => format!("no provenance policy for {source}, which has one at {place}"),
                (None, _) => format!("a provenance policy for {source}, which has none at {place}"),
                _ => format!("another provenance policy for {source} than at {place}"),
            },
            "manifests that share a source declare the same policy, or none of them does",
        ),
        Relation::Below => (
            format!(
                "another provenance policy for {source}, which lies below {}, than is required there at {place}",
                first.manifest.source
            ),
            "declare the same policy, or none: what is required also holds below",
        ),
    };
    second.declared.spot.diagnostic(message).help(help)
}
