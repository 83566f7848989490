//! What to do with a file at a destination: a pure function of what is known.

use manifest::files::Sha256;

/// The state of a file in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It is proven not to be there.
    Absent,
    /// It is there, and its content is not known.
    There,
    /// It is there, and known to be what the manifest wants.
    Right,
    /// It is there, and known to be something else; with the hash, if that is known.
    Wrong(Option<Sha256>),
    /// It could not be asked for.
    Unreadable,
}

/// The state of a file at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationState {
    /// Nothing shows it. A write with the condition that it does not exist proves it.
    Absent,
    /// It is there with this content.
    Known(Sha256),
    /// It could not be asked for.
    Unreadable,
}

/// What may be done with what a destination has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Other content is replaced.
    Overwrite,
    /// Other content is a conflict.
    NoOverwrite,
}

/// What to do with a file at a destination (specification 04, the table of `kpromo run files`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The destination has it.
    Done,
    /// The destination has it, and the source has something else.
    DoneDespiteSource,
    /// Copy it.
    Copy,
    /// Replace the content that is there, which has this hash.
    Replace(Sha256),
    /// The destination has other content, which must not be replaced.
    Conflict(Sha256),
    /// Neither the source nor the destination has it.
    Lost,
    /// The source has other content than the manifest says; with the hash, if it is known.
    WrongSource(Option<Sha256>),
    /// It cannot be decided, because a store could not be asked.
    Unreadable,
}

/// Decides what to do with a file whose content is to be `wanted`.
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
    fn every_state_has_its_verdict() {
        use DestinationState as D;
        use SourceState as S;
        let (wanted, other) = (Sha256::new([1; 32]), Sha256::new([2; 32]));
        for (source, destination, overwriting, careful) in [
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
                careful,
                "{source:?} {destination:?}"
            );
        }
    }
}
