//! What happens in the sandbox's mailboxes, as it is read through the connection: held against what
//! is really in them.

use std::{collections::BTreeSet, time::Duration};

use mailbridge_core::{
    Changes, Code, Deadline, Mailbox, Secret, Subscriptions,
    changes::{Ask, Bodies, Callback, Cursor, Folders, Item, Page, Rule, Select, What},
    contract::{AttachmentKind, MessageId},
};
use mailbridge_graph::{Graph, Options};
use mailbridge_sandbox::{Bulk, DeltaFaults, Handle, Pointer, Running, Sandbox};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinSet,
};

use crate::rig::graph;

const MAILBOX: &str = "anna@contoso.example";

async fn sandbox() -> Running {
    Sandbox::builder().seed(7).start_local().await.unwrap()
}

fn deadline() -> Deadline {
    Deadline::new(Duration::from_secs(20), Duration::from_mins(2))
}

async fn page(
    graph: &Graph,
    cursor: Option<&Cursor>,
    select: &Select,
    size: u32,
) -> mailbridge_core::Result<Page> {
    let (mailbox, deadline) = (&Mailbox::new(MAILBOX), &deadline());
    let (folder, since, page_size) = ("inbox", None, size);
    graph.page(&Ask { mailbox, folder, cursor, select, since, page_size, deadline }).await
}

/// All pages until everything is told.
async fn round(graph: &Graph, from: Option<Cursor>, select: &Select) -> (Vec<Item>, Cursor) {
    let (mut items, mut cursor) = (Vec::new(), from);
    for _ in 0..1000 {
        let page = page(graph, cursor.as_ref(), select, 10).await.unwrap();
        items.extend(page.items);
        if !page.more {
            return (items, page.next);
        }
        cursor = Some(page.next);
    }
    panic!("the round does not end");
}

fn receive(sandbox: &Handle, bulk: &Bulk) {
    assert_eq!(sandbox.receive_many(bulk).unwrap(), bulk.count);
}

fn pointer(subject: &str) -> Pointer {
    Pointer::subject(MAILBOX, subject)
}

fn told(items: &[Item]) -> BTreeSet<String> {
    let id = |item: &Item| match item {
        Item::Present(found) => found.id.0.clone(),
        other => panic!("{other:?}"),
    };
    items.iter().map(id).collect()
}

fn there(sandbox: &Handle, folder: &str) -> BTreeSet<String> {
    let held = sandbox.contents(MAILBOX, folder).unwrap();
    held.into_iter().map(|held| held.immutable_id).collect()
}

#[tokio::test]
async fn everything_that_is_there_is_told_whatever_the_service_does_on_the_way() {
    let running = sandbox().await;
    let sandbox = running.handle();
    receive(sandbox, &Bulk::new(MAILBOX, 95));
    sandbox.set_delta_faults(DeltaFaults {
        empty: 0.3,
        repeat: 0.3,
        repeat_later: 0.3,
        shuffle: 0.5,
        ..DeltaFaults::default()
    });
    let graph = graph(&running, Options::default());
    let (items, cursor) = round(&graph, None, &Select::default()).await;
    assert_eq!(told(&items), there(sandbox, "inbox"));
    for item in items {
        let Item::Present(found) = item else { panic!("{item:?}") };
        assert!(found.complete && found.version.is_some() && found.received.is_some());
        assert!(found.content.text.is_some() && found.content.html.is_none());
    }
    let (items, _) = round(&graph, Some(cursor), &Select::default()).await;
    assert!(items.is_empty(), "{items:?}");
}

#[tokio::test]
async fn what_changes_moves_and_goes_is_told_and_found_again() {
    let running = sandbox().await;
    let sandbox = running.handle();
    receive(sandbox, &Bulk::new(MAILBOX, 4));
    let graph = graph(&running, Options::default());
    let (all, cursor) = round(&graph, None, &Select::default()).await;
    let id = |at: usize| match &all[at] {
        Item::Present(found) => found.id.clone(),
        other => panic!("{other:?}"),
    };
    let Value::Object(read) = json!({ "isRead": true }) else { panic!() };
    sandbox.change_message(&pointer("Message 1"), read).unwrap();
    sandbox.move_message(&pointer("Message 2"), "archive").unwrap();
    sandbox.delete_message(&pointer("Message 3"), true).unwrap();
    let (items, _) = round(&graph, Some(cursor), &Select::default()).await;
    let [Item::Present(changed), Item::Removed(moved), Item::Removed(gone)] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!(changed.id, id(0));
    assert!(!changed.complete && changed.properties.contains(&"isRead".to_owned()));
    assert_eq!((moved, gone), (&id(1), &id(2)));

    // the immutable id leads there, wherever it is now
    let (mailbox, deadline) = (Mailbox::new(MAILBOX), deadline());
    let message = async |id: &MessageId, select: Select| {
        graph.message(&mailbox, id, &select, &deadline).await.unwrap()
    };
    let both = Select { bodies: Bodies::Both, headers: true, ..Select::default() };
    let moved = message(moved, both).await.unwrap();
    assert!(moved.complete && moved.folder.is_some() && moved.folder != changed.folder);
    assert!(moved.content.text.is_some() && moved.content.html.is_some());
    assert!(!moved.content.headers.is_empty());
    assert!(message(gone, Select::default()).await.is_none());
}

#[tokio::test]
async fn only_new_ones_are_told_where_only_they_are_asked_for() {
    let running = sandbox().await;
    let sandbox = running.handle();
    receive(sandbox, &Bulk::new(MAILBOX, 2));
    let graph = graph(&running, Options::default());
    let select = Select { only_new: true, bodies: Bodies::None, ..Select::default() };
    let (_, cursor) = round(&graph, None, &select).await;
    let Value::Object(read) = json!({ "isRead": true }) else { panic!() };
    sandbox.change_message(&pointer("Message 1"), read).unwrap();
    sandbox.delete_message(&pointer("Message 2"), true).unwrap();
    receive(sandbox, &Bulk { subject: "New".to_owned(), ..Bulk::new(MAILBOX, 1) });
    let (items, _) = round(&graph, Some(cursor), &select).await;
    let [Item::Present(found)] = &items[..] else { panic!("{items:?}") };
    assert_eq!(found.content.subject.as_deref(), Some("New 1"));
    assert!(found.complete && found.content.text.is_none());
}

#[tokio::test]
async fn a_time_to_begin_at_and_the_services_own_json() {
    let running = sandbox().await;
    let sandbox = running.handle();
    let received = Some("2026-01-01T00:00:00Z".parse().unwrap());
    receive(sandbox, &Bulk { received, step_seconds: 60.0, ..Bulk::new(MAILBOX, 10) });
    let graph = graph(&running, Options::default());
    let select = Select { raw: true, ..Select::default() };
    let (mailbox, deadline) = (&Mailbox::new(MAILBOX), &deadline());
    let since = Some("2026-01-01T00:05:00Z".parse().unwrap());
    let (folder, cursor, page_size, select) = ("inbox", None, 50, &select);
    let ask = Ask { mailbox, folder, cursor, select, since, page_size, deadline };
    let page = graph.page(&ask).await.unwrap();
    assert_eq!(page.items.len(), 5);
    let Item::Present(found) = &page.items[0] else { panic!("{:?}", page.items) };
    let raw: Value = serde_json::from_str(found.raw.as_ref().unwrap().get()).unwrap();
    for name in ["conversationIndex", "createdDateTime", "inferenceClassification", "body"] {
        assert!(raw.get(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_cursor_that_is_forgotten_is_told_as_such() {
    let running = sandbox().await;
    let sandbox = running.handle();
    receive(sandbox, &Bulk::new(MAILBOX, 3));
    let graph = graph(&running, Options::default());
    for _ in 0..10 {
        let (_, cursor) = round(&graph, None, &Select::default()).await;
        sandbox.evict_delta(Some(MAILBOX), None).unwrap();
        let error = page(&graph, Some(&cursor), &Select::default(), 10).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphCursorExpired, "{error:?}");
    }
}

#[tokio::test]
async fn folders_by_path_as_they_come_and_go() {
    let running = sandbox().await;
    let sandbox = running.handle();
    sandbox.create_folder(MAILBOX, Some("inbox"), "Orders").unwrap();
    sandbox.create_folder(MAILBOX, Some("inbox/Orders"), "2026").unwrap();
    let graph = graph(&running, Options::default());
    let (mailbox, deadline) = (Mailbox::new(MAILBOX), deadline());
    let patterns = ["inbox/**", "archive"].map(str::to_owned);
    let look = async |cursor: Option<Cursor>| {
        graph.folders(&mailbox, &patterns, cursor.as_ref(), &deadline).await.unwrap()
    };
    let paths = |folders: Folders| match folders {
        Folders::All(all, cursor) => {
            (all.into_iter().map(|folder| folder.path).collect::<Vec<_>>(), cursor)
        }
        Folders::Same(_) => panic!("nothing is new"),
    };
    let (found, cursor) = paths(look(None).await);
    assert_eq!(found, ["inbox", "inbox/Orders", "inbox/Orders/2026", "archive"]);
    let Folders::Same(cursor) = look(cursor).await else { panic!("something is new") };

    sandbox.create_folder(MAILBOX, Some("inbox"), "Bills").unwrap();
    sandbox.delete_folder(MAILBOX, "inbox/Orders/2026").unwrap();
    let (found, _) = paths(look(Some(cursor)).await);
    assert_eq!(found, ["inbox", "inbox/Bills", "inbox/Orders", "archive"]);

    // by its id a folder that is not well-known is read as any other
    let id = sandbox.create_folder(MAILBOX, None, "Projects").unwrap();
    receive(sandbox, &Bulk { folder: Some(id.clone()), ..Bulk::new(MAILBOX, 2) });
    let select = &Select::default();
    let (mailbox, folder, deadline) = (&mailbox, id.as_str(), &deadline);
    let (cursor, since, page_size) = (None, None, 10);
    let ask = Ask { mailbox, folder, cursor, select, since, page_size, deadline };
    assert_eq!(told(&graph.page(&ask).await.unwrap().items), there(sandbox, &id));
}

#[tokio::test]
async fn attachments_and_mime_come_in_pieces_and_a_broken_one_is_told() {
    let running = sandbox().await;
    let sandbox = running.handle();
    let size = 3_000_000;
    let bulk =
        Bulk { attachments: [2, 2], attachment_bytes: [size, size], ..Bulk::new(MAILBOX, 1) };
    receive(sandbox, &bulk);
    sandbox.break_attachment(&pointer("Message 1"), 1).unwrap();
    let graph = graph(&running, Options::default());
    let (items, _) = round(&graph, None, &Select::default()).await;
    let Item::Present(found) = &items[0] else { panic!("{items:?}") };
    assert_eq!(found.content.has_attachments, Some(true));
    let (mailbox, deadline) = (Mailbox::new(MAILBOX), deadline());
    let all = graph.attachments(&mailbox, &found.id, &deadline).await.unwrap();
    let [whole, broken] = &all[..] else { panic!("{all:?}") };
    assert_eq!((whole.kind, whole.name.as_deref()), (AttachmentKind::File, Some("file1.bin")));
    let read = async |what: What<'_>| {
        let mut content = graph.content(&mailbox, what, &deadline).await?;
        let mut bytes = 0;
        while let Some(piece) = content.next().await? {
            bytes += piece.len();
        }
        Ok::<_, mailbridge_core::Error>(bytes)
    };
    assert_eq!(read(What::Attachment(&found.id, &whole.id)).await.unwrap(), size);
    let error = read(What::Attachment(&found.id, &broken.id)).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphAttachmentUnreadable);
    assert!(read(What::Mime(&found.id)).await.unwrap() > size);
}

/// Somebody who shakes hands, or answers something else.
async fn endpoint(honest: bool, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let base = url.clone();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let (mut first, mut line) = (String::new(), String::new());
            stream.read_line(&mut first).await.unwrap();
            while stream.read_line(&mut line).await.unwrap() > 2 {
                line.clear();
            }
            let target = first.split(' ').nth(1).unwrap();
            let asked = reqwest::Url::parse(&base).unwrap().join(target).unwrap();
            let token = asked.query_pairs().find(|(name, _)| name == "validationToken");
            let token = token.map(|(_, token)| token.into_owned()).filter(|_| honest);
            let body = token.unwrap_or_else(|| "who are you".to_owned());
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_subscription_is_made_after_a_handshake_renewed_and_ended() {
    let running = sandbox().await;
    let sandbox = running.handle();
    let graph = graph(&running, Options::default());
    let mut tasks = JoinSet::new();
    let (mailbox, deadline) = (Mailbox::new(MAILBOX), deadline());
    let hour = sandbox.now() + Duration::from_hours(1);
    let callback = |url: String| Callback {
        lifecycle_url: url.clone(),
        url,
        client_state: Secret::new("state"),
        only_new: true,
        until: hour,
    };
    let liar = callback(endpoint(false, &mut tasks).await);
    let error = graph.subscribe(&mailbox, Some("inbox"), &liar, &deadline).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphSubscriptionRefused, "{error:?}");

    let honest = callback(endpoint(true, &mut tasks).await);
    let made = graph.subscribe(&mailbox, Some("inbox"), &honest, &deadline).await.unwrap();
    assert_eq!(sandbox.subscriptions().len(), 1);
    let later = hour + Duration::from_hours(1);
    let renewed = graph.renew(&mailbox, &made.id, later, &deadline).await.unwrap();
    assert!(renewed.id == made.id && renewed.until > made.until);
    graph.unsubscribe(&mailbox, &made.id, &deadline).await.unwrap();
    assert!(sandbox.subscriptions().is_empty());
    graph.unsubscribe(&mailbox, &made.id, &deadline).await.unwrap();
    let error = graph.renew(&mailbox, &made.id, later, &deadline).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphSubscriptionGone, "{error:?}");
}

#[tokio::test]
async fn mailboxes_by_a_filter_over_pages() {
    let running = sandbox().await;
    let name = |number: u32| format!("team{number:03}@contoso.example");
    for number in 0..150 {
        receive(running.handle(), &Bulk::new(name(number), 1));
    }
    receive(running.handle(), &Bulk::new(MAILBOX, 1));
    let graph = graph(&running, Options::default());
    let rule = Rule::Users("startswith(mail,'team')".to_owned());
    let found = graph.discover(&rule, &deadline()).await.unwrap();
    let expected: Vec<_> = (0..150).map(|number| Mailbox::new(name(number))).collect();
    assert_eq!(found, expected);
}
