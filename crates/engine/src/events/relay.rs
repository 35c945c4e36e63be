//! Passes Graph's calls on to the worker whose mailbox they are about: a call may reach any worker,
//! and each knows the subscriptions of its own mailboxes only.
//!
//! What is passed on is what Graph said, so that whoever knows the subscription checks what was
//! agreed upon. One that is lost on the way costs what any lost call does: the mailbox is looked at
//! when its time has come.

use std::sync::Arc;

use bytes::Bytes;
use mailbridge_core::{Signals, StateStore};
use tokio::sync::mpsc;

use super::callback::Callbacks;

/// Calls that wait to be passed on; more are dropped.
const WAITING_MAX: usize = 4_096;
/// Calls that are passed on together.
const TOGETHER: usize = 64;

/// Passes calls on, and hears those that others pass on. Never ends, if the store can tell.
pub(super) async fn relay(pipeline: &str, callbacks: &Callbacks, store: &Arc<dyn StateStore>) {
    let topic = format!("call/{pipeline}");
    let (unknown, mut calls) = mpsc::channel(WAITING_MAX);
    callbacks.pass_on(pipeline, unknown);
    let pass_on = async {
        let mut together: Vec<String> = Vec::with_capacity(TOGETHER);
        while calls.recv_many(&mut together, TOGETHER).await > 0 {
            let body = format!("{{\"value\":[{}]}}", together.join(","));
            if let Err(error) = store.signal(&topic, Bytes::from(body)).await {
                tracing::debug!(%pipeline, code = %error.code(), %error, "calls are not passed on");
            }
            together.clear();
        }
    };
    let hear = async {
        // the end of what can be heard is the store's, which is built anew
        while let Ok(Some(mut signals)) = store.signals(&topic).await {
            hear(signals.as_mut(), callbacks).await;
        }
    };
    tokio::join!(pass_on, hear);
}

async fn hear(signals: &mut dyn Signals, callbacks: &Callbacks) {
    while let Some(body) = signals.next().await {
        // what cannot be read is not of this version of the program
        callbacks.receive_here(&body).ok();
    }
}
