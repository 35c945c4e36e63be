//! Spans of traces, for whoever has a tracer installed; without one, nothing is recorded and
//! nothing is paid for.
//!
//! The rest of the program knows spans by this module only: a [`Scope`] is one span, what runs
//! inside it has it as parent, and a message that is published takes it along as W3C trace context
//! (w3.org/TR/trace-context). What a span says is for anybody to read: no address, no id of a
//! message, no text of a mail. This module exports nothing; that is the tracer's.

use std::{borrow::Cow, str::FromStr as _, sync::OnceLock};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        FutureExt as _, Link, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags,
        TraceId, TraceState, Tracer as _, WithContext,
    },
};
pub use opentelemetry::{Value, global::BoxedTracer, trace::SpanKind as Kind};

use crate::{Error, Headers};

/// The header, and the attribute of a CloudEvent, that names trace and parent.
pub const TRACEPARENT: &str = "traceparent";
/// The header that belongs to it.
pub const TRACESTATE: &str = "tracestate";

static TRACER: OnceLock<BoxedTracer> = OnceLock::new();

/// Begins to trace. The first call counts; says whether this is it.
pub fn install(tracer: BoxedTracer) -> bool {
    TRACER.set(tracer).is_ok()
}

/// Whose child a span is.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'a> {
    /// The span that this code runs in; none begins a trace.
    Current,
    /// The one that a message came with; none begins a trace.
    Of(&'a Headers, Option<&'a str>),
    /// None: it begins a trace that is linked to the span that this code runs in.
    Apart,
}

/// One span, from where it is made to where it is dropped; nothing, where nobody traces.
#[derive(Default)]
pub struct Scope(Option<Context>);

impl Scope {
    /// Begins a span. The name is asked for only where somebody traces.
    pub fn new(kind: Kind, parent: Parent<'_>, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let mut builder = tracer.span_builder(name()).with_kind(kind);
        let parent = match parent {
            Parent::Current => Context::current(),
            Parent::Of(headers, other) => read(headers, other)
                .map_or_else(Context::new, |it| Context::new().with_remote_span_context(it)),
            Parent::Apart => {
                let current = Context::current().span().span_context().clone();
                if current.is_valid() {
                    builder = builder.with_links(vec![Link::with_context(current)]);
                }
                Context::new()
            }
        };
        let span = tracer.build_with_context(builder, &parent);
        Self(Some(Context::new().with_span(span)))
    }

    /// The span of a message that is about to be published, which takes it along. Its parent is the
    /// span that this code runs in, else what the message has already.
    pub fn publishing(
        headers: &mut Headers,
        parent: Option<Parent<'_>>,
        name: impl FnOnce() -> Cow<'static, str>,
    ) -> Self {
        if TRACER.get().is_none() {
            return Self(None);
        }
        let inside = Context::current().has_active_span();
        let found = if inside { Parent::Current } else { Parent::Of(headers, None) };
        let scope = Self::new(Kind::Producer, parent.unwrap_or(found), name);
        scope.write(headers);
        scope
    }

    /// Says more of it.
    pub fn note<const N: usize>(&self, more: impl FnOnce() -> [(&'static str, Value); N]) {
        if let Some(context) = &self.0 {
            let more = more().into_iter().map(|(name, value)| KeyValue::new(name, value));
            context.span().set_attributes(more);
        }
    }

    /// It failed: with which code, and what Graph knows the failure by.
    pub fn failed(&self, error: &Error) {
        let Some(context) = &self.0 else { return };
        let (span, code) = (context.span(), error.code().as_str());
        span.set_status(Status::error(code));
        span.set_attribute(KeyValue::new("error.type", code));
        if let Some(id) = error.field("request-id") {
            span.set_attribute(KeyValue::new(SERVICE_REQUEST_ID, id.to_owned()));
        }
    }

    /// It went well after all, whatever failed on the way.
    pub fn succeeded(&self) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::Ok);
        }
    }

    /// Runs a future inside it.
    pub fn run<F: Future>(&self, future: F) -> WithContext<F> {
        future.with_context(self.0.clone().unwrap_or_default())
    }

    /// Itself as W3C `traceparent`.
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span().span_context().clone();
        context.is_valid().then(|| text(&context))
    }

    /// Has a message take it along, in place of what the message has.
    fn write(&self, headers: &mut Headers) {
        let Some(traceparent) = self.traceparent() else { return };
        let state = self.0.as_ref().map(|it| it.span().span_context().trace_state().header());
        headers.set(TRACEPARENT, Some(traceparent));
        headers.set(TRACESTATE, state.filter(|state| !state.is_empty()));
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// By what Graph knows a request (opentelemetry.io, semantic conventions for Azure).
pub const SERVICE_REQUEST_ID: &str = "azure.service.request.id";

fn text(context: &SpanContext) -> String {
    let (trace, span) = (context.trace_id(), context.span_id());
    format!("00-{trace}-{span}-{:02x}", context.trace_flags().to_u8())
}

/// What a message came with: its own header first, which says who handed it on last; then `other`,
/// which is its producer's.
fn read(headers: &Headers, other: Option<&str>) -> Option<SpanContext> {
    let own = headers.get(TRACEPARENT).and_then(|text| parse(text, headers.get(TRACESTATE)));
    let state = || headers.get("ce-tracestate").or_else(|| headers.get("ce_tracestate"));
    own.or_else(|| parse(other?, state()))
}

/// As the specification has it: whatever is not well-formed is as if it were not there.
fn parse(traceparent: &str, state: Option<&str>) -> Option<SpanContext> {
    let mut parts = traceparent.trim().split('-');
    let mut part = |digits: usize| {
        let fits = |it: &&str| {
            let hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
            it.len() == digits && it.bytes().all(hex)
        };
        parts.next().filter(fits)
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, state);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_that_is_read_is_written_the_same() {
        let headers = Headers::new().with("Traceparent", WELL).with("tracestate", "a=1,b=2");
        let context = read(&headers, None).unwrap();
        assert_eq!(text(&context), WELL);
        assert_eq!(context.trace_state().header(), "a=1,b=2");
        assert!(context.is_remote() && context.is_sampled());
    }

    #[test]
    fn what_is_not_well_formed_is_not_there() {
        let other = format!("{WELL}-more");
        let upper = WELL.to_uppercase();
        let zero = WELL.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let bad = ["", "00-1-2-01", &other, &upper, &zero, &WELL.replacen("00", "ff", 1)];
        for text in bad {
            assert!(parse(text, None).is_none(), "{text}");
        }
        assert!(parse(&other.replacen("00", "01", 1), None).is_some(), "of a later version");
    }

    #[test]
    fn the_last_hop_counts_before_the_producer() {
        let producer = WELL.replace("b7ad6b7169203331", "1111111111111111");
        let headers = Headers::new().with("traceparent", WELL);
        assert_eq!(text(&read(&headers, Some(&producer)).unwrap()), WELL);
        assert_eq!(text(&read(&Headers::new(), Some(&producer)).unwrap()), producer);
        let broken = Headers::new().with("traceparent", "x");
        assert_eq!(text(&read(&broken, Some(&producer)).unwrap()), producer);
    }

    #[test]
    fn without_a_tracer_there_is_nothing() {
        let mut headers = Headers::new().with("traceparent", "kept as it is");
        let scope = Scope::publishing(&mut headers, None, || unreachable!("nobody asks"));
        scope.note::<0>(|| unreachable!("nobody asks"));
        assert_eq!(scope.traceparent(), None);
        assert_eq!(headers.get("traceparent"), Some("kept as it is"));
    }
}
