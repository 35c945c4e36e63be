//! Many requests in one.

use std::collections::BTreeMap;

use mailbridge_sandbox::{Budgets, Bulk, Fault, Operation, Sandbox};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{MAILBOX, World, finish, start, start_with};

fn get(id: usize, below: &str) -> Value {
    json!({"id": id.to_string(), "method": "GET", "url": format!("/users/{MAILBOX}/{below}")})
}

async fn batch(world: &World, requests: &[Value]) -> Vec<Value> {
    let reply = world.post("$batch", &json!({"requests": requests})).await;
    let body = reply.expect(StatusCode::OK).json();
    body["responses"].as_array().unwrap().clone()
}

fn by_id(responses: &[Value]) -> BTreeMap<&str, &Value> {
    responses.iter().map(|one| (one["id"].as_str().unwrap(), one)).collect()
}

#[tokio::test]
async fn each_request_has_its_answer_in_another_order() {
    let world = start().await;
    world.handle().receive_many(&Bulk::new(MAILBOX, 2)).unwrap();
    let requests: Vec<Value> = (1..=20).map(|id| get(id, "messages?$top=1")).collect();
    let responses = batch(&world, &requests).await;
    let order: Vec<usize> =
        responses.iter().map(|one| one["id"].as_str().unwrap().parse().unwrap()).collect();
    assert_ne!(order, (1..=20).collect::<Vec<_>>());
    assert_eq!(by_id(&responses).len(), 20);
    for one in &responses {
        assert_eq!(
            (&one["status"], one["body"]["value"].as_array().unwrap().len()),
            (&json!(200), 1)
        );
        assert!(one["headers"]["Content-Type"].as_str().unwrap().starts_with("application/json"));
        let next = one["body"]["@odata.nextLink"].as_str().unwrap();
        assert!(next.starts_with(&world.sandbox.graph_url()), "{next}");
    }
    assert_eq!(world.admin_get("requests").await["requests"]["list_messages"]["200"], 20);
}

#[tokio::test]
async fn each_is_throttled_and_refused_alone() {
    let world = start_with(Sandbox::builder().budgets(Budgets::graph().divided_by(2_000))).await;
    let requests: Vec<Value> = (1..=8).map(|id| get(id, "messages")).collect();
    let responses = batch(&world, &requests).await;
    let throttled: Vec<&Value> = responses.iter().filter(|one| one["status"] == 429).collect();
    assert_eq!(throttled.len(), 3, "five in ten minutes");
    let wait = throttled[0]["headers"]["Retry-After"].as_str().unwrap();
    assert!(wait.parse::<f64>().unwrap() > 0.0);
    let world = start().await;
    world.handle().add_fault(Fault::answer(503).on(Operation::ListFolders));
    let made = json!({"id": "2", "method": "POST", "url": format!("/users/{MAILBOX}/messages"),
                      "headers": {"Content-Type": "application/json"},
                      "body": {"subject": "made"}, "dependsOn": ["1"]});
    let mut spoiled = get(4, "messages");
    spoiled["dependsOn"] = json!(["3"]);
    let requests = [get(1, "messages"), made, get(3, "mailFolders"), spoiled, get(5, "nothing")];
    let responses = batch(&world, &requests).await;
    let statuses: Vec<u64> =
        by_id(&responses).values().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 201, 503, 424, 400]);
    assert_eq!(world.list("messages", &[]).await[0]["subject"], "made");
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    let world = start().await;
    let refuse = async |requests: Value| {
        world.post("$batch", &json!({"requests": requests})).await.refused(400, "BadRequest");
    };
    refuse(json!([])).await;
    refuse(json!((1..=21).map(|id| get(id, "messages")).collect::<Vec<_>>())).await;
    refuse(json!([get(1, "messages"), get(1, "messages")])).await;
    refuse(json!([{"id": "1", "method": "GET", "url": "users"}])).await;
    refuse(json!([{"id": "1", "method": "POST", "url": "/$batch"}])).await;
    refuse(json!([{"id": "1", "method": "GET", "url": "/users", "dependsOn": ["2"]}])).await;
    let url = format!("{}/v1.0/$batch", world.sandbox.graph_url());
    let anonymous = world.http.post(url).json(&json!({"requests": [get(1, "messages")]}));
    finish(anonymous).await.refused(401, "InvalidAuthenticationToken");
}
