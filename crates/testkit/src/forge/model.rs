//! The pull requests of the forge, and its deviations from a correct forge.

/// A pull request of the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgePull {
    /// The repository that it targets, `org/name`.
    pub upstream: String,
    /// The repository that it comes from.
    pub fork: String,
    /// The branch that it comes from.
    pub branch: String,
    /// The branch that it targets.
    pub base: String,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// The number.
    pub number: usize,
}

/// The deviations of the forge from a correct one.
#[derive(Clone, Debug, Default)]
pub struct ForgeQuirks {
    /// The scopes of the token that the API reports. `None` omits the header.
    pub scopes: Option<String>,
    /// The status with which the creation of a pull request is refused.
    pub refuse_pulls: Option<u16>,
    /// Whether the list of pull requests ignores `head`, as that of Gitea does.
    pub ignores_head: bool,
    /// The URL that the API returns for every pull request, instead of the correct one.
    pub page: Option<String>,
    /// Whether pushes are answered with 502 after they were processed.
    pub loses_pushes: bool,
}
