//! The number of requests of a promotion: a few small images without any limit.

use super::conditions::FREE;
use super::promotion::promotions;
use super::verdict::failure_notes;
use super::worlds::{alike, small_images};
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::protocol::Storage;
use crate::record::{Section, Table, Target};
use crate::show::count;

const IMAGES: usize = 10;
const REGIONS: usize = 5;
/// Includes the check right before each tag is written (spec 01, *tags never move*).
const REQUESTS: u64 = 1_740;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let runs = lab.runs(3);
    let spec = alike(REGIONS, &Storage::Memory, FREE, small_images(IMAGES));
    let shown: Vec<_> = promotions(lab, "kpromo", &spec, runs).await?.into_iter().collect();
    let targets = shown.iter().map(|run| {
        // The target is a maximum; fewer requests also reach it.
        Target {
            reached: run.requests <= REQUESTS,
            ..Target::exactly("requests", run.requests, REQUESTS, count)
        }
    });
    Ok(Section {
        title: "Requests of a small promotion".to_owned(),
        about: format!(
            "{IMAGES} new images of 4 platforms with 2 layers each, to {REGIONS} regions; no latency, \
             no quota. The protocol needs two requests for each blob and one for each manifest and tag; \
             kpromo sends one more right before it writes each tag."
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables: vec![Table::of(&shown)],
        targets: targets.collect(),
        notes: failure_notes(&shown),
        raw: shown,
    })
}
