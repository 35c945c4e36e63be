//! Members of groups, and the permission it takes to see them.

use mailbridge_sandbox::{
    App, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Group, MailboxState, Sandbox, Tenant,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{World, start_with};

async fn world(roles: &[&str]) -> (World, String) {
    let support = Group::new("Support").member("anna@contoso.example").member("Night");
    let night = Group::new("Night").member("bob@contoso.example").member("Support");
    let tenant = Tenant::new(DEMO_TENANT_ID)
        .app(App::new(DEMO_CLIENT_ID).secret(DEMO_CLIENT_SECRET).roles(roles.iter().copied()))
        .any_mailbox_of("contoso.example")
        .group(support.clone())
        .group(night);
    (start_with(Sandbox::builder().tenant(tenant)).await, support.id())
}

fn mails(page: &Value) -> Vec<&Value> {
    page["value"].as_array().unwrap().iter().map(|one| &one["mail"]).collect()
}

#[tokio::test]
async fn members_are_listed_directly_and_through_other_groups() {
    let (world, id) = world(&["GroupMember.Read.All", "User.Read.All"]).await;
    let all = world.get(&format!("groups/{id}/members")).await.expect(StatusCode::OK).json();
    let kinds: Vec<&Value> =
        all["value"].as_array().unwrap().iter().map(|one| &one["@odata.type"]).collect();
    assert_eq!(kinds, ["#microsoft.graph.user", "#microsoft.graph.group"]);
    let users = format!("groups/{id}/members/microsoft.graph.user?$select=id,mail");
    assert_eq!(mails(&world.get(&users).await.json()), ["anna@contoso.example"]);
    let users = format!("groups/{id}/transitiveMembers/microsoft.graph.user?$select=mail&$top=1");
    let page = world.get(&users).await.expect(StatusCode::OK).json();
    assert_eq!(mails(&page), ["anna@contoso.example"]);
    let next = page["@odata.nextLink"].as_str().unwrap().split_once("/v1.0/").unwrap().1;
    assert_eq!(mails(&world.get(next).await.json()), ["bob@contoso.example"]);

    let fewer = json!({"name": "Support", "members": ["carl@contoso.example"]});
    world.admin_post("groups", json!({"tenant": DEMO_TENANT_ID, "group": fewer})).await;
    let users = format!("groups/{id}/members/microsoft.graph.user");
    assert_eq!(mails(&world.get(&users).await.json()), ["carl@contoso.example"]);
    world.handle().set_mailbox("carl@contoso.example", MailboxState::Missing).unwrap();
    assert!(mails(&world.get(&users).await.json()).is_empty());
    world
        .get(&format!("groups/{DEMO_TENANT_ID}/members"))
        .await
        .refused(404, "Request_ResourceNotFound");
}

#[tokio::test]
async fn it_takes_a_permission_and_another_one_to_see_who_they_are() {
    let (world, id) = world_with_mail_only().await;
    let members = format!("groups/{id}/members");
    world.get(&members).await.refused(403, "Authorization_RequestDenied");
    let (world, id) = self::world(&["GroupMember.Read.All"]).await;
    let all = world.get(&format!("groups/{id}/members")).await.expect(StatusCode::OK).json();
    let user = all["value"][0].as_object().unwrap();
    assert_eq!(user.keys().collect::<Vec<_>>(), ["@odata.type", "id"]);
}

async fn world_with_mail_only() -> (World, String) {
    world(&["Mail.ReadWrite", "User.Read.All"]).await
}
