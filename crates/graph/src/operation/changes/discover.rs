//! The mailboxes that a rule names (learn.microsoft.com, user-list, group-list-transitivemembers).
//!
//! A mailbox is called by its user principal name: it is the one name, besides the id, that Graph
//! takes in a path. A user without a mail address has no mailbox; a guest has his elsewhere. Whether
//! an account is enabled says nothing: those of shared mailboxes are not.

use mailbridge_core::{Code, Deadline, Error, Mailbox, Result, Verdict, changes::Rule};
use serde::Deserialize;

use super::{PAGES_MAX, endless, listed, text};
use crate::{
    graph::Graph,
    http::Operation,
    operation::{Session, segment},
};

const QUERY: &str = "$select=id,mail,userPrincipalName&$count=true&$top=999";

pub(crate) async fn discover(
    graph: &Graph,
    rule: &Rule,
    deadline: &Deadline,
) -> Result<Vec<Mailbox>> {
    let (operation, path) = asked(rule)?;
    let session = Session::open_directory(graph, deadline).await.map_err(put_off)?;
    let mut url = session.url(&path);
    let mut all = Vec::new();
    for _ in 0..PAGES_MAX {
        let body = session.follow(operation, &url).await.map_err(put_off)?;
        let body = text(&body);
        let page = listed(&body, "graph's list of users cannot be read")?;
        all.extend(page.value.iter().filter_map(|json| mailbox(json.get())));
        deadline.progress();
        let Some(link) = page.next_link else { return Ok(sorted(all)) };
        url = link;
    }
    Err(endless("graph's list of users does not come to an end"))
}

/// What to ask, and where.
fn asked(rule: &Rule) -> Result<(Operation, String)> {
    let (text, field) = match rule {
        Rule::Users(filter) => (filter, "users"),
        Rule::Group(id) => (id, "group"),
    };
    let name = segment(text).ok_or_else(|| {
        let detail = "the rule that names mailboxes does not fit into a URL";
        Error::permanent(Code::GraphRefused, detail).with("field", field)
    })?;
    Ok(match rule {
        Rule::Users(_) => (Operation::FindUsers, format!("/users?$filter={name}&{QUERY}")),
        Rule::Group(_) => {
            let path = format!("/groups/{name}/transitiveMembers/microsoft.graph.user?{QUERY}");
            (Operation::ListMembers, path)
        }
    })
}

/// The directory has no mailbox that could wait.
fn put_off(error: Error) -> Error {
    match error.verdict() {
        Verdict::Blocked { scope: mailbridge_core::Scope::Mailbox, after } => {
            error.as_verdict(Verdict::Transient { after })
        }
        _ => error,
    }
}

/// A member that the app may not read is shown by its id alone.
fn mailbox(json: &str) -> Option<Mailbox> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct User {
        mail: Option<String>,
        user_principal_name: Option<String>,
    }
    let user: User = serde_json::from_str(json).ok()?;
    user.mail.filter(|mail| !mail.is_empty())?;
    let name = user.user_principal_name?;
    (!name.is_empty() && !name.contains("#EXT#")).then(|| Mailbox::new(name))
}

fn sorted(mut all: Vec<Mailbox>) -> Vec<Mailbox> {
    all.sort_by_cached_key(|mailbox| mailbox.as_str().to_lowercase());
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_have_a_mailbox_here() {
        let name = |json: &str| mailbox(json).map(|it| it.to_string());
        let user =
            r#"{"id":"1","mail":"ann@contoso.com","userPrincipalName":"ann@c.onmicrosoft.com"}"#;
        assert_eq!(name(user).as_deref(), Some("ann@c.onmicrosoft.com"));
        for none in [
            r#"{"id":"1","mail":null,"userPrincipalName":"a@x.org"}"#,
            r#"{"id":"1","mail":"","userPrincipalName":"a@x.org"}"#,
            r#"{"mail":"a@y.org","userPrincipalName":"a_y.org#EXT#@x.org"}"#,
            r##"{"@odata.type":"#microsoft.graph.user","id":"1"}"##,
            "5",
        ] {
            assert_eq!(name(none), None, "{none}");
        }
        let all = ["b@x.org", "A@x.org", "B@x.org"].map(Mailbox::new);
        let names: Vec<_> = sorted(all.into()).iter().map(Mailbox::to_string).collect();
        assert_eq!(names, ["A@x.org", "b@x.org"]);
    }

    #[test]
    fn a_rule_is_a_part_of_a_url() {
        let (_, path) = asked(&Rule::Users("startswith(mail,'a&b')".to_owned())).unwrap();
        assert!(path.starts_with("/users?$filter=startswith%28mail%2C%27a%26b%27%29&"), "{path}");
        let (_, path) = asked(&Rule::Group("g/1".to_owned())).unwrap();
        assert!(path.starts_with("/groups/g%2F1/transitiveMembers/microsoft.graph.user?"));
        assert_eq!(asked(&Rule::Users(String::new())).unwrap_err().code(), Code::GraphRefused);
    }
}
