//! Runs rows, and compares the outcomes with the table.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use oci::{AttachmentKind, Digest, Repository, RepositoryPath, Tag};
use promote::Error;
use registry::sample::{Recipe, Sample};
use sigstore::{SignerSource, SigningKey, Trust, TrustSettings};
use trust::{Promoter, SignatureFormat, Signing, TrustConfig};

use crate::support::hand::{Hand, append};
use crate::support::{World, path, tag, trust_config};
use crate::wild::row::{Outcome, Row};

/// The time limit for a run. It is generous: a run that takes longer counts as hung.
const LIMIT: Duration = Duration::from_secs(120);
/// The number of rows to run concurrently.
const AT_ONCE: usize = 6;

/// Runs all rows. Fails with a list of the rows with an unexpected outcome.
pub(crate) fn check(rows: impl IntoIterator<Item = Row>) -> LocalBoxFuture<'static, ()> {
    let rows: Vec<Row> = rows.into_iter().collect();
    async move {
        // Rows spend most of their time waiting.
        let running = rows.iter().map(|row| async move { (row, Box::pin(run(row)).await) });
        let ended: Vec<_> = futures_util::stream::iter(running).buffered(AT_ONCE).collect().await;
        let wrong: Vec<String> = ended
            .into_iter()
            .filter_map(|(row, came)| came.err().map(|reason| format!("- {}: {reason}", row.name)))
            .collect();
        let (count, list) = (wrong.len(), wrong.join("\n"));
        assert!(wrong.is_empty(), "{count} of {} rows have an unexpected outcome:\n{list}", rows.len());
    }
    .boxed_local()
}

async fn run(row: &Row) -> Result<(), String> {
    let mut world = row.world().await;
    fill(row, &mut world).await;
    let as_expected = bounded(check_outcome(row, &mut world)).await;
    // Tags must not move even if the outcome is unexpected.
    let tags_stay = bounded(contradicted_run(row, &mut world)).await;
    match (as_expected, tags_stay) {
        (Err(one), Err(other)) => Err(format!("{one}\n  besides: {other}")),
        (one, other) => one.and(other),
    }
}

/// Checks that the outcome of the row is as expected.
async fn check_outcome(row: &Row, world: &mut World) -> Result<(), String> {
    first_run(row, world).await?;
    if matches!(row.outcome, Outcome::Works) {
        tokio::time::sleep(row.settle).await;
        second_run(row, world).await?;
    }
    Ok(())
}

/// Returns the result of a run that may hang or panic.
async fn bounded(run: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match tokio::time::timeout(LIMIT, AssertUnwindSafe(run).catch_unwind()).await {
        Err(_) => Err(format!("it has not ended after {} s", LIMIT.as_secs())),
        Ok(Err(panic)) => Err(message(&*panic)),
        Ok(Ok(checked)) => checked,
    }
}

/// Returns the message of a panic.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Puts images into staging, and configures signing.
async fn fill(row: &Row, world: &mut World) {
    for (name, image) in images(row) {
        if row.many_tags {
            let tags: Vec<_> = (0..5).map(|number| tag(&format!("old-{number}"))).collect();
            image.put(world.staging.store(), &path(&format!("staging/{name}")), &tags).await.unwrap();
        }
        world.stage(&name, &image, &["v1", "v1.0", "latest"]).await;
    }
    for (number, sample) in row.odd.iter().enumerate() {
        world.stage(&format!("odd-{number}"), sample, &["v1"]).await;
    }
    for (side, repository, sample, tagged) in &row.held {
        let tags: Vec<_> = tagged.iter().map(|text| tag(text)).collect();
        sample.put(side.server(world).store(), &path(repository), &tags).await.unwrap();
    }
    world.trust_config = signing(world);
    if row.signed {
        let hand = Hand::new();
        for (name, image) in images(row) {
            let digest = image.digest();
            let host = world.staging.host().clone();
            let repository = Repository { host, path: path(&format!("staging/{name}")) };
            let layers = [hand.signature(digest).await];
            append(&repository, digest, AttachmentKind::Signature, &layers).await;
        }
        world.trust_config.verification.trust = hand.trust();
    }
    row.arrange(world);
    row.renew_client(world);
}

/// Returns the images of the row, by name.
fn images(row: &Row) -> impl Iterator<Item = (String, Sample)> {
    (0..row.images).map(|seed| {
        let recipe = Recipe { seed, layer_size: row.layer_size, ..Recipe::default() };
        (format!("app-{seed}"), recipe.index(2))
    })
}

fn signing(world: &World) -> TrustConfig {
    let trust = Trust::new(world.door.clone(), TrustSettings::default()).unwrap();
    let signer = SignerSource::key(world.door.clone(), SigningKey::generate().unwrap(), trust);
    let promoter = Promoter { version: "0.0.0-test".to_owned(), ..Promoter::default() };
    let canonical = world.production[0].host().clone();
    TrustConfig {
        signing: Some(Signing {
            signer,
            format: SignatureFormat::Tag,
            at_once: 8,
            summaries: None,
            promoter,
        }),
        ..trust_config(&world.door, TrustSettings::default(), canonical)
    }
}

/// Returns the tags of images in production, and the digests they name.
fn production_tags(world: &World) -> BTreeMap<(usize, RepositoryPath, Tag), Digest> {
    let mut tags = BTreeMap::new();
    for (number, region) in world.production.iter().enumerate() {
        for repository in region.store().repositories() {
            // Tags of attachments start with this prefix. They may change.
            let named = region.store().tags(&repository).into_iter();
            let named = named.filter(|(tag, _)| !tag.as_str().starts_with("sha256-"));
            tags.extend(named.map(|(tag, digest)| ((number, repository.clone(), tag), digest)));
        }
    }
    tags
}

/// Promotes, and returns what the run reports as failed. The text is empty if nothing failed. Returns an error if a tag in
/// production has moved.
async fn promote(world: &World) -> Result<String, String> {
    let before = production_tags(world);
    let reported = emit(world).await;
    let after = production_tags(world);
    match before.iter().find(|(name, digest)| after.get(name) != Some(digest)) {
        Some(((_, repository, tag), _)) => Err(format!("the tag {repository}:{tag} of production has moved")),
        None => reported,
    }
}

async fn emit(world: &World) -> Result<String, String> {
    let cleared = match world.prepare().await {
        Ok(cleared) => cleared,
        Err(error) => return Ok(error_text(&error)),
    };
    let attested = world.carry_out(cleared).await;
    let plan = attested.promoted().plan();
    let mut reported: Vec<String> = plan.failures().map(|failure| with_advice(failure.error)).collect();
    reported.extend(
        world.report.failures().into_iter().map(|(promotion, error)| format!("{promotion}: {error}")),
    );
    let unsigned = world.report.unsigned().into_iter().chain(world.report.unrecorded());
    reported.extend(unsigned.map(|image| format!("{}: {}", image.image, image.error)));
    reported.extend(plan.lost().map(|edge| format!("{} is called lost", plan.edges().reference(edge))));
    let counted = attested.promoted().failed() + attested.unsigned() + attested.unrecorded();
    if counted > 0 && reported.is_empty() {
        return Err("something failed, and the reason is not reported".to_owned());
    }
    Ok(brief(reported))
}

/// Removes repeated lines.
fn brief(mut reported: Vec<String>) -> String {
    let mut seen = HashSet::new();
    reported.retain(|line| seen.insert(line.clone()));
    reported.join("\n  ")
}

fn error_text(error: &Error) -> String {
    let failures = error.plan().into_iter().flat_map(promote::phase::Plan::failures);
    brief(
        std::iter::once(error.to_string())
            .chain(failures.map(|failure| with_advice(failure.error)))
            .collect(),
    )
}

fn with_advice(error: &oci::Error) -> String {
    error.advice().map_or_else(|| error.to_string(), |advice| format!("{error}; {advice}"))
}

async fn first_run(row: &Row, world: &mut World) -> Result<(), String> {
    let reported = promote(world).await?;
    world.assert_whole().await;
    match row.outcome {
        Outcome::Works if reported.is_empty() => world.assert_complete().await,
        Outcome::Works => return Err(reported),
        Outcome::Clear(texts) => {
            if reported.is_empty() {
                return Err("it ends as if all were well".to_owned());
            }
            if let Some(text) = texts.iter().find(|text| !reported.contains(**text)) {
                return Err(format!("the error does not name `{text}`: {reported}"));
            }
            if !row.concerns_staging {
                sound_region_is_complete(row, world);
            }
        }
    }
    Ok(())
}

fn sound_region_is_complete(row: &Row, world: &World) {
    for (name, image) in images(row) {
        let held = world.production[1].store().resolve(&path(&format!("prod/{name}")), &tag("v1"));
        assert_eq!(held, Some(image.digest()), "the sound region lacks {name}");
    }
}

/// Checks that a new client finds nothing left to do.
async fn second_run(row: &Row, world: &mut World) -> Result<(), String> {
    row.renew_client(world);
    world.reset_tallies();
    world.report = Arc::default();
    let reported = promote(world).await?;
    if !reported.is_empty() {
        return Err(format!("the second run says: {reported}"));
    }
    match world.writes() {
        0 => Ok(()),
        writes => Err(format!("the second run writes {writes} times")),
    }
}

/// Checks that a tag in the first region that names another image stays, and that the run reports an error. The second region
/// does not have such a tag, because one is enough to stop the run.
async fn contradicted_run(row: &Row, world: &mut World) -> Result<(), String> {
    let held = Recipe { seed: 1_000, ..Recipe::default() }.image();
    // The other tags sort before `v1`, so it is not on the first page.
    let tags = ["a", "b", "c", "v1"].map(tag);
    held.put(world.production[0].store(), &path("prod/held"), &tags).await.unwrap();
    world.stage("held", &Recipe { seed: 1_001, ..Recipe::default() }.image(), &["v1"]).await;
    row.renew_client(world);
    world.report = Arc::default();
    let reported = promote(world).await?;
    if reported.is_empty() { Err("a tag that cannot be written is not reported".to_owned()) } else { Ok(()) }
}
