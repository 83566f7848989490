//! Lists of GitHub releases and the object stores that they are copied to (specification 04, *`kpromo gh`*).

mod load;
mod model;

pub use load::load_releases;
pub use model::{
    GitHubName, InvalidGitHubName, InvalidReleaseBucket, InvalidReleaseTag, ReleaseBucket, ReleaseDirectory,
    ReleaseEntry, ReleaseTag,
};
