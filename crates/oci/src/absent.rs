//! Proof that a registry does not have something.

/// Proof that a registry does not have something: it has said so by a code of the specification (`NAME_UNKNOWN`,
/// `MANIFEST_UNKNOWN` or `BLOB_UNKNOWN` with status 404), or a list that it gave to its end does not have it; and the request
/// carried the credentials that are configured for the registry.
///
/// Only this crate makes it, and only of such an answer. A 404 of any other kind, such as that of a proxy or of a registry that
/// hides from anonymous readers what it has, is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    _made_here: (),
}

impl Absent {
    /// For the places of this crate that have the proof in hand.
    pub(crate) const fn proven() -> Self {
        Self { _made_here: () }
    }
}

/// What came of looking for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// It is there.
    Present(T),
    /// It is proven not to be there.
    Absent(Absent),
}

impl<T> Found<T> {
    /// What is there, if it is.
    pub fn present(self) -> Option<T> {
        match self {
            Self::Present(found) => Some(found),
            Self::Absent(_) => None,
        }
    }

    /// Whether it is there.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// The same of what `change` makes of it.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Present(found) => Found::Present(change(found)),
            Self::Absent(proof) => Found::Absent(proof),
        }
    }
}
