//! The scenarios.

mod conditions;
mod faults;
mod files;
mod minute;
mod plan;
mod promote;
mod promotion;
mod quota_change;
mod rounds;
mod shards;
mod sign;
mod small_world;
mod start;
mod throughput;
mod trouble;
mod verdict;
mod worlds;

use clap::ValueEnum;

use crate::error::Error;
use crate::lab::Lab;
use crate::record::Section;

/// A scenario to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Plan the whole production of Kubernetes, with everything already promoted.
    Plan,
    /// Promote new images to 22 regions under a quota, and compare with other tools.
    Promote,
    /// List repositories while the quota falls and rises again.
    QuotaChange,
    /// List repositories of a host whose quota is counted by the minute.
    Minute,
    /// Promote to regions of which one is slow and one refuses requests.
    Trouble,
    /// Copy gigabytes to five destinations, and compare with crane.
    Throughput,
    /// Promote a few small images without any limit, and count requests.
    SmallWorld,
    /// Promote a few small images to nearby hosts, and compare with known limits and with crane.
    Start,
    /// Promote a few small images while some requests fail at random.
    Faults,
    /// Promote files to object stores and hash a directory, and compare with rclone and sha256sum.
    Files,
    /// Promote and sign new images with four processes, each with a part of the regions.
    Shards,
    /// Sign promoted images with a Sigstore, and compare with cosign.
    Sign,
}

impl Scenario {
    /// Returns the name of the scenario on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Promote => "promote",
            Self::QuotaChange => "quota-change",
            Self::Minute => "minute",
            Self::Trouble => "trouble",
            Self::Throughput => "throughput",
            Self::SmallWorld => "small-world",
            Self::Start => "start",
            Self::Faults => "faults",
            Self::Files => "files",
            Self::Shards => "shards",
            Self::Sign => "sign",
        }
    }

    /// Returns whether everything that the scenario needs is available.
    pub(crate) fn is_possible(self, lab: &Lab) -> bool {
        match self {
            Self::Sign => lab.tools.sigstore.is_some(),
            Self::Files => lab.tools.versitygw.is_some(),
            _ => true,
        }
    }

    /// Measures the scenario.
    pub(crate) async fn measure(self, lab: &Lab) -> Result<Section, Error> {
        match self {
            Self::Plan => plan::measure(lab).await,
            Self::Promote => promote::measure(lab).await,
            Self::QuotaChange => quota_change::measure(lab).await,
            Self::Minute => minute::measure(lab).await,
            Self::Trouble => trouble::measure(lab).await,
            Self::Throughput => throughput::measure(lab).await,
            Self::SmallWorld => small_world::measure(lab).await,
            Self::Start => start::measure(lab).await,
            Self::Faults => faults::measure(lab).await,
            Self::Files => files::measure(lab).await,
            Self::Shards => shards::measure(lab).await,
            Self::Sign => sign::measure(lab).await,
        }
    }
}
