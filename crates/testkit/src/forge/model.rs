//! What the forge holds, and how it differs from one that works.

/// A pull request of the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgePull {
    /// The repository that it is proposed to, `org/name`.
    pub upstream: String,
    /// The repository that it is from.
    pub fork: String,
    /// The branch that it is from.
    pub branch: String,
    /// The branch that it is proposed to.
    pub base: String,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// The number.
    pub number: usize,
}

/// How the forge differs from one that works.
#[derive(Clone, Debug, Default)]
pub struct ForgeQuirks {
    /// The scopes that the API says the token has. `None`: it says nothing.
    pub scopes: Option<String>,
    /// The status with which the creation of a pull request is refused.
    pub refuse_pulls: Option<u16>,
    /// Whether the list of pull requests ignores `head`, as that of Gitea does.
    pub ignores_head: bool,
    /// The address that the API names for every pull request, in place of its own.
    pub page: Option<String>,
    /// Whether pushes are answered 502 after they have arrived.
    pub loses_pushes: bool,
}
