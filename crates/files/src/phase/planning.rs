//! Plan: decides what to do with each file at each destination. Reads content where the metadata does not suffice.

use std::sync::Arc;

use futures_util::stream::{StreamExt as _, iter};
use manifest::files::{FileEntry, FileManifests};

use super::AT_ONCE;
use super::given_up::GivenUp;
use super::plan::{Decision, Edge, Plan};
use super::read::{Here, ProjectState, ReadStores, There};
use super::readers::ProjectReaders;
use crate::decide::{DestinationState, Mode, SourceState, Verdict, decide};
use crate::error::Error;
use crate::event::{Event, Phase, Run};
use crate::hash::{Hasher, Hashes};
use crate::object::Object;
use crate::stores::StoreRead;
use crate::transfer::read_all;

/// How a plan is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How to treat other content at a destination.
    pub mode: Mode,
    /// Whether to read and hash the files to copy, so that a dry run finds wrong content in the source.
    pub verify_source: bool,
    /// Whether lost files are conflicts.
    pub strict: bool,
}

/// Makes the plan.
///
/// # Errors
/// If the plan has conflicts, or the run was stopped.
pub async fn plan(run: &Run, read: ReadStores, options: Options) -> Result<Plan, GivenUp> {
    run.phase(Phase::Plan, async {
        let ReadStores { manifests, readers, states } = read;
        let (mut decisions, mut sources) = (Vec::new(), Vec::new());
        for (index, state) in states.into_iter().enumerate() {
            let planning =
                Planning { run, index, manifests: &manifests, readers: &readers.projects[index], options };
            let (decided, objects) = planning.project(state).await;
            decisions.extend(decided);
            sources.push(objects);
            if run.is_stopping() {
                return Err(GivenUp::Interrupted);
            }
        }
        let mut plan = Plan { manifests, readers, decisions, sources, strict: options.strict };
        plan.leave_out_repeated();
        plan.tell(run);
        let has_conflicts = plan.conflicts().next().is_some();
        if has_conflicts { Err(GivenUp::Conflicts(Box::new(plan))) } else { Ok(plan) }
    })
    .await
}

/// Makes the plan of a project.
struct Planning<'a> {
    run: &'a Run,
    index: usize,
    manifests: &'a FileManifests,
    readers: &'a ProjectReaders,
    options: Options,
}

/// The state of a destination, the version of the object there, and why it could not be queried.
type Destination = (DestinationState, Option<Box<str>>, Option<Arc<Error>>);

/// What is known about a file after content was read where necessary.
struct Known {
    source: SourceState,
    destinations: Vec<Destination>,
    error: Option<Arc<Error>>,
    object: Option<Box<Object>>,
}

impl Planning<'_> {
    async fn project(&self, state: ProjectState) -> (Vec<Decision>, Vec<Option<Box<Object>>>) {
        let files = &self.manifests.projects[self.index].files;
        let ProjectState { source, mut destinations } = state;
        let rows: Vec<(usize, Here, Vec<There>)> = source
            .into_iter()
            .enumerate()
            .map(|(file, here)| {
                let there =
                    destinations.iter_mut().map(|states| std::mem::replace(&mut states[file], There::Absent));
                (file, here, there.collect())
            })
            .collect();
        drop(destinations);
        let decided = iter(rows.into_iter().map(|(file, here, there)| async move {
            let entry = &files[file];
            let known = self.know(entry, here, there).await;
            (file, known)
        }));
        let mut by_destination = vec![Vec::new(); self.readers.destinations.len()];
        let mut objects = Vec::with_capacity(files.len());
        let mut decided = std::pin::pin!(decided.buffered(AT_ONCE));
        while let Some((file, known)) = decided.next().await {
            let Known { source, destinations, error, object } = known;
            let mut is_copied = false;
            for (destination, (state, replaced, unreadable)) in destinations.into_iter().enumerate() {
                let verdict = decide(&files[file].sha256, source, state, self.options.mode);
                is_copied |= matches!(verdict, Verdict::Copy | Verdict::Replace(_));
                let edge = Edge { project: self.index, file, destination };
                let error = unreadable.or_else(|| error.clone()).filter(|_| verdict == Verdict::Unreadable);
                by_destination[destination].push(Decision { edge, verdict, replaced, error });
            }
            objects.push(object.filter(|_| is_copied));
        }
        (by_destination.into_iter().flatten().collect(), objects)
    }

    /// Determines the state of a file in the source and at the destinations.
    ///
    /// Objects at destinations with unknown content are compared with the source, which is then read once for all of them. Objects
    /// that do not resemble the source are read.
    async fn know(&self, entry: &FileEntry, here: Here, there: Vec<There>) -> Known {
        let object = match here {
            Here::There(object) => object,
            Here::Absent => {
                let (destinations, _) = self.destinations(entry, there, None).await;
                return Known { source: SourceState::Absent, destinations, error: None, object: None };
            }
            Here::Unreadable(error) => return self.unreadable(entry, there, error).await,
        };
        let is_unknown = |there: &&There| matches!(there, There::Other(other) if other.sha256.is_none());
        let resembles = |there: &There| matches!(there, There::Other(other) if other.resembles(&object));
        let may_be_equal = there.iter().filter(is_unknown).any(resembles);
        let is_to_be_copied = there.iter().any(|there| matches!(there, There::Absent | There::Other(_)));
        let all_done = there.iter().all(|there| matches!(there, There::Wanted));
        let read = if may_be_equal || (self.options.verify_source && is_to_be_copied) {
            match self.hashes(&*self.readers.source, entry, &object).await {
                Ok(read) => Some(read),
                Err(error) => return self.unreadable(entry, there, error).await,
            }
        } else {
            None
        };
        let (destinations, right) = self.destinations(entry, there, read.as_ref()).await;
        let source = match (read, right) {
            (Some(read), _) if read.sha256 == entry.sha256 => SourceState::Right,
            (Some(read), _) => SourceState::Wrong(Some(read.sha256)),
            (None, Some(right)) => compared(&object, &right),
            // Metadata may be wrong. Trust it only if all destinations are done, so that no write depends on it.
            (None, None) => match object.sha256 {
                Some(found) if found != entry.sha256 && all_done => SourceState::Wrong(Some(found)),
                _ => SourceState::There,
            },
        };
        Known { source, destinations, error: None, object: Some(object) }
    }

    /// Returns what is known about a file whose source cannot be read.
    async fn unreadable(&self, entry: &FileEntry, there: Vec<There>, error: Arc<Error>) -> Known {
        let (destinations, _) = self.destinations(entry, there, None).await;
        Known { source: SourceState::Unreadable, destinations, error: Some(error), object: None }
    }

    /// Returns the states of the destinations, and the hashes of content that was read there, if it is the content that the
    /// manifest wants.
    async fn destinations(
        &self,
        entry: &FileEntry,
        there: Vec<There>,
        read: Option<&Hashes>,
    ) -> (Vec<Destination>, Option<Hashes>) {
        let (mut states, mut right) = (Vec::with_capacity(there.len()), None);
        for (store, there) in self.readers.destinations.iter().zip(there) {
            states.push(match there {
                There::Absent => (DestinationState::Absent, None, None),
                There::Wanted => (DestinationState::Known(entry.sha256), None, None),
                There::Unreadable(error) => (DestinationState::Unreadable, None, Some(error)),
                There::Other(object) => {
                    let version = Some(object.version.as_str().into());
                    let equal = read.filter(|read| object.is(&read.sha256, Some(read)) == Some(true));
                    match (object.sha256, equal) {
                        (Some(known), _) => (DestinationState::Known(known), version, None),
                        (None, Some(read)) => (DestinationState::Known(read.sha256), version, None),
                        (None, None) => match self.hashes(&**store, entry, &object).await {
                            Ok(found) => {
                                right = right.or((found.sha256 == entry.sha256).then_some(found));
                                (DestinationState::Known(found.sha256), version, None)
                            }
                            Err(error) => (DestinationState::Unreadable, None, Some(error)),
                        },
                    }
                }
            });
        }
        (states, right)
    }

    async fn hashes(
        &self,
        store: &dyn StoreRead,
        entry: &FileEntry,
        object: &Object,
    ) -> Result<Hashes, Arc<Error>> {
        let read = read_all(store, &entry.name, object, Hasher::with_md5()).await.map_err(Arc::new)?;
        self.run.emit(&Event::Read(read.size));
        Ok(read)
    }
}

/// Returns the state of a source that was not read. `right` are the hashes of the content that the manifest wants.
fn compared(object: &Object, right: &Hashes) -> SourceState {
    match object.clone().without_claims().is(&right.sha256, Some(right)) {
        Some(true) => SourceState::Right,
        Some(false) => SourceState::Wrong(object.sha256.filter(|found| *found != right.sha256)),
        None => SourceState::There,
    }
}
