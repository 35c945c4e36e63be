//! What the spans of this crate say. None of it is an address or an id that somebody chose: a
//! pipeline's name, places on a bus, codes, counts. Attributes that OpenTelemetry's semantic
//! conventions for messaging know have their names; what is mailbridge's own begins with `mailbridge.`.

use mailbridge_core::{
    Message, Position,
    trace::{Kind, Parent, Scope},
};

use crate::health::Side;

/// One delivery on its way, as the child of what its producer did.
pub fn delivery(
    pipeline: &str,
    message: &Message,
    producer: Option<&str>,
    position: &Position,
) -> Scope {
    let parent = Parent::Of(&message.headers, producer);
    let scope = Scope::new(Kind::Consumer, parent, || format!("process {pipeline}").into());
    let (system, place) = position.as_str().split_once(':').unwrap_or(("", position.as_str()));
    // a path, where the place is a file's, is the machine's own business
    let destination = place.split('/').next().filter(|_| ["nats", "kafka"].contains(&system));
    scope.note(|| {
        [
            ("messaging.operation.type", "process".into()),
            ("messaging.operation.name", "process".into()),
            ("messaging.system", system.to_owned().into()),
            ("messaging.destination.name", destination.unwrap_or_default().to_owned().into()),
            ("mailbridge.pipeline", pipeline.to_owned().into()),
            ("mailbridge.position", position.as_str().to_owned().into()),
        ]
    });
    scope
}

/// A message on its way out, which takes the span along. An event begins a trace of its own, linked
/// to the turn that found it: a turn may tell thousands, and they are nobody's common story.
pub fn publishing(pipeline: &str, side: Side, message: &mut Message) -> Scope {
    let (what, parent) = match side {
        Side::Outcomes => ("publish outcome", None),
        Side::DeadLetters => ("publish dead letter", None),
        Side::Events => ("publish event", Some(Parent::Apart)),
    };
    let scope = Scope::publishing(&mut message.headers, parent, || what.into());
    scope.note(|| {
        [
            ("messaging.operation.type", "send".into()),
            ("messaging.operation.name", "publish".into()),
            ("mailbridge.pipeline", pipeline.to_owned().into()),
        ]
    });
    scope
}

/// A mailbox's turn: what is asked of Graph meanwhile is below it, page by page.
pub fn turn(pipeline: &str) -> Scope {
    let scope = Scope::new(Kind::Internal, Parent::Current, || "read mailbox".into());
    scope.note(|| [("mailbridge.pipeline", pipeline.to_owned().into())]);
    scope
}
