//! Read: queries the stores for all files.

use std::sync::Arc;

use futures_util::future::join_all;
use manifest::files::{FileManifests, FileProject};

use super::given_up::GivenUp;
use super::listing::{Ask, Found, find_all, find_with_hashes};
use super::readers::{ProjectReaders, Readers};
use crate::error::Error;
use crate::event::{Event, Phase, Run};
use crate::object::Object;

/// The state of a file at a destination.
#[derive(Clone, Debug)]
pub(super) enum There {
    /// The file is absent, or no answer shows it.
    Absent,
    /// The file has the content that the manifest wants.
    Wanted,
    /// The file exists, and is not known to have the content that the manifest wants.
    Other(Box<Object>),
    Unreadable(Arc<Error>),
}

/// The state of a file in the source.
#[derive(Clone, Debug)]
pub(super) enum Here {
    Absent,
    There(Box<Object>),
    Unreadable(Arc<Error>),
}

/// The state of the files of a project in its stores.
#[derive(Debug)]
pub(super) struct ProjectState {
    /// For each file.
    pub(super) source: Vec<Here>,
    /// For each destination and file.
    pub(super) destinations: Vec<Vec<There>>,
}

/// The state of all files in the stores.
#[derive(Debug)]
pub struct ReadStores {
    pub(super) manifests: FileManifests,
    pub(super) readers: Readers,
    pub(super) states: Vec<ProjectState>,
}

/// Queries all stores for all files of the manifests.
///
/// # Errors
/// If a store as a whole cannot be read: returns all such stores.
pub async fn read(run: &Run, readers: Readers, manifests: FileManifests) -> Result<ReadStores, GivenUp> {
    run.phase(Phase::Read, async {
        let stores: usize = manifests.projects.iter().map(|project| project.destinations.len() + 1).sum();
        run.emit(&Event::Work { units: "stores", more: stores });
        let projects = manifests.projects.iter().zip(&readers.projects);
        let reads = projects.map(|(project, readers)| project_state(run, project, readers));
        let (mut states, mut errors) = (Vec::new(), Vec::new());
        // One project after the other: they share the limits of the hosts, so concurrency would not help.
        for state in reads {
            if run.is_stopping() {
                return Err(GivenUp::Interrupted);
            }
            match state.await {
                Ok(state) => states.push(state),
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() {
            return Ok(ReadStores { manifests, readers, states });
        }
        Err(GivenUp::Unavailable(errors))
    })
    .await
}

async fn project_state(
    run: &Run,
    project: &FileProject,
    readers: &ProjectReaders,
) -> Result<ProjectState, Vec<Error>> {
    // The indexes of the files, ordered by name in byte order.
    let mut order: Vec<usize> = (0..project.files.len()).collect();
    order.sort_unstable_by(|a, b| project.files[*a].name.as_str().cmp(project.files[*b].name.as_str()));
    let names: Vec<&str> = order.iter().map(|index| project.files[*index].name.as_str()).collect();
    let sizes = |source: &Result<Vec<Here>, Error>| -> Vec<Option<u64>> {
        let size = |here: &Here| if let Here::There(object) = here { Some(object.size) } else { None };
        source.as_ref().map_or_else(|_| vec![None; order.len()], |source| source.iter().map(size).collect())
    };
    let destinations = async |sizes: &[Option<u64>]| {
        join_all(readers.destinations.iter().map(|store| async {
            let found = find_with_hashes(&**store, &names).await?;
            let state = destination(project, &order, found, sizes);
            run.emit(&Event::Worked);
            Ok::<_, Error>(state)
        }))
        .await
    };
    let source = async {
        let found = find_all(&*readers.source, &names, Ask::ForAbsent).await?;
        run.emit(&Event::Worked);
        let mut state = vec![Here::Absent; order.len()];
        for (index, found) in order.iter().zip(found) {
            state[*index] = match found {
                Found::NotListed | Found::Absent => Here::Absent,
                Found::There(object) => Here::There(Box::new(object)),
                Found::Unreadable(error) => Here::Unreadable(error),
            };
        }
        Ok::<_, Error>(state)
    };
    let source = source.await;
    let destinations = destinations(&sizes(&source)).await;
    let (mut states, mut errors) = (Vec::new(), Vec::new());
    for state in destinations {
        match state {
            Ok(state) => states.push(state),
            Err(error) => errors.push(error),
        }
    }
    match source {
        Ok(source) if errors.is_empty() => Ok(ProjectState { source, destinations: states }),
        Ok(_) => Err(errors),
        Err(error) => {
            errors.push(error);
            Err(errors)
        }
    }
}

/// Returns the state of a destination, in the order of the manifest. `sizes` are the sizes of the files that the source has.
fn destination(
    project: &FileProject,
    order: &[usize],
    found: Vec<Found>,
    sizes: &[Option<u64>],
) -> Vec<There> {
    let mut states = vec![There::Absent; order.len()];
    for (index, found) in order.iter().zip(found) {
        let wanted = &project.files[*index].sha256;
        states[*index] = match found {
            Found::NotListed | Found::Absent => There::Absent,
            Found::There(object) if object.is(wanted, None) == Some(true) => match sizes[*index] {
                // Either the metadata or the source is wrong. Only a read of the content decides which.
                Some(size) if size != object.size => {
                    There::Other(Box::new(Object { attributes: None, sha256: None, ..object }))
                }
                _ => There::Wanted,
            },
            Found::There(object) => There::Other(Box::new(Object { attributes: None, ..object })),
            Found::Unreadable(error) => There::Unreadable(error),
        };
    }
    states
}
