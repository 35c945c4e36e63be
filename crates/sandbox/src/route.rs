//! From method and path to an operation: the list of what the sandbox can do.
//!
//! Paths are split before they are decoded (an id may hold `/`), segment names are matched without
//! case, `users('x')` means `users/x`, and an action may carry its namespace. Nothing is looked up
//! here.

mod operation;

use axum::http::Method;

use crate::error::GraphError;
use crate::text::percent_decode;
pub use operation::Operation;

/// A resolved path: the operation and the keys it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub operation: Operation,
    pub user: String,
    pub folder: Option<String>,
    pub message: String,
    pub attachment: String,
    pub subscription: String,
    pub group: String,
    /// A list of members without those of other types
    pub only_users: bool,
}

impl Route {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            user: String::new(),
            folder: None,
            message: String::new(),
            attachment: String::new(),
            subscription: String::new(),
            group: String::new(),
            only_users: false,
        }
    }
}

/// Resolves a path such as `/v1.0/users/a%40b/messages/AAMk%2F.../send`.
pub fn resolve(method: &Method, path: &str) -> Result<Route, GraphError> {
    let segments = segments(path)?;
    let keys: Vec<&str> = segments.iter().map(String::as_str).collect();
    let [version, rest @ ..] = keys.as_slice() else {
        return Err(GraphError::bad_request("Invalid version."));
    };
    if !["v1.0", "beta"].contains(version) {
        return Err(GraphError::bad_request(format!("Invalid version: {version}.")));
    }
    match rest {
        [me, ..] if me.eq_ignore_ascii_case("me") => Err(GraphError::bad_request(
            "/me request is only valid with delegated authentication flow.",
        )),
        [users, rest @ ..] if users.eq_ignore_ascii_case("users") => user_route(method, rest),
        [subscriptions, rest @ ..] if name(subscriptions) == "subscriptions" => {
            subscriptions_route(method, rest)
        }
        [groups, group, rest @ ..] if name(groups) == "groups" => {
            members_route(method, group, rest)
        }
        [other, ..] => Err(GraphError::unknown_segment(other)),
        [] => Err(GraphError::bad_request("Resource not found for the segment ''.")),
    }
}

fn segments(path: &str) -> Result<Vec<String>, GraphError> {
    let mut out = Vec::with_capacity(8);
    for raw in path.split('/').filter(|raw| !raw.is_empty()) {
        let decoded = percent_decode(raw)
            .ok_or_else(|| GraphError::bad_request("The request URI is not valid."))?;
        match key_in_parentheses(&decoded) {
            Some((collection, key)) => out.extend([collection, key]),
            None => out.push(decoded),
        }
    }
    Ok(out)
}

/// `messages('a''b')` as `(messages, a'b)`.
fn key_in_parentheses(segment: &str) -> Option<(String, String)> {
    let (collection, rest) = segment.split_once("('")?;
    let key = rest.strip_suffix("')")?;
    ["users", "messages", "mailfolders", "childfolders", "attachments", "subscriptions", "groups"]
        .contains(&collection.to_ascii_lowercase().as_str())
        .then(|| (collection.to_owned(), key.replace("''", "'")))
}

fn members_route(method: &Method, group: &str, rest: &[&str]) -> Result<Route, GraphError> {
    let (members, cast) = match rest {
        [members] => (*members, None),
        [members, cast] => (*members, Some(*cast)),
        _ => return Err(GraphError::unknown_segment("groups")),
    };
    let operation = match name(members).as_str() {
        "members" => Operation::ListMembers,
        "transitivemembers" => Operation::ListTransitiveMembers,
        _ => return Err(GraphError::unknown_segment(members)),
    };
    if let Some(cast) = cast.filter(|cast| !cast.eq_ignore_ascii_case("microsoft.graph.user")) {
        return Err(GraphError::unknown_segment(cast));
    }
    let route = only(method, Method::GET, operation)?;
    Ok(Route { group: group.to_owned(), only_users: cast.is_some(), ..route })
}

fn subscriptions_route(method: &Method, rest: &[&str]) -> Result<Route, GraphError> {
    let [subscription, rest @ ..] = rest else {
        return pick(
            method,
            &[
                (Method::GET, Operation::ListSubscriptions),
                (Method::POST, Operation::CreateSubscription),
            ],
        );
    };
    let mut route = match rest {
        [] => pick(
            method,
            &[
                (Method::GET, Operation::GetSubscription),
                (Method::PATCH, Operation::UpdateSubscription),
                (Method::DELETE, Operation::DeleteSubscription),
            ],
        )?,
        [action] if name(action) == "reauthorize" => {
            only(method, Method::POST, Operation::ReauthorizeSubscription)?
        }
        [other, ..] => return Err(GraphError::unknown_segment(other)),
    };
    (*subscription).clone_into(&mut route.subscription);
    Ok(route)
}

fn user_route(method: &Method, rest: &[&str]) -> Result<Route, GraphError> {
    let [user, rest @ ..] = rest else {
        return only(method, Method::GET, Operation::ListUsers);
    };
    let mut route = match rest {
        [] => only(method, Method::GET, Operation::GetUser)?,
        [collection, rest @ ..] => match (name(collection).as_str(), rest) {
            ("sendmail", []) => only(method, Method::POST, Operation::SendMail)?,
            ("messages", rest) => messages_route(method, rest)?,
            ("mailfolders", []) => folders(method)?,
            ("mailfolders", [delta]) if name(delta) == "delta" => {
                only(method, Method::GET, Operation::FolderDelta)?
            }
            ("mailfolders", [folder, rest @ ..]) => folder_route(method, folder, rest)?,
            _ => return Err(GraphError::unknown_segment(collection)),
        },
    };
    (*user).clone_into(&mut route.user);
    Ok(route)
}

/// Below a folder, which may itself be named below its parent.
fn folder_route(method: &Method, folder: &str, rest: &[&str]) -> Result<Route, GraphError> {
    let (part, rest) = match rest {
        [] => (String::new(), rest),
        [part, rest @ ..] => (name(part), rest),
    };
    let mut route = match (part.as_str(), rest) {
        ("", []) => pick(
            method,
            &[
                (Method::GET, Operation::GetFolder),
                (Method::PATCH, Operation::UpdateFolder),
                (Method::DELETE, Operation::DeleteFolder),
            ],
        )?,
        ("messages", rest) => messages_route(method, rest)?,
        ("move", []) => only(method, Method::POST, Operation::MoveFolder)?,
        ("childfolders", []) => folders(method)?,
        ("childfolders", [child, rest @ ..]) => return folder_route(method, child, rest),
        (other, _) => return Err(GraphError::unknown_segment(other)),
    };
    route.folder = Some(folder.to_owned());
    Ok(route)
}

fn folders(method: &Method) -> Result<Route, GraphError> {
    pick(method, &[(Method::GET, Operation::ListFolders), (Method::POST, Operation::CreateFolder)])
}

/// What can be done to a message by a POST below it.
fn action(name: &str) -> Option<Operation> {
    Some(match name {
        "send" => Operation::SendMessage,
        "createreply" => Operation::CreateReply,
        "createreplyall" => Operation::CreateReplyAll,
        "createforward" => Operation::CreateForward,
        "reply" => Operation::Reply,
        "replyall" => Operation::ReplyAll,
        "forward" => Operation::Forward,
        "move" => Operation::MoveMessage,
        "copy" => Operation::CopyMessage,
        "permanentdelete" => Operation::PermanentDeleteMessage,
        _ => return None,
    })
}

fn messages_route(method: &Method, rest: &[&str]) -> Result<Route, GraphError> {
    let [message, rest @ ..] = rest else {
        return pick(
            method,
            &[(Method::GET, Operation::ListMessages), (Method::POST, Operation::CreateMessage)],
        );
    };
    if rest.is_empty() && name(message) == "delta" {
        return only(method, Method::GET, Operation::MessageDelta);
    }
    let mut route = match rest {
        [] => pick(
            method,
            &[
                (Method::GET, Operation::GetMessage),
                (Method::PATCH, Operation::UpdateMessage),
                (Method::DELETE, Operation::DeleteMessage),
            ],
        )?,
        [part, rest @ ..] => match (name(part).as_str(), rest) {
            ("$value", []) => only(method, Method::GET, Operation::GetMessageValue)?,
            ("attachments", rest) => attachments_route(method, rest)?,
            (action_name, []) => match action(action_name) {
                Some(operation) => only(method, Method::POST, operation)?,
                None => return Err(GraphError::unknown_segment(part)),
            },
            _ => return Err(GraphError::unknown_segment(part)),
        },
    };
    (*message).clone_into(&mut route.message);
    Ok(route)
}

fn attachments_route(method: &Method, rest: &[&str]) -> Result<Route, GraphError> {
    let [attachment, rest @ ..] = rest else {
        return pick(
            method,
            &[
                (Method::GET, Operation::ListAttachments),
                (Method::POST, Operation::CreateAttachment),
            ],
        );
    };
    if rest.is_empty() && name(attachment) == "createuploadsession" {
        return only(method, Method::POST, Operation::CreateUploadSession);
    }
    let mut route = match rest {
        [] => pick(
            method,
            &[
                (Method::GET, Operation::GetAttachment),
                (Method::DELETE, Operation::DeleteAttachment),
            ],
        )?,
        ["$value"] => only(method, Method::GET, Operation::GetAttachmentValue)?,
        [other, ..] => return Err(GraphError::unknown_segment(other)),
    };
    (*attachment).clone_into(&mut route.attachment);
    Ok(route)
}

/// A segment without case, without its namespace and without the empty parentheses of a function.
fn name(segment: &str) -> String {
    let lower = segment.to_ascii_lowercase();
    let lower = lower.strip_suffix("()").map_or_else(|| lower.clone(), str::to_owned);
    lower.strip_prefix("microsoft.graph.").map_or_else(|| lower.clone(), str::to_owned)
}

fn only(method: &Method, wanted: Method, operation: Operation) -> Result<Route, GraphError> {
    pick(method, &[(wanted, operation)])
}

fn pick(method: &Method, choices: &[(Method, Operation)]) -> Result<Route, GraphError> {
    choices
        .iter()
        .find(|(wanted, _)| wanted == method)
        .map(|(_, operation)| Route::new(*operation))
        .ok_or_else(GraphError::method_not_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Route {
        resolve(&Method::GET, path).unwrap()
    }

    #[test]
    fn ids_keep_their_slashes() {
        let route =
            get("/v1.0/users/a%40b.example/messages/AAMk%2Fx%2B%3D/attachments/q%2F1/$value");
        assert_eq!(route.operation, Operation::GetAttachmentValue);
        assert_eq!(route.user, "a@b.example");
        assert_eq!(route.message, "AAMk/x+=");
        assert_eq!(route.attachment, "q/1");
    }

    #[test]
    fn keys_in_parentheses_and_namespaces() {
        let route = get("/v1.0/users('o''neil@b.example')/mailFolders('Inbox')/messages('x')");
        assert_eq!(route.operation, Operation::GetMessage);
        assert_eq!((route.user.as_str(), route.message.as_str()), ("o'neil@b.example", "x"));
        assert_eq!(route.folder.as_deref(), Some("Inbox"));
        let send = resolve(&Method::POST, "/v1.0/Users/a/microsoft.graph.SendMail").unwrap();
        assert_eq!(send.operation, Operation::SendMail);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let status =
            |method: Method, path: &str| resolve(&method, path).unwrap_err().status.as_u16();
        assert_eq!(status(Method::GET, "/v1.0/users/a/sendMail"), 405);
        assert_eq!(status(Method::GET, "/v1.0/users/a/calendar"), 400);
        assert_eq!(status(Method::GET, "/v3/users"), 400);
        assert_eq!(status(Method::GET, "/v1.0/me/messages"), 400);
        assert_eq!(status(Method::GET, "/v1.0/users/%zz"), 400);
    }
}
