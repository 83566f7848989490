//! `kpromo verify`: the signatures and attestations of images, and their signers.

mod target;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use indicatif::MultiProgress;
use manifest::Manifests;
use oci::{Reader, Repository, Tag};
use promote::{Event, Observer, Run};
use sigstore::TrustError;
use target::{Target, promoted, read_tag, tagged};
use tokio_util::sync::CancellationToken;
use trust::audit::{AuditError, ImageName, audit};
use trust::evidence::Budget;
use trust::{Problem, Production, Verification};

use crate::args::{Form, Limit, VerifyArgs};
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
    for ImageAudit { name, found, .. } in audits {
        if let Err(Problem { error, advice, .. }) = found {
            // A person reads all lines, and a program each on its own.
            let advice = advice.as_deref().filter(|advice| printed.insert(*advice) || is_json());
            ErrorLine { image: Some(name), advice, ..ErrorLine::new(error) }.print();
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
        let listed = stream::iter(repositories)
            .map(async |repository| (repository, tagged(&self.reader, repository).await))
            .buffered(LISTED_AT_ONCE);
        let listed: Vec<_> = listed.collect().await;
        for (repository, targets) in listed {
            match targets {
                Ok(targets) => audits.extend(self.examine_all(targets).await),
                Err(problem) => audits.push(ImageAudit::unavailable(repository.to_string(), problem)),
            }
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
        let found = match found {
            Ok(found) => found,
            Err(error) => return ImageAudit::unavailable(name, problem(&error)),
        };
        let checked = match is_read {
            true => Ok((tags, Vec::new())),
            false => self.check_tags(&image, tags).await,
        };
        match checked {
            Ok((tags, wrong_tags)) => ImageAudit { name, tags, wrong_tags, found: Ok(found) },
            Err(error) => ImageAudit::unavailable(name, Problem::from(&error)),
        }
    }

    /// Reads the tags of an image that is named by digest. Returns those that refer to it, and the others.
    async fn check_tags(
        &self,
        image: &ImageName,
        tags: Vec<Tag>,
    ) -> Result<(Vec<Tag>, Vec<WrongTag>), oci::Error> {
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for tag in tags {
            match read_tag(&self.reader, &image.repository, &tag).await? {
                digest if digest == image.digest() => right.push(tag),
                digest => wrong.push(WrongTag { tag, digest }),
            }
        }
        Ok((right, wrong))
    }
}

fn problem(error: &AuditError) -> Problem {
    Problem::new(error.to_string(), error.advice())
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
    let manifests = manifests(args, environment)?;
    let config = Config::of(args.config.as_deref(), environment).map_err(invalid)?;
    let choice = args.trust.clone().or(config.trust());
    let named = args.images.iter().cloned().map(Target::Named);
    let targets: Vec<Target> = named.chain(promoted(&manifests)).collect();
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

/// Reads the manifests that flags name, and prints what is wrong with them. Each entry counts here: what cannot be read is not
/// verified.
fn manifests(args: &VerifyArgs, environment: &Environment) -> Result<Manifests, Exit> {
    let Some(source) = &args.manifests else { return Ok(Manifests::default()) };
    let manifests = load(source, &Limit::None, environment, "nothing was verified")?;
    if manifests.rejected.count() > 0 {
        print_faults(&manifests.rejected);
        print_error(&format!("{}; nothing was verified", invalid_entries(&manifests.rejected)));
        return Err(Exit::Invalid);
    }
    manifests.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if manifests.manifests.iter().all(|manifest| manifest.images.is_empty()) {
        print_error("the manifests name no image: there is nothing to verify");
        return Err(Exit::Invalid);
    }
    Ok(manifests)
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
