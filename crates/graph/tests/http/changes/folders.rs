//! The folders that patterns name.

use mailbridge_core::changes::Folders;

use super::*;

fn folder(id: &str, parent: &str, name: &str) -> Value {
    json!({ "id": id, "parentFolderId": parent, "displayName": name })
}

/// A mailbox with `inbox/Orders`; deltas are refused if it is an old one.
fn mailboxes_folders(asked: &Asked, old: bool) -> Reply {
    let path = asked.target.strip_prefix("/v1.0/users/noreply@contoso.com/mailFolders");
    let of = |id: &str| Reply::json(200, json!({ "id": id }).to_string());
    let inbox = folder("I", "R", "Posteingang");
    let orders = folder("O", "I", "Orders");
    match path.unwrap_or(&asked.target).split('?').next().unwrap() {
        "/delta" if old => Reply::error(400, "ErrorInvalidRequest"),
        "/delta" => listed(asked, "next", &[inbox, folder("S", "X", "Lost")]),
        "/v1.0/next" => listed(asked, "delta1", &[orders]),
        "/v1.0/delta1" => listed(asked, "delta2", &[]),
        "/inbox" => of("I"),
        "/msgfolderroot" => of("R"),
        "/archive" => Reply::error(404, "ErrorItemNotFound"),
        "" => Reply::json(200, json!({ "value": [inbox] }).to_string()),
        "/I/childFolders" => Reply::json(200, json!({ "value": [orders] }).to_string()),
        "/O/childFolders" => Reply::json(200, r#"{"value":[]}"#),
        other => panic!("{other}"),
    }
}

async fn folders(scene: &Scene, patterns: &[&str], cursor: Option<&Cursor>) -> Result<Folders> {
    let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
    scene.graph.folders(&mailbox(), &patterns, cursor, &soon()).await
}

fn all(folders: Folders) -> (Vec<String>, Option<Cursor>) {
    let Folders::All(all, cursor) = folders else { panic!("{folders:?}") };
    (all.into_iter().map(|folder| format!("{}={}", folder.path, folder.id)).collect(), cursor)
}

fn same(folders: Folders) -> Cursor {
    let Folders::Same(cursor) = folders else { panic!("{folders:?}") };
    cursor
}

#[tokio::test]
async fn well_known_names_need_no_request() {
    let scene = Scene::new(|_| panic!("it was asked")).await;
    let (found, cursor) = all(folders(&scene, &["Inbox", "sentitems"], None).await.unwrap());
    assert_eq!(found, ["inbox=inbox", "sentitems=sentitems"]);
    assert_eq!(cursor, None);
    assert!(scene.stub.asked().is_empty());
}

#[tokio::test]
async fn a_path_is_resolved_and_a_quiet_round_says_so() {
    let scene = Scene::new(|asked| mailboxes_folders(asked, false)).await;
    let patterns = ["inbox/**", "posteingang", "archive/2026"];
    let (found, cursor) = all(folders(&scene, &patterns, None).await.unwrap());
    assert_eq!(found, ["inbox=inbox", "inbox/Orders=O"]);
    let asked = targets(&scene).len();
    let cursor = same(folders(&scene, &patterns, cursor.as_ref()).await.unwrap());
    assert_eq!(targets(&scene).len(), asked + 1);

    // other patterns are another question
    let (found, _) = all(folders(&scene, &["posteingang/*"], Some(&cursor)).await.unwrap());
    assert_eq!(found, ["Posteingang/Orders=O"]);
}

#[tokio::test]
async fn a_change_that_changes_no_path_is_none_and_a_forgotten_cursor_is_a_new_look() {
    for reply in [
        Reply::json(200, r#"{"value":[{"id":"I"}],"@odata.deltaLink":"x"}"#),
        Reply::error(410, "syncStateNotFound"),
    ] {
        let scene = Scene::new(move |asked| match asked.target.as_str() {
            "/v1.0/delta1" => reply.clone(),
            _ => mailboxes_folders(asked, false),
        })
        .await;
        let (_, cursor) = all(folders(&scene, &["inbox/*"], None).await.unwrap());
        same(folders(&scene, &["inbox/*"], cursor.as_ref()).await.unwrap());
    }
}

#[tokio::test]
async fn folders_without_a_delta_are_listed_level_by_level() {
    let scene = Scene::new(|asked| mailboxes_folders(asked, true)).await;
    let (found, cursor) = all(folders(&scene, &["inbox/*"], None).await.unwrap());
    assert_eq!(found, ["inbox/Orders=O"]);
    same(folders(&scene, &["inbox/*"], cursor.as_ref()).await.unwrap());
}
