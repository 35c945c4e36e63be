//! Mailboxes that a rule names.

use mailbridge_core::changes::Rule;

use super::*;

fn user(name: &str) -> Value {
    json!({ "id": name, "mail": format!("{name}@contoso.com"), "userPrincipalName": format!("{name}@contoso.com") })
}

async fn discover(scene: &Scene, rule: Rule) -> Result<Vec<String>> {
    let found = scene.graph.discover(&rule, &soon()).await?;
    Ok(found.iter().map(Mailbox::to_string).collect())
}

#[tokio::test]
async fn users_by_a_filter_over_pages_each_once() {
    let scene = Scene::new(|asked| {
        if asked.target.contains("next") {
            let all = [user("ann"), json!({ "id": "4", "mail": null, "userPrincipalName": "x@y" })];
            return Reply::json(200, json!({ "value": all }).to_string());
        }
        listed(asked, "users?next", &[user("bob"), user("Ann")])
    })
    .await;
    let found = discover(&scene, Rule::Users("endsWith(mail,'o''neil.com')".into())).await.unwrap();
    assert_eq!(found, ["Ann@contoso.com", "bob@contoso.com"]);
    let asked: Vec<_> = scene.stub.asked().into_iter().skip(1).collect();
    assert_eq!(
        asked[0].target,
        "/v1.0/users?$filter=endsWith%28mail%2C%27o%27%27neil.com%27%29\
         &$select=id,mail,userPrincipalName&$count=true&$top=999"
    );
    for asked in asked {
        assert_eq!(asked.header("consistencylevel"), Some("eventual"), "also with a link");
    }
}

#[tokio::test]
async fn members_of_a_group() {
    let scene =
        Scene::new(|_| Reply::json(200, json!({ "value": [user("bob")] }).to_string())).await;
    assert_eq!(discover(&scene, Rule::Group("g-1".into())).await.unwrap(), ["bob@contoso.com"]);
    let target = &targets(&scene)[0];
    assert!(target.starts_with("/v1.0/groups/g-1/transitiveMembers/microsoft.graph.user?"));
}

#[tokio::test]
async fn what_the_directory_refuses() {
    for (status, code, expected) in [
        (403, "Authorization_RequestDenied", Code::GraphPermissionMissing),
        (404, "Request_ResourceNotFound", Code::GraphGroupNotFound),
        (400, "BadRequest", Code::GraphRefused),
    ] {
        let scene = Scene::new(move |_| Reply::error(status, code)).await;
        let error = discover(&scene, Rule::Group("g-1".into())).await.unwrap_err();
        assert_eq!(error.code(), expected);
    }
}

#[tokio::test]
async fn a_throttled_directory_waits_and_mailboxes_do_not() {
    let scene = Scene::new(|asked| {
        if asked.target.contains("mailFolders") {
            return listed(asked, "delta", &[]);
        }
        Reply::error(429, "TooManyRequests").with("retry-after", "30")
    })
    .await;
    for _ in 0..2 {
        let error = discover(&scene, Rule::Group("g-1".into())).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphThrottled);
        assert!(is_transient(&error), "{error:?}");
    }
    assert_eq!(targets(&scene).len(), 1);
    page(&scene, None, &Select::default(), 5).await.unwrap();
}
