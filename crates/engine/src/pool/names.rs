//! The list of who there is: one record, written when somebody comes, begins to leave, or goes.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mailbridge_core::{Code, Error, Put, Result, Revision, StateStore};

/// Stands behind the name of one that is leaving: it is looked after like any other, and is to have
/// nothing.
const LEAVING: char = '=';
/// How often the list is written again when others write it too.
const TRIES: usize = 20;
/// Members whose records are read at the same time.
const AT_ONCE: usize = 32;

/// Who there is, in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Reads the list of a pool.
    pub async fn read(store: &dyn StateStore, pool: &str) -> Result<(Self, Option<Revision>)> {
        let Some((value, revision)) = store.get(&key(pool)).await? else {
            return Ok((Self::default(), None));
        };
        let names = String::from_utf8_lossy(&value).lines().map(str::to_owned).collect();
        Ok((Self(names), Some(revision)))
    }

    /// Changes the list, and gives what it came to.
    pub async fn change(
        store: &dyn StateStore,
        pool: &str,
        change: impl Fn(&mut Self),
    ) -> Result<Self> {
        for _ in 0..TRIES {
            let (mut names, revision) = Self::read(store, pool).await?;
            change(&mut names);
            names.0.sort_unstable();
            let value = Bytes::from(names.0.join("\n"));
            if matches!(store.put(&key(pool), value, revision).await?, Put::Stored(_)) {
                return Ok(names);
            }
        }
        let detail = "the list of workers is always written by another";
        Err(Error::transient(Code::StateFailed, detail).with("pool", pool))
    }

    /// Everybody.
    pub fn all(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|entry| name(entry))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Those who are to have something.
    pub fn staying(&self) -> Vec<String> {
        self.0.iter().filter(|entry| !entry.ends_with(LEAVING)).cloned().collect()
    }

    /// Whether somebody stands here as this.
    pub fn tells(&self, name: &str, leaving: bool) -> bool {
        self.0.contains(&entry(name, leaving))
    }

    /// Those who come after a name, the last followed by the first; so many at most.
    pub fn after(&self, own: &str, count: usize) -> Vec<String> {
        let at = self.all().position(|it| it == own).unwrap_or_default();
        let others = self.all().cycle().skip(at + 1).take(self.len().saturating_sub(1));
        others.take(count).map(str::to_owned).collect()
    }

    /// Somebody is there, or begins to leave.
    pub fn add(&mut self, name: &str, leaving: bool) {
        self.remove(|it| it == name);
        self.0.push(entry(name, leaving));
    }

    /// These are gone.
    pub fn remove(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.0.retain(|entry| !is_gone(name(entry)));
    }
}

/// What all members of a pool say of themselves.
///
/// # Errors
/// The store's.
pub async fn cards(store: &dyn StateStore, pool: &str) -> Result<Vec<Bytes>> {
    let (names, _) = Names::read(store, pool).await?;
    let keys: Vec<_> = names.all().map(|name| member_key(pool, name)).collect();
    let cards = stream::iter(keys)
        .map(|key| async move { Ok::<_, Error>(store.get(&key).await?.map(|(card, _)| card)) });
    let cards: Vec<_> = cards.buffered(AT_ONCE).try_collect().await?;
    Ok(cards.into_iter().flatten().collect())
}

/// Where a member says of itself that it is there.
pub(super) fn member_key(pool: &str, name: &str) -> String {
    format!("pool/{pool}/member/{name}")
}

fn name(entry: &str) -> &str {
    entry.trim_end_matches(LEAVING)
}

fn entry(name: &str, leaving: bool) -> String {
    let mut entry = name.to_owned();
    entry.extend(leaving.then_some(LEAVING));
    entry
}

fn key(pool: &str) -> String {
    format!("pool/{pool}/members")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_looked_after_and_is_to_have_nothing() {
        let mut names = Names::default();
        for name in ["a", "b", "c"] {
            names.add(name, false);
        }
        names.add("b", true);
        names.0.sort_unstable();
        assert_eq!((names.len(), names.staying()), (3, vec!["a".to_owned(), "c".to_owned()]));
        assert!(names.tells("b", true) && !names.tells("b", false));
        assert_eq!(
            (names.after("b", 8), names.after("c", 1)),
            (vec!["c".to_owned(), "a".to_owned()], vec!["a".to_owned()])
        );
        names.remove(|name| name == "b");
        assert_eq!(names.all().collect::<Vec<_>>(), ["a", "c"]);
    }
}
