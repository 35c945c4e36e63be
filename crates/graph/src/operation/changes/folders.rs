//! The folders that patterns name (learn.microsoft.com, mailfolder-delta, user-list-mailfolders).
//!
//! Patterns that are well-known names alone need no request: Graph takes such a name for an id. Else
//! all folders are listed and the paths are resolved here, since Graph knows no paths. A mailbox
//! that gives no delta of its folders is listed level by level.
//!
//! The cursor holds, beside Graph's link, a digest of the patterns and of what they came to: Graph
//! also tells of folders whose counts have changed, which is nothing new here.

mod tree;

use std::collections::BTreeMap;

use base64::Engine as _;
use mailbridge_core::{
    Code, Deadline, Mailbox, Result,
    changes::{Cursor, Folders},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use self::tree::{Entry, Pattern, Tree};
use super::{PAGES_MAX, endless, listed, text};
use crate::{
    graph::Graph,
    http::Operation,
    operation::{Session, answer, segment},
    wire::surrogates::mended,
};

/// The folder above all others.
const ROOT: &str = "msgfolderroot";
/// Levels of folders that are listed one by one (Exchange takes 300).
const LISTS_MAX: usize = 2_000;

pub(crate) async fn folders(
    graph: &Graph,
    mailbox: &Mailbox,
    patterns: &[String],
    cursor: Option<&Cursor>,
    deadline: &Deadline,
) -> Result<Folders> {
    let parsed: Vec<_> = patterns.iter().map(|pattern| Pattern::parse(pattern)).collect();
    if let Some(named) = tree::well_known(&parsed) {
        return Ok(Folders::All(named, None));
    }
    let session = Session::open(graph, mailbox, deadline).await?;
    let asked = digest(patterns.iter().map(String::as_str));
    let known = cursor.and_then(Known::read).filter(|known| known.asked == asked);
    if let Some(known) = &known
        && let Some(link) = &known.link
        && let Some(link) = unchanged(&session, link).await?
    {
        return Ok(Folders::Same(Known { link: Some(link), ..known.clone() }.write()));
    }
    let (entries, link) = enumerate(&session).await?;
    let tree = Tree::new(entries, roots(&session, &parsed).await?);
    let all = tree.resolve(&parsed);
    let came_to = digest(all.iter().flat_map(|it| [it.id.as_str(), it.path.as_str()]));
    let same = known.is_some_and(|known| known.came_to == came_to);
    let cursor = Known { asked, came_to, link }.write();
    Ok(if same { Folders::Same(cursor) } else { Folders::All(all, Some(cursor)) })
}

/// A cursor of folders, taken apart.
#[derive(Clone)]
struct Known {
    asked: String,
    came_to: String,
    /// Without it all folders have to be listed again.
    link: Option<String>,
}

impl Known {
    fn read(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.0.splitn(3, ' ');
        let (asked, came_to) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let link = parts.next().filter(|link| !link.is_empty()).map(str::to_owned);
        Some(Self { asked, came_to, link })
    }

    fn write(&self) -> Cursor {
        let link = self.link.as_deref().unwrap_or_default();
        Cursor(format!("{} {} {link}", self.asked, self.came_to))
    }
}

fn digest<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    let digest: [u8; 32] = digest.finalize().into();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
    display_name: Option<String>,
    parent_folder_id: Option<String>,
    child_folder_count: Option<i64>,
    #[serde(rename = "@removed")]
    removed: Option<serde_json::Value>,
}

/// Nothing, for what cannot be read: no path leads there.
fn shown(json: &RawValue) -> Option<Shown> {
    let whole = mended(json.get());
    serde_json::from_str(whole.as_deref().unwrap_or(json.get())).ok()
}

/// The link of the next look, if nothing has happened since this one.
async fn unchanged(session: &Session<'_>, link: &str) -> Result<Option<String>> {
    if !session.leads_here(link) {
        return Ok(None);
    }
    let mut link = link.to_owned();
    for _ in 0..PAGES_MAX {
        let body = match session.follow(Operation::ReadFolderChanges, &link).await {
            Ok(body) => body,
            Err(error) if error.code() == Code::GraphCursorExpired => return Ok(None),
            Err(error) => return Err(error),
        };
        let body = text(&body);
        let page = listed(&body, "graph's page of folders cannot be read")?;
        if !page.value.is_empty() {
            return Ok(None);
        }
        match (page.next_link, page.delta_link) {
            (Some(next), _) => link = next,
            (None, next) => return Ok(next.filter(|next| session.leads_here(next))),
        }
    }
    Ok(None)
}

/// All folders, and where the changes to them begin.
async fn enumerate(session: &Session<'_>) -> Result<(Vec<Entry>, Option<String>)> {
    const PATH: &str = "/mailFolders/delta?$select=displayName,parentFolderId";
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut url = session.url(PATH);
    for _ in 0..PAGES_MAX {
        let body = match session.follow(Operation::ListFolders, &url).await {
            Ok(body) => body,
            Err(error) if error.code() == Code::GraphRefused => {
                tracing::debug!(%error, "no delta of folders, they are listed level by level");
                return Ok((by_level(session).await?, None));
            }
            Err(error) => return Err(error),
        };
        let body = text(&body);
        let page = listed(&body, "graph's page of folders cannot be read")?;
        for folder in page.value.into_iter().filter_map(shown) {
            // a folder may be told more than once
            entries.remove(&folder.id);
            if folder.removed.is_none()
                && let Some(entry) = entry(folder)
            {
                entries.insert(entry.id.clone(), entry);
            }
        }
        let Some(next) = page.next_link else {
            let link = page.delta_link.filter(|link| session.leads_here(link));
            return Ok((entries.into_values().collect(), link));
        };
        url = next;
    }
    Err(endless("graph's list of folders does not come to an end"))
}

/// Searches are shown among the folders, and have no changes to read.
fn entry(folder: Shown) -> Option<Entry> {
    let kind = folder.kind.unwrap_or_default();
    if kind.to_ascii_lowercase().ends_with("mailsearchfolder") {
        return None;
    }
    Some(Entry { id: folder.id, parent: folder.parent_folder_id?, name: folder.display_name? })
}

async fn by_level(session: &Session<'_>) -> Result<Vec<Entry>> {
    const QUERY: &str = "?$select=displayName,parentFolderId,childFolderCount&$top=250";
    let (mut entries, mut lists) = (Vec::new(), 0);
    let mut urls = vec![session.url(&format!("/mailFolders{QUERY}"))];
    while let Some(url) = urls.pop() {
        lists += 1;
        if lists > LISTS_MAX {
            return Err(endless("the mailbox's folders do not come to an end"));
        }
        let body = session.follow(Operation::ListFolders, &url).await?;
        let body = text(&body);
        let page = listed(&body, "graph's list of folders cannot be read")?;
        urls.extend(page.next_link);
        for folder in page.value.into_iter().filter_map(shown) {
            let below = folder.child_folder_count.unwrap_or(1) > 0;
            let id = segment(&folder.id).filter(|_| below);
            let Some(entry) = entry(folder) else { continue };
            entries.push(entry);
            urls.extend(
                id.map(|id| session.url(&format!("/mailFolders/{id}/childFolders{QUERY}"))),
            );
        }
        session.deadline().progress();
    }
    Ok(entries)
}

/// The ids of the folders that the patterns begin at. One that is not in the mailbox is left out.
async fn roots(session: &Session<'_>, patterns: &[Pattern]) -> Result<BTreeMap<String, String>> {
    let mut roots = BTreeMap::new();
    for pattern in patterns {
        let name = pattern.begins().unwrap_or(ROOT);
        if roots.contains_key(name) {
            continue;
        }
        let url = session.url(&format!("/mailFolders/{name}?$select=id"));
        match session.follow(Operation::ListFolders, &url).await {
            Ok(body) => {
                let folder: Shown = answer(&body, "graph's folder cannot be read")?;
                roots.insert(name.to_owned(), folder.id);
            }
            Err(error) if error.code() == Code::GraphFolderNotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(roots)
}
