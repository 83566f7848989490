//! Copy: the only phase that writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{StreamExt as _, iter};
use manifest::files::{FileEntry, Scheme};
use tokio::sync::Semaphore;

use super::AT_ONCE;
use super::plan::{Decision, Edge, Plan};
use super::readers::Writers;
use crate::compare::is_written;
use crate::decide::Verdict;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Operation, Phase, Run};
use crate::object::Object;
use crate::stores::{Condition, Content, StoreRead, StoreWrite, Upload};
use crate::transfer::{Source, Target, content, memory, transfer};

/// The memory for content that is being copied, in KiB.
const MEMORY: u32 = 64 * 1024;
/// The minimum memory that a file counts for, in KiB: its buffers and requests.
const LEAST: u32 = 64;
/// The maximum number of times that a file is read, if destinations lose their uploads.
const ROUNDS: u32 = 3;

/// The permission to write, and the stores to write to.
#[derive(Debug)]
pub struct Confirmed {
    writers: Writers,
}

impl Confirmed {
    /// Returns the permission if the run is confirmed.
    pub fn when(confirm: bool, writers: Writers) -> Option<Self> {
        confirm.then_some(Self { writers })
    }
}

/// A plan that has been carried out.
#[derive(Debug)]
pub struct CarriedOut {
    plan: Plan,
}

impl CarriedOut {
    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Carries out a plan. A file that fails does not stop the others.
pub async fn carry_out(run: &Run, confirmed: Confirmed, plan: Plan) -> CarriedOut {
    run.phase(Phase::Copy, async {
        let Confirmed { writers } = confirmed;
        // Group by file, so that each file is read once for all destinations.
        let mut files: BTreeMap<(usize, usize), Vec<Decision>> = BTreeMap::new();
        for decision in plan.copies() {
            let Edge { project, file, .. } = decision.edge;
            files.entry((project, file)).or_default().push(decision.clone());
        }
        run.emit(&Event::Work { units: "files", more: files.len() });
        let copying =
            Copying { run, plan: &plan, writers: &writers, memory: Semaphore::new(MEMORY as usize) };
        let copies = iter(files.into_values().map(|decisions| copying.file(decisions)));
        copies.buffer_unordered(AT_ONCE).collect::<()>().await;
        CarriedOut { plan }
    })
    .await
}

struct Copying<'a> {
    run: &'a Run,
    plan: &'a Plan,
    writers: &'a Writers,
    memory: Semaphore,
}

impl Copying<'_> {
    /// Copies a file to all destinations that lack it.
    async fn file(&self, decisions: Vec<Decision>) {
        let Some(edge) = decisions.first().map(|decision| decision.edge) else { return };
        let Some(object) = self.plan.source(edge) else { return };
        let entry = self.plan.entry(edge);
        let memory = self.memory.acquire_many(cost(object.size, decisions.len()));
        let permit = tokio::select! {
            permit = memory => permit.ok(),
            () = self.run.stopped() => None,
        };
        if permit.is_none() || self.run.is_stopping() {
            return;
        }
        let operations = decisions.iter().map(|decision| self.plan.operation(decision));
        let operations: Vec<Operation> = operations.collect();
        operations.iter().for_each(|operation| self.run.emit(&Event::Begun(operation.clone())));
        let results = self.copy(entry, object, &decisions).await;
        for (operation, result) in operations.into_iter().zip(results) {
            match result {
                Ok(sent) => self.run.emit(&Event::Copied { operation, size: object.size, sent }),
                // The run was stopped.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted) => {}
                Err(error) => self.run.emit(&Event::Failed(operation, Arc::new(error))),
            }
        }
        self.run.emit(&Event::Worked);
    }

    /// Copies a file. Returns for each destination whether the file was written; false means that it was found there.
    async fn copy(
        &self,
        entry: &FileEntry,
        object: &Object,
        decisions: &[Decision],
    ) -> Vec<Result<bool, Error>> {
        let project = &self.plan.readers.projects[decisions[0].edge.project];
        let source = &*project.source;
        let (object, mut first) = match attributes(source, entry, object).await {
            Ok(opened) => opened,
            Err(error) => return vec![Err(error); decisions.len()],
        };
        let attributes = object.attributes.as_deref().cloned().unwrap_or_default();
        let attributes = attributes.promoted(&entry.name, &entry.sha256);
        let target = |decision: &Decision| Target {
            store: self.writer(decision.edge),
            name: &entry.name,
            upload: Upload {
                size: object.size,
                sha256: entry.sha256,
                crc32c: object.crc32c,
                attributes: attributes.clone(),
                condition: condition(decision),
            },
        };
        let check = |decision: &Decision| self.check_version(entry, decision).map(|()| false);
        let mut results: Vec<Result<bool, Error>> = decisions.iter().map(check).collect();
        let mut open: Vec<usize> = (0..decisions.len()).filter(|index| results[*index].is_ok()).collect();
        if open.is_empty() {
            return results;
        }
        for round in 1..=ROUNDS {
            let what = format!("reading {}", source.url().file(&entry.name));
            let pieces = content(source, &entry.name, &object, first.take());
            let content = Source { what, size: object.size, sha256: entry.sha256, pieces };
            let targets = open.iter().map(|index| target(&decisions[*index])).collect();
            let written = transfer(content, targets, self.run.token()).await;
            let mut lost = Vec::new();
            for (index, written) in std::mem::take(&mut open).into_iter().zip(written) {
                results[index] = match written {
                    Ok(_) => Ok(true),
                    Err(error) if error.is_precondition() => {
                        let store = self.writer(decisions[index].edge);
                        let condition = condition(&decisions[index]);
                        let is_written =
                            is_written(store, &entry.name, &entry.sha256, &condition, &error).await;
                        is_written.and_then(|is_written| if is_written { Ok(false) } else { Err(error) })
                    }
                    // The store no longer knows the upload: start a new one.
                    Err(error) if matches!(error.kind(), ErrorKind::UploadLost(_)) && round < ROUNDS => {
                        tracing::debug!("{error}; it is begun anew");
                        lost.push(index);
                        Err(error)
                    }
                    Err(error) => Err(error),
                };
            }
            if lost.is_empty() || self.run.is_stopping() {
                break;
            }
            open = lost;
        }
        results
    }

    fn writer(&self, edge: Edge) -> &dyn StoreWrite {
        &*self.writers.projects[edge.project][edge.destination]
    }

    /// Checks that an object to replace has a version. Without one, the condition of the write would hold for any object.
    fn check_version(&self, entry: &FileEntry, decision: &Decision) -> Result<(), Error> {
        match condition(decision) {
            // `If-Match: *` holds for any object, too.
            Condition::Version(version) if version.is_empty() || version == "*" => {
                let file = self.writer(decision.edge).url().file(&entry.name);
                Err(Error::new(format!("replacing {file}"), ErrorKind::NoVersion))
            }
            Condition::Version(_) | Condition::Absent => Ok(()),
        }
    }
}

/// Returns the condition of a write: the object is what it was when the copy was planned.
fn condition(decision: &Decision) -> Condition {
    match (&decision.verdict, &decision.replaced) {
        (Verdict::Replace(_), Some(version)) => Condition::Version(version.to_string()),
        _ => Condition::Absent,
    }
}

/// Returns the object with its metadata. If the listing did not have the metadata, opens the object and returns its content, too.
async fn attributes(
    source: &dyn StoreRead,
    entry: &FileEntry,
    object: &Object,
) -> Result<(Object, Option<Content>), Error> {
    if object.attributes.is_some() {
        return Ok((object.clone(), None));
    }
    if source.url().scheme() == Scheme::Gcs {
        // Google's answers with content lack custom metadata.
        let fail = |kind| Error::new(format!("reading {}", source.url().file(&entry.name)), kind);
        let found = source.find(&entry.name).await?.ok_or_else(|| fail(ErrorKind::NoObject))?;
        if found.version != object.version {
            return Err(fail(ErrorKind::Changed));
        }
        return Ok((Object { attributes: found.attributes, ..object.clone() }, None));
    }
    let version = (!object.version.is_empty()).then_some(object.version.as_str());
    let content = source.open(&entry.name, version, 0).await?;
    let attributes = content.object.attributes.clone();
    Ok((Object { attributes, ..object.clone() }, Some(content)))
}

/// Returns the memory that copying a file may take, in KiB.
fn cost(size: u64, destinations: usize) -> u32 {
    u32::try_from(memory(size, destinations) / 1024).unwrap_or(MEMORY).clamp(LEAST, MEMORY)
}
