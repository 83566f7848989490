//! The promotion of new images to many regions under a quota, compared with other tools.

use super::conditions::{QUOTA, USUAL};
use super::promotion::promotions;
use super::verdict::{by_quota, failure_notes};
use super::worlds::{REGIONS, alike, new_images};
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::peers::Way;
use crate::protocol::{ConditionsSpec, Spec, Storage};
use crate::record::{Run, Section, Table, Target};
use crate::show::count;

const LAYER_SIZE: usize = 256 << 10;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let images = lab.size(40, 6);
    let spec = |conditions| alike(REGIONS, &Storage::Discard, conditions, new_images(images, LAYER_SIZE));
    let runs = lab.runs(3);
    let limited = kpromo_and_peers(lab, &spec(USUAL), "", runs).await?;
    let free = ConditionsSpec { quota: None, ..USUAL };
    let unlimited = kpromo_and_peers(lab, &spec(free), ", no quota", runs).await?;
    Ok(Section {
        title: "New images to 22 regions".to_owned(),
        about: format!(
            "{images} new images of 4 platforms, each with two layers of 256 KiB a platform and two of \
             512 KiB that all images share, to {REGIONS} regions. 20 ms latency; each host, including \
             staging, allows {} requests/s with a burst of {}, and sends no `Retry-After`; then the \
             same without a quota. Other tools run once each with up to 22 copies at once, \
             otherwise with their defaults. They read every image again for every region, so staging's quota \
             limits them.",
            QUOTA.per_second, QUOTA.burst
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables: vec![Table::of(&limited), Table::of(&unlimited)],
        targets: limited.first().map(targets).unwrap_or_default(),
        notes: [failure_notes(&limited), failure_notes(&unlimited)].concat(),
        raw: [limited, unlimited].concat(),
    })
}

/// Measures kpromo and then the other tools, each with new worlds.
async fn kpromo_and_peers(lab: &Lab, spec: &Spec, suffix: &str, runs: usize) -> Result<Vec<Run>, Error> {
    let label = format!("kpromo{suffix}");
    let mut shown: Vec<Run> = promotions(lab, &label, spec, runs).await?.into_iter().collect();
    for way in Way::ALL {
        let mut world = lab.world(spec.clone()).await?;
        let directory = lab.directory()?;
        if let Some(job) = way.job(lab, directory.path(), &world.started)? {
            shown.push(lab.run(&mut world, &format!("{}{suffix}", way.label()), &job).await?);
        }
    }
    Ok(shown)
}

fn targets(run: &Run) -> Vec<Target> {
    let mut targets = by_quota(run);
    targets.extend([
        Target::exactly("bytes read from staging", run.staging_bytes, run.unique_bytes, count),
        Target::exactly("images missing", run.missing as u64, 0, count),
    ]);
    targets
}
