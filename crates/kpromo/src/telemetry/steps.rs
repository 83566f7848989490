//! What the events of a run mean for its trace. Each kind of run has its own events.

use opentelemetry::KeyValue;
use promote::Promotion;

/// A step of a run, as its trace has it.
pub(crate) enum Step {
    /// A phase has started.
    Started(String),
    /// A phase has ended.
    Ended(String),
    /// The work on an item has begun.
    Begun(Item),
    /// The work on an item has ended, with the number of bytes that were sent, or with an error.
    Done(Item, Result<u64, String>),
    /// Something has happened in a phase.
    Note {
        /// The phase.
        phase: String,
        /// What has happened.
        name: &'static str,
        /// The attributes of the event.
        attributes: Vec<KeyValue>,
    },
    /// Nothing that a trace has.
    Nothing,
}

/// An image or a file, and a destination.
pub(crate) struct Item {
    /// The name of the span.
    pub(super) name: &'static str,
    /// The phase that the span is part of.
    pub(super) phase: String,
    /// What is copied.
    pub(super) source: String,
    /// The destination.
    pub(super) destination: String,
    /// The other attributes of the span.
    pub(super) attributes: Vec<KeyValue>,
}

/// An event of a run that can be traced.
pub(crate) trait Traced {
    /// Returns what the event means for the trace.
    fn step(&self) -> Step;
}

impl Traced for promote::Event {
    fn step(&self) -> Step {
        use promote::Phase;
        let failed = |image: &oci::DigestReference, error: &str| {
            vec![
                KeyValue::new("kpromo.image", image.to_string()),
                KeyValue::new("kpromo.error", error.to_owned()),
            ]
        };
        match self {
            Self::Started(phase) => Step::Started(phase.to_string()),
            Self::Ended { phase, .. } => Step::Ended(phase.to_string()),
            Self::Begun(promotion) => Step::Begun(image(promotion)),
            Self::Promoted(promotion, copied) => Step::Done(image(promotion), Ok(copied.bytes_sent)),
            Self::Failed(promotion, error) => Step::Done(image(promotion), Err(error.to_string())),
            Self::Withheld(promotion, why) => Step::Done(image(promotion), Err(why.clone())),
            Self::Unsigned(image, problem) => Step::Note {
                phase: Phase::Sign.to_string(),
                name: "not signed",
                attributes: failed(image, &problem.error),
            },
            Self::Unrecorded(image, problem) => Step::Note {
                phase: Phase::Attest.to_string(),
                name: "not recorded",
                attributes: failed(image, &problem.error),
            },
            _ => Step::Nothing,
        }
    }
}

/// Returns the promotion of an image to a repository.
fn image(promotion: &Promotion) -> Item {
    let tags: Vec<&str> = promotion.tags.iter().map(oci::Tag::as_str).collect();
    Item {
        name: "promote image",
        phase: promote::Phase::Promote.to_string(),
        source: promotion.source.to_string(),
        destination: promotion.destination.to_string(),
        attributes: vec![
            KeyValue::new("kpromo.registry", promotion.destination.host.to_string()),
            KeyValue::new("kpromo.tags", tags.join(",")),
        ],
    }
}

impl Traced for files::Event {
    fn step(&self) -> Step {
        match self {
            Self::Started(phase) => Step::Started(phase.to_string()),
            Self::Ended { phase, .. } => Step::Ended(phase.to_string()),
            Self::Begun(operation) => Step::Begun(file(operation)),
            Self::Copied { operation, size, sent } => {
                Step::Done(file(operation), Ok(if *sent { *size } else { 0 }))
            }
            Self::Failed(operation, error) => Step::Done(file(operation), Err(error.to_string())),
            _ => Step::Nothing,
        }
    }
}

/// Returns the copy of a file to a destination.
fn file(operation: &files::Operation) -> Item {
    Item {
        name: "copy file",
        phase: files::Phase::Copy.to_string(),
        source: operation.source.clone(),
        destination: operation.destination.clone(),
        attributes: vec![KeyValue::new("kpromo.replaces", operation.replaces)],
    }
}
