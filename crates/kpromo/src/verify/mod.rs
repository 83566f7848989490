//! `kpromo verify`: the signatures and attestations of images, and their signers.

mod target;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use indicatif::MultiProgress;
use oci::{Reader, Repository, Tag};
use promote::{Event, Observer, Run};
use sigstore::TrustError;
use target::{Tagged, Target, promoted, read_tag, tagged};
use tokio_util::sync::CancellationToken;
use trust::audit::{ImageName, audit};
use trust::evidence::Budget;
use trust::{Problem, Production, Verification};

use crate::args::{Form, Limit, ManifestSource, VerifyArgs};
use crate::choice::TrustArgs;
use crate::cip::{invalid_entries, load};
use crate::config::{Config, InvalidConfig};
use crate::connect::{Connection, connect};
use crate::defaults::of_repositories;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::faults::print_faults;
use crate::identities::{signer_pattern, trust};
use crate::image_audit::{ImageAudit, Outcome, WrongTag};
use crate::render::{AuditShape, Progress, audit_json, audit_text};
use crate::terminal::{ErrorLine, Interrupts, has_result_color, is_json, print, print_error, result_width};
use crate::watchdog;

/// The number of images to examine concurrently. The door determines how many requests each registry sustains.
const AT_ONCE: usize = 8;
/// The number of repositories to list concurrently.
const LISTED_AT_ONCE: usize = 4;

/// Verifies images.
pub(crate) async fn run(args: &VerifyArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    let Prepared { connection, verification, signer, targets } = match prepare(args, environment) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let Connection { client, door, production, .. } = &connection;
    let progress = Progress::new(screen);
    let observers: Vec<Arc<dyn Observer<Event>>> = vec![Arc::<Progress>::clone(&progress)];
    let stop = CancellationToken::new();
    let run = Run::new(observers, stop.clone());
    let examiner = Examiner { reader: client.reader(), verification: &verification, production, run: &run };
    let examined = async {
        // Checked once instead of per image, because it takes time to determine that a trusted root is not available.
        verification.trust.verifier().await?;
        Ok::<_, TrustError>(examiner.examine(targets, &args.repositories).await)
    };
    let interrupts = Interrupts::new();
    let audits = tokio::select! {
        audits = examined => Some(audits),
        // Nothing is written, so nothing has to be completed.
        () = interrupts.until_abandoned(None, &stop, || false, "") => None,
        never = watchdog::watch(door) => match never {},
        never = progress.show(door) => match never {},
    };
    progress.clear();
    let audits = match audits {
        Some(Ok(audits)) => audits,
        Some(Err(error)) => {
            print_error(&error.to_string());
            return Exit::Unavailable;
        }
        None => {
            print_error("interrupted; not all images were verified");
            return Exit::Interrupted;
        }
    };
    let exit = judge(&audits);
    match args.output {
        Form::Table => {
            let shape =
                AuditShape { platforms: args.platforms, width: result_width(), color: has_result_color() };
            print(&audit_text(&audits, &signer, shape));
        }
        Form::Json => print(&audit_json(&audits, &signer, exit)),
    }
    print_problems(&audits);
    exit
}

/// Prints why images could not be examined. The same advice is printed once.
fn print_problems(audits: &[ImageAudit]) {
    let mut printed = HashSet::new();
    for audit in audits {
        if let Some(Problem { error, advice, .. }) = audit.problem() {
            // A person reads all lines, and a program each on its own.
            let advice = advice.as_deref().filter(|advice| printed.insert(*advice) || is_json());
            ErrorLine { image: Some(&audit.name), advice, ..ErrorLine::new(error) }.print();
        }
    }
}

/// Examines images.
struct Examiner<'a> {
    reader: Reader,
    verification: &'a Verification,
    production: &'a Production,
    run: &'a Run,
}

impl Examiner<'_> {
    /// Examines images, and then those of repositories, in this order.
    async fn examine(&self, targets: Vec<Target>, repositories: &[Repository]) -> Vec<ImageAudit> {
        let mut audits = self.examine_all(targets).await;
        let listed =
            stream::iter(repositories).map(async |repository| tagged(&self.reader, repository).await);
        let listed: Vec<Tagged> = listed.buffered(LISTED_AT_ONCE).collect().await;
        for Tagged { images, unread } in listed {
            audits.extend(self.examine_all(images).await);
            audits.extend(unread.into_iter().map(|(name, problem)| ImageAudit::new(name, Err(problem))));
        }
        audits
    }

    async fn examine_all(&self, targets: Vec<Target>) -> Vec<ImageAudit> {
        self.run.emit(&Event::Work { units: "images", more: targets.len() });
        let each = stream::iter(targets).map(async |target| {
            let audit = self.examine_one(target).await;
            self.run.emit(&Event::Worked);
            audit
        });
        each.buffered(AT_ONCE).collect().await
    }

    async fn examine_one(&self, target: Target) -> ImageAudit {
        let (image, tags, is_read) = match target {
            // The digest takes precedence over a tag beside it, so that nothing is known of the tag.
            Target::Named(image) if image.digest().is_some() => (image, Vec::new(), true),
            Target::Named(image) => {
                let tags = image.tag().cloned().into_iter().collect();
                (image, tags, true)
            }
            Target::Promoted(image, tags) => (image, tags, false),
            Target::Tagged(image, tags) => (image, tags, true),
        };
        let name = image.to_string();
        let found = audit(&self.reader, self.verification, self.production, &image).await;
        let found = found.map_err(|error| Problem::new(error.to_string(), error.advice()));
        match is_read {
            // An image that could not be read may not have its tag.
            true => ImageAudit {
                tags: if found.is_ok() { tags } else { Vec::new() },
                ..ImageAudit::new(name, found)
            },
            false => self.check_tags(&image, tags, ImageAudit::new(name, found)).await,
        }
    }

    /// Reads the tags that a manifest states for an image. All are read, because each of them can be wrong.
    async fn check_tags(&self, image: &ImageName, tags: Vec<Tag>, mut audit: ImageAudit) -> ImageAudit {
        for tag in tags {
            match read_tag(&self.reader, &image.repository, &tag).await {
                Ok(digest) if digest == image.digest() => audit.tags.push(tag),
                Ok(digest) => audit.wrong_tags.push(WrongTag { tag, digest }),
                Err(error) => {
                    audit.unread.get_or_insert_with(|| Problem::from(&error));
                }
            }
        }
        audit
    }
}

/// The prepared parts of a verification.
struct Prepared {
    connection: Connection,
    verification: Verification,
    /// The signers whose signatures count, as a text for a person.
    signer: String,
    /// The images that the command line and the manifests name.
    targets: Vec<Target>,
}

/// Reads the manifests and the configuration, and prints what is wrong. An error is the exit code.
fn prepare(args: &VerifyArgs, environment: &Environment) -> Result<Prepared, Exit> {
    let fail = |problem: &str, exit: Exit| {
        print_error(problem);
        exit
    };
    let invalid = |problem: InvalidConfig| Failure::from(problem).print();
    let promoted = all_promoted(args, environment)?;
    let config = Config::of(args.config.as_deref(), environment).map_err(invalid)?;
    let choice = args.trust.clone().or(config.trust());
    let named = args.images.iter().cloned().map(Target::Named);
    let targets: Vec<Target> = named.chain(promoted).collect();
    let repositories = targets.iter().map(Target::repository).chain(&args.repositories);
    let (defaults, outside) = of_repositories(&config, repositories);
    if let Some(repository) = outside {
        require_signer(repository, &choice).map_err(|problem| fail(&problem, Exit::Usage))?;
    }
    let connection = connect(&config, environment).map_err(invalid)?;
    let trust = trust(&choice, environment, &connection.door).map_err(invalid)?;
    let staging = signer_pattern(&choice, defaults).map_err(invalid)?;
    let signer = match &choice.verification_key {
        Some(path) => format!("the key {}", path.display()),
        None => staging.to_string(),
    };
    let verification = Verification { trust, staging, budget: Budget::default(), scans: None };
    Ok(Prepared { connection, verification, signer, targets })
}

/// Returns the images of the manifests that flags name, and prints what is wrong with them. Each entry and each manifest counts
/// here: what cannot be read is not verified.
fn all_promoted(args: &VerifyArgs, environment: &Environment) -> Result<Vec<Target>, Exit> {
    let mut all = Vec::new();
    for source in &args.manifests {
        let manifests = load(source, &Limit::None, environment, "nothing was verified")?;
        if manifests.rejected.count() > 0 {
            print_faults(&manifests.rejected);
            print_error(&format!("{}; nothing was verified", invalid_entries(&manifests.rejected)));
            return Err(Exit::Invalid);
        }
        manifests.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let images = promoted(&manifests);
        if images.is_empty() {
            let (ManifestSource::Plain(path) | ManifestSource::Thin(path)) = source;
            print_error(&format!("{}: no image is promoted: there is nothing to verify", path.display()));
            return Err(Exit::Invalid);
        }
        all.extend(images);
    }
    Ok(all)
}

/// Requires a signer for an image outside Kubernetes' production: a signature by an arbitrary identity proves nothing.
fn require_signer(repository: &Repository, choice: &TrustArgs) -> Result<(), String> {
    if choice.verification_key.is_some() || (choice.identity.is_some() && choice.issuer.is_some()) {
        return Ok(());
    }
    Err(format!(
        "the signer of {repository} is not named: give --certificate-identity or --certificate-identity-regexp together with \
         --certificate-oidc-issuer or --certificate-oidc-issuer-regexp, or --verification-key"
    ))
}

/// Returns the exit code. One refused image decides it. Images that could not be examined can be verified again later.
fn judge(audits: &[ImageAudit]) -> Exit {
    let has = |outcome: Outcome| audits.iter().any(|audit| audit.outcome() == outcome);
    if has(Outcome::Refused) {
        Exit::Policy
    } else if has(Outcome::Unavailable) {
        Exit::Unavailable
    } else {
        Exit::Success
    }
}
