use std::io::Write as _;

use super::*;

fn message(id: &str, payload: &str) -> Message {
    Message { id: Some(id.to_owned()), payload: payload.to_owned().into(), ..Message::default() }
}

#[tokio::test]
async fn what_was_published_before_a_crash_stands_there_once() {
    let place = Place::new();
    let output = place.output().await;
    output.publish(message("1", r#"{"id":"1"}"#)).await.unwrap();
    output.publish(message("2", "from: 2")).await.unwrap();
    let expected = "{\"id\":\"1\"}\n{\"id\":\"2\",\"payload\":\"from: 2\"}\n";
    assert_eq!(place.written(), expected);
    let image = place.image();
    drop(output);
    let place = place.crashed(image);
    let torn = fs::File::options().append(true).open(place.path("out.ndjson"));
    torn.unwrap().write_all(b"{\"id\":\"3\",\"payl").unwrap();
    let output = place.output().await;
    for (id, payload) in [("1", r#"{"id":"1"}"#), ("2", "from: 2"), ("3", "from: 3")] {
        output.publish(message(id, payload)).await.unwrap();
        output.publish(message(id, payload)).await.unwrap();
    }
    let third = "{\"id\":\"3\",\"payload\":\"from: 3\"}\n";
    assert_eq!(place.written(), format!("{expected}{third}"));
}

#[tokio::test]
async fn two_outputs_on_one_file_are_one() {
    let place = Place::new();
    let (one, two) = (place.output().await, place.output().await);
    let (first, second) =
        tokio::join!(one.publish(message("1", "a")), two.publish(message("1", "a")));
    first.unwrap();
    second.unwrap();
    assert_eq!(place.written().lines().count(), 1);
    drop((one, two));
    place.output().await.publish(message("1", "a")).await.unwrap();
    assert_eq!(place.written().lines().count(), 1);
}

#[tokio::test]
async fn what_is_published_can_be_read_back() {
    let place = Place::new();
    let sent = Message {
        headers: mailbridge_core::Headers::new().with("mailbridge-code", "request_not_json"),
        payload: vec![0xff, b'\n', 0].into(),
        ..Message::default()
    };
    place.output().await.publish(sent.clone()).await.unwrap();
    fs::rename(place.path("out.ndjson"), place.path("in.ndjson")).unwrap();
    let found = take(&mut place.input().await).await.message;
    assert_eq!((found.payload, found.headers), (sent.payload, sent.headers));
}
