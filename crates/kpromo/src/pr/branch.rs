//! Whose the branch of a proposal is: one of kpromo may be renewed, any other stays as it is.

use std::path::Path;

use manifest::edit::{Addition, FileKind, ImagesFile};
use oci::Tag;

use super::text;
use super::workspace::{Planned, Workspace};
use crate::args::PrArgs;
use crate::failure::Failure;

/// The state of the branch of the proposal in the fork.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BranchState {
    /// There is none.
    Absent,
    /// It proposes the same file.
    Current,
    /// It is an older proposal.
    Behind {
        /// Its commit.
        tip: String,
        /// What it proposes.
        proposed: Vec<Addition>,
    },
    /// It is not a proposal of this user by kpromo.
    Foreign {
        /// Why not.
        why: String,
    },
}

impl BranchState {
    fn foreign(why: impl Into<String>) -> Self {
        Self::Foreign { why: why.into() }
    }
}

impl Workspace<'_> {
    /// Compares the branch of the fork with the planned commit.
    ///
    /// A branch is an older proposal if it is a single commit on a commit of upstream's base branch; with the names and addresses
    /// that git writes for this user; with a title of kpromo for this project and first tag; and with the change of this one file
    /// that kpromo makes.
    pub(super) async fn branch_state(
        &self,
        args: &PrArgs,
        url: &str,
        branch: &str,
        planned: &Planned<'_>,
        commit: &str,
    ) -> Result<BranchState, Failure> {
        let tip = self.fetch_branch(url, branch).await?;
        let line = self.line("read the branch of the fork");
        let parents = line.of(&["rev-list", "--no-walk", "--parents", &tip]).await?;
        let parents: Vec<&str> = parents.split_whitespace().skip(1).collect();
        let [parent] = parents[..] else {
            return Ok(BranchState::foreign("its last commit is a merge, or has no history"));
        };
        let persons = async |commit: &str| {
            let format = "--format=%an%x00%ae%x00%cn%x00%ce";
            line.of(&["log", "-1", "--no-show-signature", "--no-mailmap", format, commit]).await
        };
        if persons(&tip).await? != persons(commit).await? {
            return Ok(BranchState::foreign("its commit is by somebody else"));
        }
        let subject = line.of(&["log", "-1", "--no-show-signature", "--format=%s", &tip]).await?;
        let Some(tags) = text::tags_of(args, &subject) else {
            return Ok(BranchState::foreign("its commit has another title"));
        };
        let changes = self.changes(parent, &tip).await?;
        let [change] = &changes[..] else {
            return Ok(BranchState::foreign("its commit changes other files"));
        };
        if change.path != planned.path.to_string_lossy() || !change.is_of_content() {
            return Ok(BranchState::foreign("its commit changes other files"));
        }
        if !self.is_in_base(args, parent).await? {
            return Ok(BranchState::foreign("it has more commits than one"));
        }
        if change.new == self.blob(commit, planned.path).await? {
            return Ok(BranchState::Current);
        }
        let Some(proposed) = self.proposed(parent, &tip, planned.path, &change.new, &tags).await? else {
            return Ok(BranchState::foreign("its commit has another content than kpromo writes"));
        };
        Ok(BranchState::Behind { tip, proposed })
    }

    /// Returns what a commit adds to a file, if it is what kpromo writes for these tags.
    async fn proposed(
        &self,
        parent: &str,
        tip: &str,
        path: &Path,
        blob: &str,
        tags: &[Tag],
    ) -> Result<Option<Vec<Addition>>, Failure> {
        let read = async |commit: &str| -> Result<Option<ImagesFile>, Failure> {
            let content = self.content(commit, path).await?;
            Ok(ImagesFile::parse("images.yaml", content.into_bytes(), Some(FileKind::Images)).ok())
        };
        let (Some(before), Some(after)) = (read(parent).await?, read(tip).await?) else { return Ok(None) };
        let Some(added) = after.added_since(&before) else { return Ok(None) };
        if added.is_empty() || added.iter().any(|addition| !tags.contains(&addition.tag)) {
            return Ok(None);
        }
        let Ok(edited) = before.add(&added) else { return Ok(None) };
        for own in [Some(edited.file.clone()), edited.file.format().ok()].into_iter().flatten() {
            if self.blob_of(own.bytes()).await? == blob {
                return Ok(Some(added));
            }
        }
        Ok(None)
    }
}
