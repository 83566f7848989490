//! New images to many regions under a quota, beside other tools.

use super::{QUOTA, REGIONS, USUAL, alike, complaints, new_images, promotions};
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::peers::Way;
use crate::protocol::{Spec, Storage, WeatherSpec};
use crate::record::{Run, Section, Table, Target};
use crate::show::{megabytes, percent, seconds};

const LAYER_SIZE: usize = 256 << 10;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let images = lab.size(40, 6);
    let spec = alike(REGIONS, &Storage::Discard, USUAL, new_images(images, LAYER_SIZE));
    let runs = lab.runs(3);
    let mut shown: Vec<Run> = promotions(lab, "kpromo", &spec, runs).await?.into_iter().collect();
    for way in Way::ALL {
        let Some(run) = copied(lab, way, &spec, way.label()).await? else { continue };
        let is_beaten = run.failures > 0 || run.missing > 0;
        shown.push(run);
        if is_beaten {
            let spec = alike(REGIONS, &Storage::Discard, without_quota(), new_images(images, LAYER_SIZE));
            shown.extend(copied(lab, way, &spec, &format!("{}, no quota", way.label())).await?);
        }
    }
    Ok(Section {
        title: "New images to 22 regions".to_owned(),
        about: format!(
            "{images} new images of 4 platforms, each with two layers of 256 KiB a platform and two of 512 KiB that all \
             images share, to {REGIONS} regions. 20 ms latency; every host, staging too, bears {} requests/s with a \
             burst of {}, and says no `Retry-After`. Other tools run up to 22 copies at once, once each; where a quota \
             makes them fail, they are run again without one.",
            QUOTA.per_second, QUOTA.burst
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables: vec![Table::of(&shown)],
        targets: shown.first().map(targets).unwrap_or_default(),
        notes: complaints(&shown),
        raw: shown,
    })
}

fn without_quota() -> WeatherSpec {
    WeatherSpec { quota: None, ..USUAL }
}

async fn copied(lab: &Lab, way: Way, spec: &Spec, label: &str) -> Result<Option<Run>, Error> {
    let mut world = lab.world(spec.clone()).await?;
    let folder = lab.folder()?;
    match way.job(lab, folder.path(), &world.started)? {
        Some(job) => lab.run(&mut world, label, &job).await.map(Some),
        None => Ok(None),
    }
}

fn targets(run: &Run) -> Vec<Target> {
    let least = run.least_seconds.unwrap_or_default();
    let mut wall = Target::at_most("wall", run.wall_seconds, 1.2 * least, seconds);
    wall.target.push_str(" (1.2 × least by quota)");
    vec![
        wall,
        Target::at_most("refused", run.refused_share(), 0.01, percent),
        Target::exactly("bytes read from staging", run.staging_bytes, run.unique_bytes, megabytes),
        Target::exactly("images missing", run.missing as u64, 0, crate::show::count),
    ]
}
