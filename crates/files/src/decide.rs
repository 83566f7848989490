//! Decides what to do with a file at a destination. Pure: the result depends only on the states passed in.

use manifest::files::Sha256;

/// The state of a file in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// The file is proven to be absent.
    Absent,
    /// The file exists; its content is unknown.
    There,
    /// The file exists and has the hash in the manifest.
    Right,
    /// The file exists with other content; the hash, if it is known.
    Wrong(Option<Sha256>),
    /// The store could not be queried for it.
    Unreadable,
}

/// The state of a file at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationState {
    /// No answer shows the file. A write on the condition that it does not exist proves its absence.
    Absent,
    /// The file exists with this hash.
    Known(Sha256),
    /// The store could not be queried for it.
    Unreadable,
}

/// How to treat a destination that has other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Replace other content.
    Overwrite,
    /// Report other content as a conflict.
    NoOverwrite,
}

/// What to do with a file at a destination (specification 04, the table of `kpromo run files`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The destination has the wanted content.
    Done,
    /// The destination has the wanted content, and the source has other content.
    DoneDespiteSource,
    /// Copy the file.
    Copy,
    /// Replace the content at the destination, which has this hash.
    Replace(Sha256),
    /// The destination has other content with this hash, which must not be replaced.
    Conflict(Sha256),
    /// Neither the source nor the destination has the file.
    Lost,
    /// The content in the source differs from the manifest; its hash, if it is known.
    WrongSource(Option<Sha256>),
    /// Undecided, because a store could not be queried.
    Unreadable,
}

/// Decides what to do with a file whose content must have the hash `wanted`.
pub fn decide(wanted: &Sha256, source: SourceState, destination: DestinationState, mode: Mode) -> Verdict {
    let there = match destination {
        DestinationState::Unreadable => return Verdict::Unreadable,
        DestinationState::Known(found) if found == *wanted => {
            return match source {
                SourceState::Wrong(_) => Verdict::DoneDespiteSource,
                _ => Verdict::Done,
            };
        }
        DestinationState::Known(found) => Some(found),
        DestinationState::Absent => None,
    };
    match (source, there, mode) {
        (SourceState::Unreadable, ..) => Verdict::Unreadable,
        (_, Some(found), Mode::NoOverwrite) => Verdict::Conflict(found),
        (SourceState::Absent, ..) => Verdict::Lost,
        (SourceState::Wrong(found), ..) => Verdict::WrongSource(found),
        (_, Some(found), Mode::Overwrite) => Verdict::Replace(found),
        (_, None, _) => Verdict::Copy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of specification 04.
    #[test]
    fn each_pair_of_states_has_the_specified_verdict() {
        use DestinationState as D;
        use SourceState as S;
        let (wanted, other) = (Sha256::new([1; 32]), Sha256::new([2; 32]));
        for (source, destination, overwriting, not_overwriting) in [
            (S::There, D::Absent, Verdict::Copy, Verdict::Copy),
            (S::Right, D::Absent, Verdict::Copy, Verdict::Copy),
            (S::There, D::Known(wanted), Verdict::Done, Verdict::Done),
            (S::Wrong(Some(other)), D::Known(wanted), Verdict::DoneDespiteSource, Verdict::DoneDespiteSource),
            (S::Absent, D::Known(wanted), Verdict::Done, Verdict::Done),
            (S::Unreadable, D::Known(wanted), Verdict::Done, Verdict::Done),
            (S::There, D::Known(other), Verdict::Replace(other), Verdict::Conflict(other)),
            (
                S::Wrong(Some(other)),
                D::Known(other),
                Verdict::WrongSource(Some(other)),
                Verdict::Conflict(other),
            ),
            (S::Absent, D::Absent, Verdict::Lost, Verdict::Lost),
            (S::Absent, D::Known(other), Verdict::Lost, Verdict::Conflict(other)),
            (
                S::Wrong(Some(other)),
                D::Absent,
                Verdict::WrongSource(Some(other)),
                Verdict::WrongSource(Some(other)),
            ),
            (S::Unreadable, D::Absent, Verdict::Unreadable, Verdict::Unreadable),
            (S::There, D::Unreadable, Verdict::Unreadable, Verdict::Unreadable),
        ] {
            assert_eq!(
                decide(&wanted, source, destination, Mode::Overwrite),
                overwriting,
                "{source:?} {destination:?}"
            );
            assert_eq!(
                decide(&wanted, source, destination, Mode::NoOverwrite),
                not_overwriting,
                "{source:?} {destination:?}"
            );
        }
    }
}
