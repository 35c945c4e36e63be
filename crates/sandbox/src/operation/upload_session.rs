//! `POST attachments/createUploadSession`
//! (learn.microsoft.com/graph/api/attachment-createuploadsession).

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Call, json_object, locate};
use crate::answer::Answer;
use crate::clock;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::message::blob::Spool;
use crate::metadata;
use crate::text::hex;
use crate::upload::{self, Item, Session, host};

/// 201 with the URL, which is of another host.
pub fn create(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let item = item(json_object(call, body)?)?;
    let (message, draft) = {
        let mut inner = lock(&mailbox.inner);
        inner.check_room()?;
        let message = locate::real(call, mailbox, &mut inner)?;
        (message.key, message.place.is_draft)
    };
    let world = call.world;
    let spool = Spool::new(world.settings.keep_bodies).map_err(|_| GraphError::internal())?;
    let id = format!("AAMk{}", hex(&world.dice.bytes::<24>()));
    let session = Session {
        mailbox: world.mailbox(&mailbox.address).ok_or_else(GraphError::no_mailbox)?,
        app: call.grant.app,
        tenant: world.directory.numbered(mailbox.tenant).map(|t| t.id.clone()).unwrap_or_default(),
        message,
        draft,
        message_id: call.route.message.clone(),
        item,
        token: format!("eyJhbGciOiJSUzI1NiJ9.{}", hex(&world.dice.bytes::<32>())),
        expires: clock::after(call.now, upload::LIFETIME),
        spool: Some(spool),
    };
    let answer = json!({
        "@odata.context": format!("{}/v1.0/$metadata#microsoft.graph.uploadSession", call.base),
        "uploadUrl": host::url(&session, &id, &upload_host(call)),
        "expirationDateTime": host::precise(session.expires),
        "nextExpectedRanges": ["0-"],
    });
    world.uploads.add(id, session);
    Ok(Answer::json(StatusCode::CREATED, &answer))
}

/// The host by which this client reaches the sandbox, at the port of the uploads.
fn upload_host(call: &Call<'_>) -> String {
    let (scheme, authority) = call.base.split_once("://").unwrap_or(("http", call.base));
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    format!("{scheme}://{name}:{}", call.world.settings.upload_port)
}

fn item(object: Map<String, Value>) -> Result<Item, GraphError> {
    let parameter = object
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("AttachmentItem"))
        .map(|(_, value)| value);
    let Some(Value::Object(item)) = parameter else {
        return Err(GraphError::invalid_parameter("AttachmentItem"));
    };
    metadata::check_object("attachmentItem", &item)?;
    let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    if !text("attachmentType").is_some_and(|kind| kind.eq_ignore_ascii_case("file")) {
        return Err(GraphError::invalid_parameter("attachmentType"));
    }
    let name = text("name").filter(|name| !name.is_empty());
    let size = item.get("size").and_then(Value::as_u64).and_then(|size| size.try_into().ok());
    let size: usize = size.ok_or_else(|| GraphError::invalid_parameter("size"))?;
    if size < upload::SMALLEST {
        return Err(GraphError::attachment_too_small());
    }
    if size > upload::LARGEST {
        return Err(GraphError::attachment_over_limit(upload::LARGEST));
    }
    Ok(Item {
        name: name.ok_or_else(|| GraphError::invalid_parameter("name"))?,
        size,
        content_type: text("contentType"),
        content_id: text("contentId"),
        is_inline: item.get("isInline").and_then(Value::as_bool).unwrap_or(false),
    })
}
