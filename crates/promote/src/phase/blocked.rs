//! The images that stop a run.

use std::collections::HashMap;

use manifest::ImageId;
use trust::gate::Assessment;

use crate::error::Blocked;
use crate::phase::plan::Plan;

/// Returns the images that must not be promoted, in order.
pub(super) fn blocked(
    plan: &Plan,
    assessed: &HashMap<ImageId, Assessment>,
    wrong: impl Fn(&ImageId, &Assessment) -> Option<String>,
) -> Vec<Blocked> {
    let edges = plan.edges();
    let blocked = assessed.iter().filter_map(|(id @ (source, digest), assessment)| {
        let image = edges.repository(*source).at(*edges.digest_name(*digest));
        Some(Blocked { image, reason: wrong(id, assessment)? })
    });
    let mut blocked: Vec<Blocked> = blocked.collect();
    blocked.sort_by_cached_key(|blocked| blocked.image.to_string());
    blocked
}
