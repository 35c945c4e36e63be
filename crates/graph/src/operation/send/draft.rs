//! A draft of ours: its address, its sending, its end.

use mailbridge_core::{Attempt, Code, Completion, Error, Result, Verdict};
use serde::Deserialize;

use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::{Session, answer, segment},
};

/// Sendings of one draft in one attempt, when the mailbox only has to wait a moment in between.
const SENDINGS_MAX: u32 = 3;

/// A draft of ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Draft {
    pub(super) id: String,
    #[serde(default)]
    pub(super) internet_message_id: Option<String>,
    /// Changes whenever the draft does, whoever changes it.
    #[serde(default)]
    pub(super) change_key: Option<String>,
    #[serde(default)]
    pub(super) parent_folder_id: Option<String>,
}

impl Draft {
    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        answer(body, "graph's answer about a draft cannot be read")
    }

    /// Its path below the mailbox, with what stands behind it.
    pub(crate) fn path(&self, tail: &str) -> Result<String> {
        let id = segment(&self.id).ok_or_else(|| {
            Error::transient(Code::GraphUnexpected, "graph gave a draft an id that is none")
        })?;
        Ok(format!("/messages/{id}{tail}"))
    }

    /// Sends the draft. What has been begun is finished if the mailbox only has to wait a moment;
    /// else the draft is remembered for the next attempt, or thrown away if there will be none.
    pub(super) async fn send(
        self,
        graph: &Graph,
        session: &Session<'_>,
        attempt: &Attempt<'_>,
    ) -> Result<Completion> {
        let path = self.path("/send")?;
        let mut sendings = 1;
        let error = loop {
            match session.call(Operation::SendDraft, &path, Body::Empty).await {
                Ok(_) => {
                    let internet_message_id = self.internet_message_id;
                    return Ok(Completion::Sent { internet_message_id, found: false });
                }
                // its gate is closed now: the next call waits for it, or says that it is too long a
                // wait
                Err(error) if error.code() == Code::GraphThrottled && sendings < SENDINGS_MAX => {
                    sendings += 1;
                }
                Err(error) => break error,
            }
        };
        match error.verdict() {
            Verdict::InDoubt => {}
            Verdict::Transient { .. } | Verdict::Blocked { .. } => {
                graph.leftovers.keep(attempt.mailbox, attempt.mark, self);
            }
            Verdict::Permanent => self.discard(graph, session, attempt).await,
        }
        Err(error)
    }

    /// Deletes a draft that will never be sent, so that no user finds it. If that fails, it is left
    /// to the sweep.
    pub(super) async fn discard(
        &self,
        graph: &Graph,
        session: &Session<'_>,
        attempt: &Attempt<'_>,
    ) {
        let Ok(path) = self.path("") else { return };
        if let Err(error) = session.call(Operation::DeleteDraft, &path, Body::Empty).await {
            graph.sweeps.suspect(attempt.mailbox, attempt.mark);
            tracing::debug!(code = %error.code(), reason = %error, "a draft could not be deleted");
        }
    }
}
