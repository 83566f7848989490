//! Other tools that copy the same images as kpromo.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::lab::Lab;
use crate::measure::Job;
use crate::protocol::{Image, Started};
use crate::tools::word;

/// How many copies run at once, in separate processes or in one.
const PARALLEL: usize = 22;

/// A way to copy images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Crane,
    Regsync,
    Skopeo,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Crane, Self::Regsync, Self::Skopeo];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Crane => "crane copy",
            Self::Regsync => "regsync once",
            Self::Skopeo => "skopeo copy --all",
        }
    }

    /// Returns the job that copies all images of staging to all other hosts, or `None` if the tool is not available.
    pub(crate) fn job(self, lab: &Lab, directory: &Path, world: &Started) -> Result<Option<Job>, Error> {
        let tools = &lab.tools;
        let peer = match self {
            Self::Crane => &tools.crane,
            Self::Regsync => &tools.regsync,
            Self::Skopeo => &tools.skopeo,
        };
        let Some(peer) = peer else { return Ok(None) };
        let program = word(&peer.path);
        if self == Self::Regsync {
            let path = directory.join("regsync.yaml");
            fs::write(&path, regsync(world)).map_err(Error::file("writing", &path))?;
            let words = vec![program, "once".to_owned(), "--config".to_owned(), word(&path)];
            return Ok(Some(lab.job(directory, vec![words], 1)));
        }
        let commands = copies(world).map(|(from, to)| {
            let mut words = vec![program.clone()];
            if self == Self::Crane {
                words.extend(["copy".to_owned(), from, to]);
            } else {
                words.extend(SKOPEO.map(str::to_owned));
                words.extend([format!("docker://{from}"), format!("docker://{to}")]);
            }
            words
        });
        Ok(Some(lab.job(directory, commands.collect(), PARALLEL)))
    }
}

const SKOPEO: [&str; 6] = [
    "--insecure-policy",
    "copy",
    "--all",
    "--preserve-digests",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
];

/// Returns source and destination of every copy. Consecutive copies go to different hosts.
fn copies(world: &Started) -> impl Iterator<Item = (String, String)> {
    let (staging, regions) = match world.hosts.split_first() {
        Some((staging, regions)) => (staging.as_str(), regions),
        None => ("", [].as_slice()),
    };
    world.images.iter().flat_map(move |image| {
        regions.iter().map(move |region| {
            let Image { tag, .. } = image;
            let from = format!("{staging}/{}:{tag}", image.staging());
            (from, format!("{region}/{}:{tag}", image.production()))
        })
    })
}

/// Returns a configuration of regsync. regsync limits the requests to each host itself, here with its default limits.
fn regsync(world: &Started) -> String {
    let mut text = "version: 1\ncreds:\n".to_owned();
    for host in &world.hosts {
        // Writing to a `String` cannot fail, here and below.
        let _ = writeln!(text, "- registry: {host}\n  tls: disabled");
    }
    let _ = writeln!(text, "defaults:\n  parallel: {PARALLEL}\nsync:");
    for (from, to) in copies(world) {
        let _ = writeln!(text, "- source: {from}\n  target: {to}\n  type: image");
    }
    text
}
