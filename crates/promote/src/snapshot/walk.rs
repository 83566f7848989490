//! Reads all repositories of a registry, which are found in Google's `child` lists or else in the catalog.

use std::collections::{BTreeSet, HashSet};

use futures_util::stream::{self, FuturesUnordered, StreamExt};
use oci::{Digest, Found, Reader, RegistryRoot, Repository, RepositoryPath, Selector, Tag};
use oci_types::text::printable;

use super::children::{Indexes, children};
use super::draft::{Draft, FoundManifest};
use super::{Snapshot, SnapshotError};
use crate::event::{Event, Run};

/// The maximum number of repositories that are read concurrently. The door limits the requests in flight; this limit bounds
/// memory, since each repository is held as it is listed until it is complete.
const REPOSITORIES_AT_ONCE: usize = 32;
/// The maximum number of tags of one repository that are looked up concurrently.
const TAGS_AT_ONCE: usize = 16;
/// The maximum number of repositories of a snapshot. Kubernetes' production has 1,350 in each region.
const REPOSITORIES_MAX: usize = 100_000;
/// The maximum number of digests of a snapshot.
const DIGESTS_MAX: usize = 5_000_000;
/// The maximum number of warnings of one kind that are reported in full.
const WARNINGS_MAX: usize = 20;

/// Reads the images of a registry, or of the part of it below a path. Either everything is read, or the result is an error.
/// Content that is deleted in the meantime is left out with a warning.
///
/// With `tag`, only digests with this tag are kept. With `minimal`, untagged digests that any index in the registry lists are
/// left out.
///
/// Sends one request for each page of the catalog and of each repository, and one `HEAD` for each tag if the registry does not
/// list manifests. Untagged digests of such a registry cannot be found. With `minimal`, reads each index once if there are
/// untagged digests.
///
/// # Errors
/// Returns an error if the repositories cannot be found or if any request fails.
pub async fn read_registry(
    run: &Run,
    reader: &Reader,
    root: &RegistryRoot,
    tag: Option<&Tag>,
    minimal: bool,
) -> Result<Snapshot, SnapshotError> {
    let keeps_indexes = minimal && tag.is_none();
    let (mut snapshot, indexes) = Walk::new(run, reader, root, tag, keeps_indexes).all().await?;
    if keeps_indexes && snapshot.has_untagged() {
        snapshot.leave_out_children(&children(run, reader, root, indexes).await?);
    }
    Ok(snapshot)
}

/// Reads all indexes of a registry, and returns the manifests that they list.
///
/// # Errors
/// Returns the errors of [`read_registry`].
pub async fn children_of_indexes(
    run: &Run,
    reader: &Reader,
    root: &RegistryRoot,
) -> Result<HashSet<Digest>, SnapshotError> {
    let (_, indexes) = Walk::new(run, reader, root, None, true).all().await?;
    children(run, reader, root, indexes).await
}

/// Reads all repositories of a registry, or of the part of it below a path, with their manifests. Content that is deleted in the
/// meantime is left out with a warning. Sends the requests of [`read_registry`].
///
/// # Errors
/// Returns an error if the repositories cannot be found.
pub(crate) async fn read_manifests(
    run: &Run,
    reader: &Reader,
    root: &RegistryRoot,
) -> Result<ListedRepositories, SnapshotError> {
    let mut walk = Walk::new(run, reader, root, None, false);
    walk.listed = Some(ListedRepositories::default());
    walk.read_all().await?;
    Ok(walk.listed.unwrap_or_default())
}

/// The repositories of a registry, with their manifests.
#[derive(Debug, Default)]
pub(crate) struct ListedRepositories {
    pub(crate) manifests: Vec<(Repository, Vec<FoundManifest>)>,
    /// The repositories that could not be read.
    pub(crate) unread: Vec<(Repository, oci::Error)>,
}

/// A walk through a registry.
struct Walk<'a> {
    asking: Asking<'a>,
    /// Whether indexes are recorded.
    keeps_indexes: bool,
    seen: HashSet<RepositoryPath>,
    queue: BTreeSet<RepositoryPath>,
    snapshot: Snapshot,
    /// The manifests of each repository, if they are collected instead of a snapshot.
    listed: Option<ListedRepositories>,
    digests: usize,
    indexes: Indexes,
    invalid_names: usize,
    /// The number of repositories that list invalid names.
    invalid_lists: usize,
    vanished: usize,
}

/// What was read from a catalog, up to its end or an error.
#[derive(Debug, Default)]
struct Catalog {
    pages: usize,
    names: usize,
}

/// The context that the concurrent requests of a walk share.
#[derive(Clone, Copy)]
struct Asking<'a> {
    run: &'a Run,
    reader: &'a Reader,
    root: &'a RegistryRoot,
    tag: Option<&'a Tag>,
}

impl<'a> Walk<'a> {
    fn new(
        run: &'a Run,
        reader: &'a Reader,
        root: &'a RegistryRoot,
        tag: Option<&'a Tag>,
        keeps_indexes: bool,
    ) -> Self {
        Self {
            asking: Asking { run, reader, root, tag },
            keeps_indexes,
            seen: HashSet::new(),
            queue: BTreeSet::new(),
            snapshot: Snapshot::default(),
            listed: None,
            digests: 0,
            indexes: Indexes::new(),
            invalid_names: 0,
            invalid_lists: 0,
            vanished: 0,
        }
    }

    async fn all(mut self) -> Result<(Snapshot, Indexes), SnapshotError> {
        self.read_all().await?;
        Ok((self.snapshot, self.indexes))
    }

    async fn read_all(&mut self) -> Result<(), SnapshotError> {
        self.find().await?;
        let asking = self.asking;
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < REPOSITORIES_AT_ONCE
                && let Some(path) = self.queue.pop_first()
            {
                under_way.push(async move {
                    let read = asking.read(&path).await;
                    (path, read)
                });
            }
            let Some((path, read)) = under_way.next().await else { break };
            asking.run.emit(&Event::Worked);
            let repository = || Repository { host: asking.root.host.clone(), path: path.clone() };
            let read = match (read, &mut self.listed) {
                (Err(error), Some(listed)) => {
                    listed.unread.push((repository(), error));
                    continue;
                }
                (read, _) => read?,
            };
            match read {
                Found::Present(draft) => self.take(&path, draft)?,
                Found::Absent(_) => self.vanished(&path),
            }
        }
        self.report_more();
        Ok(())
    }

    /// Finds the first repositories to read.
    async fn find(&mut self) -> Result<(), SnapshotError> {
        let Asking { run, root, .. } = self.asking;
        let mut itself = None;
        let mut refused = None;
        if let Some(path) = &root.prefix {
            run.emit(&Event::Work { units: "repositories", more: 1 });
            let read = self.asking.read(path).await;
            run.emit(&Event::Worked);
            match read {
                Ok(Found::Present(draft)) if draft.is_google() => {
                    self.seen.insert(path.clone());
                    return self.take(path, draft);
                }
                Ok(Found::Present(draft)) => itself = Some(draft),
                Ok(Found::Absent(_)) => {}
                // Registries refuse a path that is not a repository in many ways. The catalog decides.
                Err(error) if is_refusal(&error) => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        let mut listed = Catalog::default();
        let catalog = self.catalog(&mut listed).await;
        match (catalog, itself, &root.prefix) {
            (Ok(true), Some(draft), Some(path)) => {
                self.queue.remove(path);
                self.seen.insert(path.clone());
                self.take(path, draft)
            }
            (Ok(true), None, Some(path)) => {
                if self.queue.is_empty() {
                    let (root, listed) = (root.clone(), listed.names);
                    return Err(SnapshotError::Unknown { root, listed, repository: refused });
                }
                let Some(refused) = refused else {
                    // The path is proven to be absent, so do not request it again.
                    if self.queue.remove(path) {
                        self.vanished(path);
                    }
                    return Ok(());
                };
                // If the catalog lists the path, it is requested again. A catalog may hide repositories that these credentials
                // cannot read.
                if self.queue.contains(path) || denies_name(&refused) {
                    return Ok(());
                }
                let Some(listed) = &mut self.listed else {
                    return Err(SnapshotError::Unproven { root: root.clone(), repository: refused });
                };
                listed.unread.push((Repository { host: root.host.clone(), path: path.clone() }, refused));
                Ok(())
            }
            (Ok(true), ..) => Ok(()),
            // If a page was read, the registry has a catalog, whatever the answer for the next page.
            (Err(SnapshotError::Registry(error)), _, _) if listed.pages > 0 || !is_refusal(&error) => {
                Err(error.into())
            }
            (Err(error @ SnapshotError::Unreasonable { .. }), _, _) => Err(error),
            (_, Some(draft), Some(path)) => {
                run.emit(&Event::Warned(format!(
                    "{} has no catalog that can be read: only the repository {root} itself is in the snapshot, not what may be below it",
                    root.host
                )));
                self.take(path, draft)
            }
            (catalog, ..) => {
                let catalog = match catalog {
                    Err(SnapshotError::Registry(error)) => Some(error),
                    _ => None,
                };
                Err(SnapshotError::NotListable { root: root.clone(), repository: refused, catalog })
            }
        }
    }

    /// Queues the repositories of the catalog that belong to the registry. Returns `false` if there is no catalog.
    async fn catalog(&mut self, listed: &mut Catalog) -> Result<bool, SnapshotError> {
        let Asking { run, reader, root, .. } = self.asking;
        let mut names: BTreeSet<RepositoryPath> = BTreeSet::new();
        let (mut invalid, mut is_too_large) = (0, false);
        let mut give = |page: &[String]| {
            listed.pages += 1;
            listed.names += page.len();
            for name in page {
                match name.parse::<RepositoryPath>() {
                    Err(_) => invalid += 1,
                    Ok(path) if name_below(&path, root).is_none() => {}
                    Ok(_) if names.len() == REPOSITORIES_MAX => is_too_large = true,
                    Ok(path) => drop(names.insert(path)),
                }
            }
        };
        let found = reader.list_repositories(&root.host, &mut give).await?;
        if is_too_large {
            return Err(self.too_many_repositories());
        }
        if invalid > 0 {
            run.emit(&Event::Warned(format!(
                "the catalog of {} has {invalid} names that are not valid names of repositories; they are left out",
                root.host
            )));
        }
        run.emit(&Event::Work { units: "repositories", more: names.len() });
        self.seen.extend(names.iter().cloned());
        self.queue = names;
        Ok(found.is_present())
    }

    /// Adds a repository to the snapshot, and queues the repositories below it.
    fn take(&mut self, path: &RepositoryPath, mut draft: Draft) -> Result<(), SnapshotError> {
        let Asking { run, root, tag, .. } = self.asking;
        if let Some(names) = draft.invalid_names() {
            self.invalid_list(path, &names);
        }
        let before = self.queue.len();
        for child in draft.take_children() {
            let below = child.parse::<RepositoryPath>().ok().filter(|_| !child.contains('/'));
            let below = below.map(|child| path.join(&child));
            match below.transpose() {
                Ok(None) => self.invalid_name(path, &child),
                // A repository that exists cannot be requested. An endless tree of repositories would also end here.
                Err(_) => {
                    let limit = format!("the name of a repository below {path} is longer than names may be");
                    return Err(SnapshotError::Unreasonable { root: root.clone(), limit });
                }
                Ok(Some(below)) if self.seen.len() == REPOSITORIES_MAX && !self.seen.contains(&below) => {
                    return Err(self.too_many_repositories());
                }
                Ok(Some(below)) => {
                    if self.seen.insert(below.clone()) {
                        self.queue.insert(below);
                    }
                }
            }
        }
        run.emit(&Event::Work { units: "repositories", more: self.queue.len() - before });
        if self.keeps_indexes {
            for digest in draft.indexes() {
                self.indexes.entry(digest).or_default().push(path.clone());
            }
        }
        let found = self.listed.as_ref().map(|_| draft.found());
        let mut contents = draft.into_contents();
        if let Some(tag) = tag {
            contents.keep(|entry| entry.has_tag(tag));
        }
        self.digests += contents.entries().len();
        if self.digests > DIGESTS_MAX {
            let limit = format!("it has more than {DIGESTS_MAX} digests");
            return Err(SnapshotError::Unreasonable { root: root.clone(), limit });
        }
        if let (Some(listed), Some(found)) = (&mut self.listed, found) {
            listed.manifests.push((Repository { host: root.host.clone(), path: path.clone() }, found));
            return Ok(());
        }
        // Only repositories at or below the root are requested.
        self.snapshot.insert(name_below(path, root).unwrap_or_default(), contents);
        Ok(())
    }

    fn too_many_repositories(&self) -> SnapshotError {
        let limit = format!("it has more than {REPOSITORIES_MAX} repositories");
        SnapshotError::Unreasonable { root: self.asking.root.clone(), limit }
    }

    fn invalid_name(&mut self, path: &RepositoryPath, child: &str) {
        self.invalid_names += 1;
        if self.invalid_names <= WARNINGS_MAX {
            self.asking.run.emit(&Event::Warned(format!(
                "{}/{path} lists a repository below it by a name that is not valid; it is left out: {}",
                self.asking.root.host,
                printable(child, 80)
            )));
        }
    }

    fn invalid_list(&mut self, path: &RepositoryPath, names: &str) {
        self.invalid_lists += 1;
        if self.invalid_lists <= WARNINGS_MAX {
            self.asking.run.emit(&Event::Warned(format!(
                "{}/{path} lists names that are neither valid tags nor valid digests; they are left out: {names}",
                self.asking.root.host
            )));
        }
    }

    fn vanished(&mut self, path: &RepositoryPath) {
        self.vanished += 1;
        if self.vanished <= WARNINGS_MAX {
            self.asking.run.emit(&Event::Warned(format!(
                "{}/{path} is listed, and the registry says that it does not exist: it was deleted meanwhile or has no tags; \
                 it is left out",
                self.asking.root.host
            )));
        }
    }

    /// Reports the number of warnings that were not reported in full.
    fn report_more(&self) {
        for (number, what) in [
            (self.vanished, "no longer exist; they are left out"),
            (self.invalid_names, "have invalid names; they are left out"),
            (self.invalid_lists, "list invalid names; these are left out"),
        ] {
            if number > WARNINGS_MAX {
                let more = number - WARNINGS_MAX;
                let warning = format!("{more} more listed repositories {what}");
                self.asking.run.emit(&Event::Warned(warning));
            }
        }
    }
}

impl Asking<'_> {
    /// Reads one repository, with the manifests that its tags name.
    async fn read(&self, path: &RepositoryPath) -> Result<Found<Draft>, oci::Error> {
        let repository = Repository { host: self.root.host.clone(), path: path.clone() };
        let mut draft = Draft::default();
        let found = self.reader.list(&repository, &mut |listed| draft.take(listed)).await?;
        if let Found::Absent(proof) = found {
            return Ok(Found::Absent(proof));
        }
        if self.tag.is_some_and(|tag| !draft.has_tag(tag)) {
            // Only the children of this repository are kept, so its tags need not be looked up.
            return Ok(Found::Present(draft.without_contents()));
        }
        let repository = &repository;
        let mut heads = stream::iter(draft.take_unresolved())
            .map(async |tag| {
                let head = self.reader.head(repository, Selector::Tag(&tag)).await;
                (tag, head)
            })
            .buffer_unordered(TAGS_AT_ONCE);
        while let Some((tag, head)) = heads.next().await {
            match head? {
                Found::Present(head) => draft.resolved(tag, head.digest, &head.media_type),
                Found::Absent(_) => self.run.emit(&Event::Warned(format!(
                    "{repository}:{tag} is listed, and the registry says that it does not exist: it was deleted meanwhile; it \
                     is left out"
                ))),
            }
        }
        drop(heads);
        Ok(Found::Present(draft))
    }
}

/// Returns whether the registry has answered that it does not serve the request. Server errors and network failures do not
/// count.
fn is_refusal(error: &oci::Error) -> bool {
    let refuses = |status: u16| (400..500).contains(&status) || status == 501;
    !error.is_temporary() && error.status().is_some_and(|status| refuses(status.as_u16()))
}

/// Returns whether the registry says that the name is invalid for a repository.
fn denies_name(error: &oci::Error) -> bool {
    error.refusal().is_some_and(|refusal| refusal.errors.iter().any(|error| error.code == "NAME_INVALID"))
}

/// Returns the path of a repository below a registry: empty for the registry's own path, `None` if it is not below.
fn name_below<'a>(path: &'a RepositoryPath, root: &RegistryRoot) -> Option<&'a str> {
    match &root.prefix {
        None => Some(path.as_str()),
        Some(prefix) => match path.as_str().strip_prefix(prefix.as_str())? {
            "" => Some(""),
            rest => rest.strip_prefix('/'),
        },
    }
}
