//! Proof that content is absent from a registry.

/// Proof that content is absent from a registry: the registry answered with status 404 and a code of the specification
/// (`NAME_UNKNOWN` or `MANIFEST_UNKNOWN`) or a code that is configured for its host
/// ([`HostOptions::absence_codes`](crate::HostOptions::absence_codes)). The request carried the credentials that are configured
/// for the registry, if there are any.
///
/// Only this crate constructs it, and only from such an answer. Any other 404 is an error, such as one from a proxy or from a
/// registry that hides its content from anonymous readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    _private: (),
}

impl Absent {
    /// Constructs the proof. The caller must have checked the answer.
    pub(crate) const fn proven() -> Self {
        Self { _private: () }
    }
}

/// The result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// The content exists.
    Present(T),
    /// The content is proven to be absent.
    Absent(Absent),
}

impl<T> Found<T> {
    /// Returns the content if it exists.
    pub fn present(self) -> Option<T> {
        match self {
            Self::Present(found) => Some(found),
            Self::Absent(_) => None,
        }
    }

    /// Returns `true` if the content exists.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// Applies `change` to the content if it exists.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Present(found) => Found::Present(change(found)),
            Self::Absent(proof) => Found::Absent(proof),
        }
    }
}
