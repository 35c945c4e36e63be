//! `groups/{id}/members` and `transitiveMembers`
//! (learn.microsoft.com/graph/api/group-list-members, group-list-transitivemembers).

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Call, user};
use crate::admission::permission;
use crate::answer::Answer;
use crate::config::Group;
use crate::directory::TenantEntry;
use crate::error::GraphError;
use crate::mailbox::Mailbox;
use crate::odata::query::Query;
use crate::route::Operation;

const PAGE: usize = 100;

/// The members: users alone when the path says so, groups as well otherwise.
pub fn members(call: &Call<'_>) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "user")?;
    let tenant = call.world.directory.numbered(call.grant.tenant);
    let groups = tenant.map(TenantEntry::groups).unwrap_or_default();
    let group = groups.iter().find(|group| group.id().eq_ignore_ascii_case(&call.route.group));
    let group = group.ok_or_else(|| GraphError::no_directory_object(&call.route.group))?;
    let deep = call.route.operation == Operation::ListTransitiveMembers;
    let mut names = Names::default();
    names.groups.insert(group.id());
    names.collect(&groups, group, deep);
    let members: Vec<Member<'_>> =
        names.in_order.iter().filter_map(|name| member(call, &groups, name, &query)).collect();
    // who may not read users gets their ids alone
    let readable = permission::check(&user::ROLES, call.grant, "", GraphError::access_denied);
    let kind = if call.route.only_users { "users" } else { "directoryObjects" };
    let context = format!("{}/v1.0/$metadata#{kind}", call.base);
    Ok(call.page(&context, &query, &members, PAGE, |one| one.render(&query, readable.is_ok())))
}

/// The names of members, each once.
#[derive(Default)]
struct Names<'a> {
    in_order: Vec<&'a str>,
    known: HashSet<&'a str>,
    /// Those that were looked into: groups may hold each other
    groups: HashSet<String>,
}

impl<'a> Names<'a> {
    fn collect(&mut self, all: &'a [Group], group: &'a Group, deep: bool) {
        for name in &group.members {
            if self.known.insert(name) {
                self.in_order.push(name);
            }
            let inner = all.iter().find(|group| group.is_named(name)).filter(|_| deep);
            if let Some(inner) = inner.filter(|inner| self.groups.insert(inner.id())) {
                self.collect(all, inner, deep);
            }
        }
    }
}

enum Member<'a> {
    Group(&'a Group),
    User(Arc<Mailbox>),
}

fn member<'a>(
    call: &Call<'_>,
    groups: &'a [Group],
    name: &str,
    query: &Query,
) -> Option<Member<'a>> {
    if let Some(group) = groups.iter().find(|group| group.is_named(name)) {
        return (!call.route.only_users).then_some(Member::Group(group));
    }
    let mailbox = call.world.mailbox(name)?;
    user::is_listed(&mailbox, query).then_some(Member::User(mailbox))
}

impl Member<'_> {
    fn render(&self, query: &Query, readable: bool) -> Map<String, Value> {
        let (kind, mut value) = match self {
            Self::User(mailbox) => ("#microsoft.graph.user", user::render(mailbox, query)),
            Self::Group(group) => {
                let all = [("id", json!(group.id())), ("displayName", json!(group.name))];
                let all = all.map(|(name, value)| (name.to_owned(), value));
                ("#microsoft.graph.group", all.into_iter().collect())
            }
        };
        if !readable {
            value.retain(|name, _| name == "id");
        }
        value.insert("@odata.type".to_owned(), json!(kind));
        value
    }
}
