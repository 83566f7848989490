//! `kpromo sigcheck`: checks the signatures and promotion records of promoted images, and repairs them.

use std::collections::HashMap;
use std::sync::Arc;

use indicatif::MultiProgress;
use jiff::{SignedDuration, Timestamp};
use manifest::load_thin;
use oci::Client;
use promote::sigcheck::{
    CheckedImage, FindError, FoundImage, FoundImages, Naming, Span, Wanted, check, find,
};
use promote::{Confirmed, Error, ReportBuilder, Run};
use sigstore::Signatory;
use tokio_util::sync::CancellationToken;
use trust::TrustConfig;

use crate::args::{CheckedNames, Listed, OutputForm, SigcheckArgs};
use crate::choice::Defaults;
use crate::cip::{observers, until_abandoned};
use crate::config::Config;
use crate::connect::{Connection, connect};
use crate::defaults::{of_production, of_repositories};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::faults::print_faults;
use crate::identities::{Checking, NoConfig, checking_config};
use crate::render::{Progress, Results, sigcheck_json, sigcheck_text};
use crate::terminal::{ErrorLine, Interrupts, is_json, print};
use crate::watchdog;

/// Checks images and, with `--confirm`, repairs them.
pub(crate) async fn run(args: &SigcheckArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    let Prepared { connection, checking, naming } = match prepare(args, environment) {
        Ok(prepared) => prepared,
        Err(failed) => return failed.print(),
    };
    let report = Arc::new(ReportBuilder::default());
    let stop = CancellationToken::new();
    let progress = Progress::new(screen);
    let run = Run::new(observers(&report, &progress), stop.clone());
    let work = Work { args, run: &run, client: &connection.client, checking: &checking, naming: &naming };
    let interrupts = Interrupts::new();
    let done = tokio::select! {
        done = Box::pin(work.carry_out()) => done,
        () = until_abandoned(interrupts, None, &stop, &report) => Err(interrupted(&report)),
        never = watchdog::watch(&connection.door) => match never {},
        never = progress.show(&connection.door) => match never {},
    };
    progress.clear();
    let results = match done {
        Ok(results) => results,
        Err(failed) => return failed.print(),
    };
    let exit = match run.is_stopping() {
        true => interrupted(&report).print(),
        false => judge(&results),
    };
    match args.output {
        OutputForm::Text => print(&sigcheck_text(&results, &checking.signer)),
        OutputForm::Json => print(&sigcheck_json(&results, &checking.signer, exit)),
    }
    print_problems(&results);
    exit
}

fn interrupted(report: &ReportBuilder) -> Failure {
    match report.has_writing_begun() {
        true => Failure::new(
            Exit::InterruptedWriting,
            "interrupted; images are shown as they were before the repair, and the next run repairs the rest",
        ),
        false => Failure::new(Exit::Interrupted, "interrupted; nothing was written"),
    }
}

/// Prints why images could not be checked. The same advice is printed once.
fn print_problems(results: &Results) {
    let of_images =
        results.images.iter().filter_map(|(image, _)| Some((image.name(), image.result.as_ref().err()?)));
    let unread = results.unread.iter().map(|(name, problem)| (name.clone(), problem));
    let mut given = Vec::new();
    for (name, problem) in of_images.chain(unread) {
        // A person reads all lines, and a program each on its own.
        let advice = problem.advice.as_ref().filter(|advice| is_json() || !given.contains(*advice));
        given.extend(advice.cloned());
        let advice = advice.map(String::as_str);
        ErrorLine { image: Some(&name), advice, ..ErrorLine::new(&problem.error) }.print();
    }
}

/// Returns the exit code. What is missing decides it. Images that could not be checked can be checked again later.
fn judge(results: &Results) -> Exit {
    let lacks = |image: &CheckedImage| image.result.as_ref().is_ok_and(|findings| !findings.is_ok());
    let was_repaired = results.images.iter().any(|(_, before)| before.is_some());
    let is_unread =
        !results.unread.is_empty() || results.images.iter().any(|(image, _)| image.result.is_err());
    if results.images.iter().any(|(image, _)| lacks(image)) || (is_unread && was_repaired) {
        Exit::Unsigned
    } else if is_unread {
        Exit::Unavailable
    } else {
        Exit::Success
    }
}

struct Prepared {
    connection: Connection,
    checking: Checking,
    naming: Naming,
}

/// Reads the manifests and the configuration.
fn prepare(args: &SigcheckArgs, environment: &Environment) -> Result<Prepared, Failure> {
    let manifests = args.manifests.as_deref().map(load_thin).transpose();
    let manifests = manifests.map_err(Failure::invalid)?;
    if let Some(rejected) = manifests.as_ref().map(|all| &all.rejected).filter(|all| all.count() > 0) {
        print_faults(rejected);
        tracing::warn!("the images in these entries count as not listed by any manifest");
    }
    let config = Config::of(args.config.as_deref(), environment)?;
    let connection = connect(&config, environment)?;
    let defaults = match &args.names {
        CheckedNames::Named(images) => {
            of_repositories(&config, images.iter().map(|image| &image.repository)).0
        }
        CheckedNames::Listed(_) => of_production(&config),
    };
    let checking = match checking_config(args, &config, defaults, environment, &connection) {
        Ok(checking) => checking,
        Err(NoConfig::Invalid(problem)) => return Err(problem.into()),
        Err(NoConfig::Usage(problem)) => return Err(Failure::new(Exit::Usage, problem)),
    };
    tracing::debug!(
        kubernetes = defaults == Defaults::Kubernetes,
        signer = checking.signer,
        "whose signatures count"
    );
    Ok(Prepared { connection, checking, naming: Naming { manifests } })
}

/// The work of one command.
struct Work<'a> {
    args: &'a SigcheckArgs,
    run: &'a Run,
    client: &'a Client,
    checking: &'a Checking,
    naming: &'a Naming,
}

impl Work<'_> {
    async fn carry_out(&self) -> Result<Results, Failure> {
        self.can_verify_and_sign().await?;
        let FoundImages { images, unread, without_times } = self.find().await?;
        if without_times {
            self.without_times()?;
        }
        let confirmed = self.args.confirm;
        let checked = self.check(&images).await?;
        let is_lacking = |image: &CheckedImage| image.result.as_ref().is_ok_and(|findings| !findings.is_ok());
        if !confirmed || !checked.images.iter().any(is_lacking) {
            let images = checked.images.into_iter().map(|image| (image, None)).collect();
            return Ok(Results { images, unread, confirmed });
        }
        let before = checked.images.clone();
        let Some(access) = Confirmed::when(true, self.client) else {
            return Err(Failure::new(Exit::Failure, "no write access"));
        };
        let repaired = checked.repair(self.run, &access, self.trust_config()).await;
        repaired.map_err(|error| failed(&error))?;
        // A repair counts only after it was read back.
        let again: Vec<FoundImage> = images
            .iter()
            .zip(&before)
            .filter(|(_, image)| is_lacking(image))
            .map(|(image, _)| image.clone())
            .collect();
        let again = tokio::select! {
            biased;
            // What was written so far is unknown; the next run reads it.
            () = self.run.stopped() => Vec::new(),
            again = self.check(&again) => again?.images,
        };
        let mut again: HashMap<String, CheckedImage> = again
            .into_iter()
            .map(|image| (format!("{}@{}", image.repository, image.digest), image))
            .collect();
        let images = before.into_iter().map(|image| {
            match again.remove(&format!("{}@{}", image.repository, image.digest)) {
                Some(now) => (now, Some(image)),
                None => (image, None),
            }
        });
        Ok(Results { images: images.collect(), unread, confirmed })
    }

    fn trust_config(&self) -> &TrustConfig {
        &self.checking.trust_config
    }

    /// Checks before the first request to a registry that there is a trusted root and, with `--confirm`, a signer whose signatures
    /// count.
    async fn can_verify_and_sign(&self) -> Result<(), Failure> {
        let TrustConfig { verification, signing, .. } = self.trust_config();
        let unavailable = |error: String| Failure::new(Exit::Unavailable, error);
        verification.trust.verifier().await.map_err(|error| unavailable(error.to_string()))?;
        let Some(signing) = signing.as_ref().filter(|_| self.args.confirm) else { return Ok(()) };
        let signers = signing.ready().await.map_err(|error| {
            unavailable(format!("images cannot be signed; nothing was written\n  {error}"))
        })?;
        let counts = |signatory: &Signatory| verification.accepts(signatory);
        if !signers.owner.signatories().iter().any(counts) {
            let text = format!(
                "repairs would not count: the signer is {}, but only signatures by {} count",
                signers.owner, self.checking.signer
            );
            return Err(Failure::new(Exit::Invalid, text));
        }
        if self.naming.manifests.is_none() {
            tracing::warn!(
                "without --thin-manifest-dir, images are signed whether or not a manifest names them, and records are not made"
            );
        }
        Ok(())
    }

    async fn find(&self) -> Result<FoundImages, Failure> {
        let wanted = match &self.args.names {
            CheckedNames::Named(names) => Wanted::Named(names.clone()),
            CheckedNames::Listed(listed) => Wanted::Listed { span: Some(span(listed)?), limit: listed.limit },
        };
        let (reader, named) = (self.client.reader(), self.naming.named());
        let production = &self.trust_config().production;
        find(self.run, &reader, production, &wanted, named.as_ref()).await.map_err(|error| match &error {
            FindError::Unlisted(cause) => {
                Failure::new(Exit::Unavailable, error.to_string()).with_help(cause.problem().advice)
            }
            FindError::Metadata(_) => Failure::new(Exit::Usage, error.to_string()),
        })
    }

    /// Handles registries that do not report upload times. All images are checked, unless flags select some. They are repaired
    /// only if manifests list them.
    fn without_times(&self) -> Result<(), Failure> {
        let CheckedNames::Listed(listed) = &self.args.names else { return Ok(()) };
        let host = &self.trust_config().production.canonical_host;
        if listed.days_are_given {
            let text =
                format!("{host} does not report upload times: --from-days and --to-days cannot be applied");
            return Err(Failure::new(Exit::Usage, text).help("name the images"));
        }
        if self.args.confirm && self.naming.manifests.is_none() {
            let text = format!(
                "{host} does not report upload times, so all its images would be signed, not only those \
                 of the last days"
            );
            return Err(Failure::new(Exit::Usage, text).help("name the images, or give --thin-manifest-dir"));
        }
        tracing::warn!(
            "{host} does not report upload times: all images are checked, not only those of the last days"
        );
        Ok(())
    }

    async fn check(&self, images: &[FoundImage]) -> Result<promote::sigcheck::Check, Failure> {
        let writes = self.args.confirm;
        let checked = check(self.run, self.client, images, self.naming, self.trust_config(), writes).await;
        checked.map_err(|error| failed(&error))
    }
}

/// Returns the period that the flags select.
fn span(listed: &Listed) -> Result<Span, Failure> {
    let now = Timestamp::now();
    let ago = |days: i64| now.checked_sub(SignedDuration::from_hours(24 * days));
    match (ago(listed.from_days), ago(listed.to_days)) {
        (Ok(from), Ok(to)) => Ok(Span { from, to: (listed.to_days > 0).then_some(to) }),
        (Err(error), _) | (_, Err(error)) => Err(Failure::new(Exit::Usage, error.to_string())),
    }
}

fn failed(error: &Error) -> Failure {
    match error {
        Error::Interrupted => Failure::new(Exit::Interrupted, "interrupted; nothing was written"),
        Error::TrustUnavailable(cause, _) => Failure::new(
            Exit::Unavailable,
            format!("the attachments of images cannot be verified\n  {cause}"),
        ),
        Error::CannotSign(cause, _) => Failure::new(
            Exit::Unavailable,
            format!("images cannot be signed; nothing was written\n  {cause}"),
        ),
        // Nothing is promoted, so that nothing can conflict or be blocked.
        other => Failure::new(Exit::Unavailable, other.to_string()).with_help(other.problem().advice),
    }
}
