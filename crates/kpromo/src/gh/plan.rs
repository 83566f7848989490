//! Plan: determines which objects exist, which have to be written, and which conflict.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use files::{Attributes, Error, Hashes, Object, Presence, Store, has_content, look};
use futures_util::stream::{StreamExt as _, iter};
use manifest::files::{FileName, Sha256, StoreUrl};

use super::asset::{Asset, Assets};
use super::jobs::Job;
use super::list::Listed;

/// The metadata with the URL of an asset in GitHub's API. It shows a later run from which asset an object was created.
const ASSET_METADATA: &str = "github-asset";
/// The number of assets that are compared concurrently.
const AT_ONCE: usize = 32;

/// The stores of a run, by their URLs.
pub(super) type StoreMap = BTreeMap<StoreUrl, Store>;

/// The object that an asset is copied to.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) store: StoreUrl,
    pub(super) name: FileName,
}

impl Destination {
    /// Returns the URL.
    pub(super) fn url(&self) -> String {
        self.store.file(&self.name)
    }
}

/// What to do about an object.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// The object has the content of the asset.
    Done,
    /// The object does not exist and has to be written.
    Write,
    /// The object has other content, which is not replaced. The value is the reason.
    Conflict(String),
    /// The object could not be compared. The values are the error and advice.
    Failed(String, Option<&'static str>),
}

/// An asset, and what to do about each of its objects.
#[derive(Clone, Debug)]
pub(super) struct PlannedAsset {
    pub(super) asset: Asset,
    /// The SHA-256, if GitHub or a store has it, or this run has read the asset.
    pub(super) sha256: Option<Sha256>,
    pub(super) objects: Vec<(Destination, Verdict)>,
}

impl PlannedAsset {
    /// Returns the objects to write.
    pub(super) fn writes(&self) -> impl Iterator<Item = &Destination> {
        let is_write = |(_, verdict): &&(Destination, Verdict)| matches!(verdict, Verdict::Write);
        self.objects.iter().filter(is_write).map(|(place, _)| place)
    }

    /// Returns the metadata of the objects.
    pub(super) fn attributes(&self, name: &str, sha256: &Sha256) -> Attributes {
        let content_type = self.asset.content_type.clone();
        let mut attributes = Attributes { content_type, ..Attributes::default() }.promoted(name, sha256);
        attributes.content_type.get_or_insert_with(|| "application/octet-stream".to_owned());
        attributes.custom.insert(ASSET_METADATA.to_owned(), self.asset.url.to_string());
        attributes
    }
}

/// The plan of a run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) assets: Vec<PlannedAsset>,
    /// Assets that cannot be copied, each with the reason.
    pub(super) unusable: Vec<(String, String)>,
}

/// An asset and its objects, each with the other asset that takes precedence, if there is one.
struct WantedAsset {
    asset: Asset,
    objects: Vec<(Destination, Option<Asset>)>,
}

/// The assets with their objects, before any request to a store.
pub(super) struct Wanted {
    assets: Vec<WantedAsset>,
    unusable: Vec<(String, String)>,
}

impl Wanted {
    /// Determines the objects of all assets. If several assets have the same object, the first one is copied, and the others are
    /// conflicts.
    pub(super) fn new(jobs: &[Job], listed: Vec<Listed>) -> Self {
        let mut owners: HashMap<String, Asset> = HashMap::new();
        let (mut assets, mut unusable) = (Vec::new(), Vec::new());
        for (job, listed) in jobs.iter().zip(listed) {
            unusable.extend(listed.unusable);
            for asset in listed.assets {
                let mut objects = Vec::new();
                for place in &job.places {
                    let name = place.directory.file(&asset.tag, &asset.name);
                    let name = match name {
                        Ok(name) if place.store.fits(&name) => name,
                        Ok(_) => {
                            let why = format!("{asset}: below {} its name is too long", place.store);
                            unusable.push((asset.shown.clone(), why));
                            continue;
                        }
                        Err(error) => {
                            let why = format!("{asset}: its name cannot be that of a file: {error}");
                            unusable.push((asset.shown.clone(), why));
                            continue;
                        }
                    };
                    let place = Destination { store: place.store.clone(), name };
                    match owners.get(&place.url()) {
                        None => {
                            owners.insert(place.url(), asset.clone());
                            objects.push((place, None));
                        }
                        // Overlapping entries, or assets with the same content.
                        Some(owner) if owner.url == asset.url || is_same(owner, &asset) => {}
                        Some(owner) => objects.push((place, Some(owner.clone()))),
                    }
                }
                assets.push(WantedAsset { asset, objects });
            }
        }
        assets.retain(|wanted: &WantedAsset| !wanted.objects.is_empty());
        Self { assets, unusable }
    }
}

/// Makes the plan. `is_missing` returns whether a store is a directory that the run would create. Such a store is empty.
///
/// # Errors
/// If stores cannot be read: returns all of them.
pub(super) async fn plan(
    stores: &StoreMap,
    assets: &Assets,
    wanted: Wanted,
    is_missing: impl Fn(&StoreUrl) -> bool,
) -> Result<Plan, Vec<Error>> {
    let (mut present, mut errors) = (HashMap::new(), Vec::new());
    for (url, store) in stores {
        let places = wanted.assets.iter().flat_map(|wanted| &wanted.objects);
        let places = places.filter(|(place, conflict)| place.store == *url && conflict.is_none());
        let mut names: Vec<&str> = places.map(|(place, _)| place.name.as_str()).collect();
        names.sort_unstable();
        if is_missing(url) {
            continue;
        }
        match look(store.reader(), &names).await {
            Ok(found) => present.extend(names.iter().map(|name| url.file(name)).zip(found)),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let Wanted { assets: wanted, unusable } = wanted;
    let present = &present;
    let planned = iter(wanted.into_iter().map(|WantedAsset { asset, objects }| async move {
        let mut known = Known { sha256: asset.sha256, asset: &asset, assets, hashes: None };
        let mut decided = Vec::with_capacity(objects.len());
        for (place, conflict) in objects {
            let verdict = match (conflict, present.get(&place.url())) {
                (Some(owner), _) => match known.is_also(&owner).await {
                    Ok(true) => continue,
                    Ok(false) => Verdict::Conflict(format!("it is also to have {owner}")),
                    Err(error) => failed(&Arc::new(error)),
                },
                (None, None | Some(Presence::Absent)) => Verdict::Write,
                (None, Some(Presence::Unreadable(error))) => failed(error),
                (None, Some(Presence::There(object))) => {
                    // A store that was not opened is a missing directory, which is empty.
                    let Some(store) = stores.get(&place.store) else { continue };
                    known
                        .compare(store, &place, object)
                        .await
                        .unwrap_or_else(|error| failed(&Arc::new(error)))
                }
            };
            decided.push((place, verdict));
        }
        let sha256 = known.sha256;
        PlannedAsset { asset, sha256, objects: decided }
    }));
    Ok(Plan { assets: planned.buffered(AT_ONCE).collect().await, unusable })
}

/// Returns whether GitHub says that two assets have the same content.
fn is_same(one: &Asset, other: &Asset) -> bool {
    one.size == other.size && one.sha256.is_some() && one.sha256 == other.sha256
}

fn failed(error: &Arc<Error>) -> Verdict {
    Verdict::Failed(error.to_string(), error.advice())
}

/// What is known about an asset.
struct Known<'a> {
    asset: &'a Asset,
    assets: &'a Assets,
    sha256: Option<Sha256>,
    /// The hashes, if this run has read the asset.
    hashes: Option<Hashes>,
}

impl Known<'_> {
    /// Returns whether another asset has the same content. Reads assets without a digest.
    async fn is_also(&mut self, other: &Asset) -> Result<bool, Error> {
        if self.asset.size != other.size {
            return Ok(false);
        }
        let theirs = match other.sha256 {
            Some(sha256) => sha256,
            None => self.assets.hash(other, 0).await?.0.sha256,
        };
        Ok(self.read().await? == theirs)
    }

    /// Returns the SHA-256. Reads the asset if it is unknown.
    async fn read(&mut self) -> Result<Sha256, Error> {
        if let Some(sha256) = self.sha256 {
            return Ok(sha256);
        }
        let (hashes, _) = self.assets.hash(self.asset, 0).await?;
        self.hashes = Some(hashes);
        Ok(*self.sha256.insert(hashes.sha256))
    }

    /// Compares an object with the asset.
    async fn compare(
        &mut self,
        store: &Store,
        place: &Destination,
        object: &Object,
    ) -> Result<Verdict, Error> {
        let size = self.asset.size;
        if object.size != size {
            return Ok(Verdict::Conflict(format!(
                "it has {} bytes, and {} has {size}",
                object.size, self.asset
            )));
        }
        let sha256 = match (self.sha256, made_of(object, self.asset)) {
            (Some(sha256), _) => sha256,
            (None, Some(sha256)) => {
                self.sha256 = Some(sha256);
                return Ok(Verdict::Done);
            }
            (None, None) => self.read().await?,
        };
        let is_equal = match object.is(&sha256, self.hashes.as_ref()) {
            Some(is_equal) => is_equal,
            None => has_content(store.reader(), &place.name, object, &sha256).await?,
        };
        if is_equal {
            return Ok(Verdict::Done);
        }
        let there =
            object.sha256.map_or("another SHA-256".to_owned(), |there| format!("the SHA-256 {there}"));
        Ok(Verdict::Conflict(format!("it has {there}, and {} has {sha256}", self.asset)))
    }
}

/// Returns the SHA-256 of an object that an earlier run has created from this asset.
fn made_of(object: &Object, asset: &Asset) -> Option<Sha256> {
    let custom = &object.attributes.as_ref()?.custom;
    object.sha256.filter(|_| custom.get(ASSET_METADATA).is_some_and(|url| url == asset.url.as_str()))
}
