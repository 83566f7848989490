//! The parts of a report that come from the plan: projects, and edges that could not be decided or read.

use std::collections::HashMap;

use oci::{Digest, Repository};
use trust::Problem;

use crate::event::Promotion;
use crate::phase::{Failure, Plan};

/// Returns the projects whose manifests request these promotions, by destination and digest.
pub(super) fn projects<'a>(
    plan: &'a Plan,
    promotions: impl Iterator<Item = &'a Promotion>,
) -> HashMap<(&'a Repository, &'a Digest), &'a str> {
    let edges = plan.edges();
    let mut projects: HashMap<(&Repository, &Digest), &str> =
        promotions.map(|promotion| ((&promotion.destination, &promotion.source.digest), "")).collect();
    if !projects.is_empty() {
        for edge in edges.all() {
            if let Some(project) = projects.get_mut(&(edges.destination(edge), edges.digest(edge))) {
                *project = edges.project(edge);
            }
        }
    }
    projects.retain(|_, project| !project.is_empty());
    projects
}

/// Returns the promotions that a plan could not decide or read: one entry per image and repository, with all tags that the image
/// does not receive there.
pub(super) fn failures_of_plan(plan: &Plan) -> Vec<(Promotion, Problem)> {
    let edges = plan.edges();
    let mut places = HashMap::new();
    let mut failures: Vec<(Promotion, Problem)> = Vec::new();
    for Failure { edge, error } in plan.failures() {
        let place = *places.entry((edge.destination, edge.source, edge.digest)).or_insert_with(|| {
            let promotion = Promotion {
                source: edges.source(edge).at(*edges.digest(edge)),
                destination: edges.destination(edge).clone(),
                tags: Vec::new(),
            };
            failures.push((promotion, Problem::from(&**error)));
            failures.len() - 1
        });
        failures[place].0.tags.extend(edges.tag(edge).cloned());
    }
    failures
}
