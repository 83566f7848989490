//! A few small images without any limit: how many requests a promotion takes.

use super::{alike, complaints, promotions};
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::protocol::{ConditionsSpec, Content, Storage};
use crate::record::{Section, Table, Target};
use crate::show::count;

const IMAGES: usize = 10;
const REGIONS: usize = 5;
const REQUESTS: u64 = 1_730;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let content = Content::New {
        images: IMAGES,
        platforms: 4,
        layers: 2,
        layer_size: 1024,
        shared_layers: 0,
        shared_size: 0,
    };
    let runs = lab.runs(3);
    let spec = alike(REGIONS, &Storage::Memory, ConditionsSpec::default(), content);
    let shown: Vec<_> = promotions(lab, "kpromo", &spec, runs).await?.into_iter().collect();
    let targets = shown.iter().map(|run| {
        // What the target is, it is at most; fewer is better.
        Target {
            reached: run.requests <= REQUESTS,
            ..Target::exactly("requests", run.requests, REQUESTS, count)
        }
    });
    Ok(Section {
        title: "Requests of a small promotion".to_owned(),
        about: format!(
            "{IMAGES} new images of 4 platforms with 2 layers each, to {REGIONS} regions; no latency, no quota. Two \
             requests a blob and one a manifest and tag are what the protocol asks for."
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables: vec![Table::of(&shown)],
        targets: targets.collect(),
        notes: complaints(&shown),
        raw: shown,
    })
}
