use mailbridge_core::{Code, Keep, Put, StateStore, Verdict};

use super::*;
use crate::Store;

async fn store(place: &Place) -> Box<dyn StateStore> {
    place.local.store(&Store::default(), Keep::Forever).await.unwrap()
}

#[tokio::test]
async fn a_revision_is_not_used_again_after_a_crash() {
    let place = Place::new();
    let state = store(&place).await;
    let Put::Stored(first) = state.put("key", "one".into(), None).await.unwrap() else { panic!() };
    state.delete("key", first).await.unwrap();
    let image = place.image();
    drop(state);
    let place = place.crashed(image);
    let state = store(&place).await;
    let Put::Stored(second) = state.put("key", "one".into(), None).await.unwrap() else { panic!() };
    assert_ne!(first, second);
    assert_eq!(state.put("key", "two".into(), Some(first)).await.unwrap(), Put::Conflict);
}

#[tokio::test]
async fn a_file_of_its_own_is_another_store() {
    let place = Place::new();
    let own = place
        .local
        .store(&Store { path: Some(place.path("own.redb")) }, Keep::Forever)
        .await
        .unwrap();
    own.put("key", "one".into(), None).await.unwrap();
    assert!(store(&place).await.get("key").await.unwrap().is_none());
    assert!(place.path("own.redb").exists());
}

#[tokio::test]
async fn a_directory_that_is_in_use_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    let other = redb::Database::create(place.path("state/mailbridge.redb")).unwrap();
    let error = place.local.store(&Store::default(), Keep::Forever).await.err().unwrap();
    assert!(error.to_string().contains("another mailbridge process"), "{error}");
    assert!(matches!(error.verdict(), Verdict::Blocked { .. }));
    drop(other);
    store(&place).await;
}

#[tokio::test]
async fn a_key_that_another_store_would_refuse_is_refused() {
    let place = Place::new();
    let state = store(&place).await;
    for key in ["", ".a", "a.", "a b", "ü", &"k".repeat(257)] {
        assert_eq!(state.get(key).await.unwrap_err().code(), Code::StateFailed, "{key}");
    }
}
