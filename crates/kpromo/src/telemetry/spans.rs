//! The spans of a run: one for the run, one for each phase, and one for each item and destination.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use opentelemetry::trace::{Span as _, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use promote::Observer;

use super::steps::{Item, Step, Traced};
use crate::exit::Exit;

/// The spans of a run.
pub(super) struct Spans {
    tracer: SdkTracer,
    open: Mutex<Open>,
}

/// The spans that have not ended.
struct Open {
    run: Context,
    phases: HashMap<String, Context>,
    /// By source and destination.
    items: HashMap<(String, String), Span>,
}

impl Spans {
    /// Begins the span of the run.
    pub(super) fn begin(tracer: SdkTracer, name: &'static str) -> Self {
        let run = Context::new().with_span(tracer.start_with_context(name, &Context::new()));
        let open = Mutex::new(Open { run, phases: HashMap::new(), items: HashMap::new() });
        Self { tracer, open }
    }

    /// Ends all spans.
    pub(super) fn end(&self, exit: Exit) {
        let mut open = self.open();
        open.items.drain().for_each(|(_, mut span)| span.end());
        open.phases.drain().for_each(|(_, phase)| phase.span().end());
        let run = open.run.span();
        run.set_attribute(KeyValue::new("process.exit.code", i64::from(exit.code())));
        if exit != Exit::Success {
            run.set_status(Status::error(exit.meaning()));
        }
        run.end();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Returns the parent of what is part of a phase.
    fn parent(&self, phase: &str) -> &Context {
        self.phases.get(phase).unwrap_or(&self.run)
    }

    /// Begins the span of an item.
    fn begin(&self, tracer: &SdkTracer, item: Item) -> Span {
        let Item { name, phase, source, destination, mut attributes } = item;
        attributes.push(KeyValue::new("kpromo.source", source));
        attributes.push(KeyValue::new("kpromo.destination", destination));
        let span = tracer.span_builder(name).with_attributes(attributes);
        span.start_with_context(tracer, self.parent(&phase))
    }
}

impl<E: Traced> Observer<E> for Spans {
    fn observe(&self, event: &E) {
        let step = event.step();
        let mut open = self.open();
        match step {
            Step::Started(phase) => {
                let span = self.tracer.start_with_context(phase.clone(), &open.run);
                open.phases.insert(phase, Context::new().with_span(span));
            }
            Step::Ended(phase) => {
                if let Some(phase) = open.phases.remove(&phase) {
                    phase.span().end();
                }
            }
            Step::Begun(item) => {
                let key = (item.source.clone(), item.destination.clone());
                let span = open.begin(&self.tracer, item);
                open.items.insert(key, span);
            }
            Step::Done(item, result) => {
                let key = (item.source.clone(), item.destination.clone());
                let span = open.items.remove(&key);
                let mut span = span.unwrap_or_else(|| open.begin(&self.tracer, item));
                let bytes = result.as_ref().copied().unwrap_or_default();
                span.set_attribute(KeyValue::new(
                    "kpromo.bytes_sent",
                    i64::try_from(bytes).unwrap_or(i64::MAX),
                ));
                if let Err(error) = result {
                    span.set_status(Status::error(error));
                }
                span.end();
            }
            Step::Note { phase, name, attributes } => open.parent(&phase).span().add_event(name, attributes),
            Step::Nothing => {}
        }
    }
}
