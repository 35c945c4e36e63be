//! The promises of `StateStore`.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mailbridge_core::{Put, Revision, StateStore};

use super::{Broken, Kept, World, ensure};

const ONE: Bytes = Bytes::from_static(b"one");
const TWO: Bytes = Bytes::from_static(b"two");

/// The revision of a put that must succeed.
async fn stored(
    store: &dyn StateStore,
    key: &str,
    value: Bytes,
    expected: Option<Revision>,
) -> Result<Revision, Broken> {
    match store.put(key, value, expected).await? {
        Put::Stored(revision) => Ok(revision),
        Put::Conflict => Err(Broken::new(format!("{key}: conflict with {expected:?}"))),
    }
}

/// A put or delete that must lose.
fn lost(put: Put, what: &str) -> Kept {
    ensure!(put == Put::Conflict, "{what} came to {put:?}, not to a conflict");
    Ok(())
}

async fn holds(store: &dyn StateStore, key: &str, expected: Option<(Bytes, Revision)>) -> Kept {
    let found = store.get(key).await?;
    ensure!(found == expected, "{key} reads as {found:?}, not as {expected:?}");
    Ok(())
}

/// A key that was never put reads as nothing.
pub async fn an_absent_key_reads_as_nothing(world: &dyn World) -> Kept {
    holds(world.store().await?.as_ref(), "absent", None).await
}

/// `put` with `None` succeeds only if the key is absent.
pub async fn create_succeeds_only_when_absent(world: &dyn World) -> Kept {
    let store = world.store().await?;
    let revision = stored(store.as_ref(), "key", ONE, None).await?;
    lost(store.put("key", TWO, None).await?, "a second create")?;
    holds(store.as_ref(), "key", Some((ONE, revision))).await
}

/// `put` with a revision succeeds only if the value is still at it.
pub async fn a_stale_revision_conflicts(world: &dyn World) -> Kept {
    let store = world.store().await?;
    let first = stored(store.as_ref(), "key", ONE, None).await?;
    // Another key in between: revisions of one key say nothing about another.
    stored(store.as_ref(), "other", ONE, None).await?;
    let second = stored(store.as_ref(), "key", TWO, Some(first)).await?;
    ensure!(first != second, "two values of one key share the revision {first:?}");
    lost(store.put("key", ONE, Some(first)).await?, "a put at an old revision")?;
    lost(store.put("absent", ONE, Some(first)).await?, "a put at a revision of an absent key")?;
    holds(store.as_ref(), "absent", None).await?;
    holds(store.as_ref(), "key", Some((TWO, second))).await
}

/// Of two writers that expect the same, one wins.
pub async fn of_two_writers_one_wins(world: &dyn World) -> Kept {
    let (one, two) = (world.store().await?, world.store().await?);
    let mut expected = None;
    for round in 0..25 {
        let (left, right) =
            tokio::join!(one.put("key", ONE, expected), two.put("key", TWO, expected));
        let (value, revision) = match (left?, right?) {
            (Put::Stored(revision), Put::Conflict) => (ONE, revision),
            (Put::Conflict, Put::Stored(revision)) => (TWO, revision),
            both => return Err(Broken::new(format!("round {round} came to {both:?}"))),
        };
        holds(one.as_ref(), "key", Some((value.clone(), revision))).await?;
        holds(two.as_ref(), "key", Some((value, revision))).await?;
        expected = Some(revision);
    }
    Ok(())
}

/// `delete` deletes only at the expected revision.
pub async fn delete_needs_the_revision(world: &dyn World) -> Kept {
    let store = world.store().await?;
    let first = stored(store.as_ref(), "key", ONE, None).await?;
    let second = stored(store.as_ref(), "key", TWO, Some(first)).await?;
    lost(store.delete("key", first).await?, "a delete at an old revision")?;
    holds(store.as_ref(), "key", Some((TWO, second))).await?;
    let deleted = store.delete("key", second).await?;
    ensure!(matches!(deleted, Put::Stored(_)), "a delete at the revision came to {deleted:?}");
    holds(store.as_ref(), "key", None).await?;
    lost(store.delete("key", second).await?, "a second delete")?;
    lost(store.put("key", ONE, Some(second)).await?, "a put at the deleted revision")
}

/// `list` gives the keys that begin with the prefix, each once, in the order of their bytes.
pub async fn list_gives_the_keys_of_a_prefix_in_order(world: &dyn World) -> Kept {
    let store = world.store().await?;
    ensure!(store.list("").await?.is_empty(), "an empty store lists something");
    for key in ["a/2", "a/1..x", "b", "a/1", "a", "a/=3", "w.d", "w.d.1", "w.d..2", "w.e"] {
        stored(store.as_ref(), key, ONE, None).await?;
    }
    for gone in ["a/gone", "w.d.gone", "c"] {
        let revision = stored(store.as_ref(), gone, ONE, None).await?;
        store.delete(gone, revision).await?;
    }
    let back = stored(store.as_ref(), "w.d.back", ONE, None).await?;
    store.delete("w.d.back", back).await?;
    stored(store.as_ref(), "w.d.back", TWO, None).await?;
    for (prefix, wanted) in [
        ("a/", &["a/1", "a/1..x", "a/2", "a/=3"][..]),
        ("w.d", &["w.d", "w.d..2", "w.d.1", "w.d.back"]),
        ("w.d.", &["w.d..2", "w.d.1", "w.d.back"]),
        ("w.d..", &["w.d..2"]),
        ("w.e", &["w.e"]),
        ("c", &[]),
        (".", &[]),
        ("w.*", &[]),
        ("w.>", &[]),
    ] {
        let listed = store.list(prefix).await?;
        ensure!(listed == wanted, "`{prefix}` lists {listed:?}, not {wanted:?}");
    }
    let all = store.list("").await?.len();
    ensure!(all == 11, "{all} keys are listed, of 11");
    Ok(())
}

/// `list` gives every key, also where there are many.
pub async fn list_gives_thousands_of_keys(world: &dyn World) -> Kept {
    const COUNT: usize = 2000;
    let store = world.store().await?;
    let put = async |number: usize| {
        let key = format!("{}.{number:04}", if number < COUNT { "many" } else { "others" });
        stored(store.as_ref(), &key, ONE, None).await.map(drop)
    };
    let puts = stream::iter(0..COUNT + 100).map(put).buffer_unordered(64);
    puts.try_collect::<()>().await?;
    let wanted: Vec<_> = (0..COUNT).map(|number| format!("many.{number:04}")).collect();
    let listed = store.list("many.").await?;
    ensure!(listed == wanted, "{} keys are listed, of {COUNT}", listed.len());
    let listed = store.list("many.1").await?;
    ensure!(listed == wanted[1000..], "{} keys are listed, of 1000", listed.len());
    Ok(())
}

/// `list` gives every key that `get` would find from before the call until its end.
pub async fn list_misses_nothing_that_stays_while_others_come_and_go(world: &dyn World) -> Kept {
    const KEYS: usize = 200;
    let (store, other) = (world.store().await?, world.store().await?);
    let mut stays = Vec::new();
    for number in 0..KEYS {
        let key = format!("busy.{number:03}");
        let revision = stored(store.as_ref(), &key, ONE, None).await?;
        stays.push((key, revision));
    }
    let wanted: Vec<_> = stays.iter().map(|(key, _)| key.clone()).collect();
    // Each value is replaced, over and over, and another key comes and goes.
    let changes = async {
        loop {
            for (key, revision) in &mut stays {
                *revision = stored(other.as_ref(), key, TWO, Some(*revision)).await?;
                let passing = stored(other.as_ref(), "busy.x", ONE, None).await?;
                other.delete("busy.x", passing).await?;
            }
        }
    };
    let lists = async {
        for round in 0..20 {
            let mut listed = store.list("busy.").await?;
            listed.retain(|key| key != "busy.x");
            ensure!(listed == wanted, "list {round} has {} keys of {KEYS}", listed.len());
        }
        Ok(())
    };
    tokio::select! {
        kept = lists => kept,
        broken = changes => broken,
    }
}

/// A revision is never used again for another value of the same key.
pub async fn a_deleted_key_can_be_created_and_its_revision_is_new(world: &dyn World) -> Kept {
    let store = world.store().await?;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let revision = stored(store.as_ref(), "key", ONE, None).await?;
        ensure!(!seen.contains(&revision), "{revision:?} was used before: {seen:?}");
        seen.push(revision);
        let deleted = store.delete("key", revision).await?;
        ensure!(matches!(deleted, Put::Stored(_)), "a delete came to {deleted:?}");
    }
    let revision = stored(store.as_ref(), "key", TWO, None).await?;
    for old in seen {
        lost(store.put("key", ONE, Some(old)).await?, "a put at a revision before a delete")?;
    }
    holds(store.as_ref(), "key", Some((TWO, revision))).await
}

/// Keys are 1 to 256 characters of `[A-Za-z0-9._/=-]`, not starting or ending with `.`.
pub async fn every_allowed_key_works(world: &dyn World) -> Kept {
    let store = world.store().await?;
    let long = "k".repeat(256);
    let keys = ["a", "A", "a.b", "a..b", "a=2Eb", "a.=b", "/a/b/", "=-_", "-", "a/b", &long];
    let mut revisions = Vec::new();
    for key in keys {
        let value = Bytes::copy_from_slice(key.as_bytes());
        revisions.push(stored(store.as_ref(), key, value, None).await?);
    }
    for (key, revision) in keys.into_iter().zip(revisions) {
        let value = Bytes::copy_from_slice(key.as_bytes());
        holds(store.as_ref(), key, Some((value, revision))).await?;
    }
    Ok(())
}

/// What `put` has confirmed is read by every later `get`, also after a restart.
pub async fn what_was_put_survives_a_restart(world: &dyn World) -> Kept {
    let every_byte: Bytes = (0..=u8::MAX).collect::<Vec<u8>>().into();
    let store = world.store().await?;
    let kept = stored(store.as_ref(), "kept", every_byte.clone(), None).await?;
    let gone = stored(store.as_ref(), "gone", ONE, None).await?;
    store.delete("gone", gone).await?;
    drop(store);
    world.restart().await?;
    let store = world.store().await?;
    holds(store.as_ref(), "kept", Some((every_byte, kept))).await?;
    holds(store.as_ref(), "gone", None).await?;
    let next = stored(store.as_ref(), "kept", ONE, Some(kept)).await?;
    ensure!(next != kept, "{kept:?} was used again after a restart");
    Ok(())
}
