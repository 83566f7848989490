//! `kpromo sigcheck`: checks the signatures and promotion records of the images in production, and repairs them
//! (`docs/design/sigcheck.md`).
//!
//! [`find()`] finds the images. [`check`] runs those phases of a promotion that write nothing, and [`Check::repair`] runs Sign
//! and Attest. So the same code as in a promotion decides what counts, what is missing and what may be signed.

mod find;
mod image;
mod job;
mod listed;
mod name;
mod verdict;

pub use find::{FindError, FoundImages, Span, Wanted, find};
pub use image::FoundImage;
pub use job::Naming;
pub use listed::is_attached_tag;
use oci::Client;
use trust::TrustConfig;
pub use verdict::{CheckedImage, CheckedPart, Findings};

use crate::error::Error;
use crate::event::Run;
use crate::phase::{Attested, Confirmed, Copying};
use crate::pipeline::{Prepared, carry_out, prepare};

/// Images that were checked.
#[derive(Debug)]
pub struct Check {
    /// The images, in the order in which they were given.
    pub images: Vec<CheckedImage>,
    prepared: Prepared,
}

/// Checks images. Writes nothing.
///
/// `trust_config.verification` determines whose signatures and records count. `trust_config.signing` must be set, because it
/// determines the expected format of signatures; no identity is needed.
///
/// Requests for an image: those of Plan (one for the image and each index in it, one for the `.sig` tag of each manifest, one for
/// the layer, one for the list of referrers of each manifest, two for each bundle until the right one is found), and, for each
/// manifest that lacks something, the requests that determine what it has instead. Tags that a listing rules out are not
/// requested. With manifests, also the requests of Provenance for images that lack something.
///
/// # Errors
/// If trust is not available, or if the run is stopped. An image that cannot be read is a finding.
pub async fn check(
    run: &Run,
    client: &Client,
    images: &[FoundImage],
    naming: &Naming,
    trust_config: &TrustConfig,
    writes: bool,
) -> Result<Check, Error> {
    let job = job::job(images, naming, writes);
    let prepared = Box::pin(prepare(run, client, job, trust_config)).await?;
    let images = verdict::verdicts(run, &client.reader(), images, prepared.cleared(), trust_config).await?;
    Ok(Check { images, prepared })
}

impl Check {
    /// Adds the signatures and records that are missing and may be added. The caller should check the images again afterwards.
    /// Failures are events of the run.
    ///
    /// # Errors
    /// If signing is not possible. In this case nothing is written.
    pub async fn repair(
        self,
        run: &Run,
        confirmed: &Confirmed,
        trust_config: &TrustConfig,
    ) -> Result<Attested, Error> {
        carry_out(run, confirmed, self.prepared, &Copying::default(), trust_config).await
    }
}
