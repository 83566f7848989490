//! Determines the owner of the branch of a proposal: a branch of kpromo may be updated, any other branch must not be changed.

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
    /// The branch does not exist.
    Absent,
    /// The branch proposes the same file.
    Current,
    /// The branch is an older proposal.
    Behind {
        /// The commit of the branch.
        tip: String,
        /// The proposed additions.
        proposed: Vec<Addition>,
    },
    /// The branch is not a proposal that kpromo has created for this user.
    Foreign {
        /// The reason.
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
    /// A branch is an older proposal if it is a single commit on a commit of upstream's base branch, and this commit has the
    /// names and addresses that git writes for this user, a title of kpromo for this project and first tag, and only the change
    /// of this file that kpromo would make.
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

    /// Returns the additions of a commit to a file, if kpromo would make the same change for these tags.
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
