//! Paths in a tree of folders. Pure: from what Graph listed to what patterns name.

use std::collections::{BTreeMap, HashMap, HashSet};

use mailbridge_core::changes::Folder;

use super::ROOT;

/// Names that Graph takes for an id, in any language (learn.microsoft.com, mailFolder resource).
const WELL_KNOWN: [&str; 17] = [
    "archive",
    "clutter",
    "conflicts",
    "conversationhistory",
    "deleteditems",
    "drafts",
    "inbox",
    "junkemail",
    "localfailures",
    ROOT,
    "outbox",
    "recoverableitemsdeletions",
    "scheduled",
    "searchfolders",
    "sentitems",
    "serverfailures",
    "syncissues",
];

/// A folder as Graph lists it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) name: String,
}

/// A pattern, such as `inbox/**`.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The well-known name that it begins with.
    begins: Option<&'static str>,
    rest: Vec<String>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Self {
        let mut names: Vec<_> =
            text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let first = names.first().map(|name| name.to_lowercase());
        let begins = WELL_KNOWN.into_iter().find(|name| Some(*name) == first.as_deref());
        if begins.is_some() {
            names.remove(0);
        }
        Self { begins, rest: names }
    }

    pub(super) fn begins(&self) -> Option<&'static str> {
        self.begins
    }
}

/// The folders, if all patterns are well-known names and nothing else.
pub(super) fn well_known(patterns: &[Pattern]) -> Option<Vec<Folder>> {
    let mut folders: Vec<Folder> = Vec::new();
    for pattern in patterns {
        let folder = named(pattern.begins.filter(|_| pattern.rest.is_empty())?);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    Some(folders)
}

fn named(name: &str) -> Folder {
    Folder { id: name.to_owned(), path: name.to_owned() }
}

/// All folders of a mailbox.
pub(super) struct Tree {
    /// By parent, in the order of their names.
    below: HashMap<String, Vec<Entry>>,
    /// By well-known name: Graph's id.
    roots: BTreeMap<String, String>,
}

/// A place in the tree.
struct Place {
    key: String,
    /// Nothing at the top, which holds folders and no mail.
    folder: Option<Folder>,
}

impl Tree {
    pub(super) fn new(entries: Vec<Entry>, roots: BTreeMap<String, String>) -> Self {
        let mut below: HashMap<String, Vec<Entry>> = HashMap::new();
        for entry in entries {
            below.entry(entry.parent.clone()).or_default().push(entry);
        }
        for entries in below.values_mut() {
            entries.sort_by_cached_key(|entry| (entry.name.to_lowercase(), entry.id.clone()));
        }
        Self { below, roots }
    }

    /// What the patterns name, each folder once, by the first pattern that names it.
    pub(super) fn resolve(&self, patterns: &[Pattern]) -> Vec<Folder> {
        let (mut folders, mut seen) = (Vec::new(), HashSet::new());
        for pattern in patterns {
            let name = pattern.begins.unwrap_or(ROOT);
            let Some(key) = self.roots.get(name) else { continue };
            let folder = pattern.begins.filter(|name| *name != ROOT).map(named);
            let place = Place { key: key.clone(), folder };
            for place in self.walk(place, &pattern.rest) {
                if let Some(folder) = place.folder
                    && seen.insert(place.key)
                {
                    folders.push(folder);
                }
            }
        }
        folders
    }

    /// Level by level, so that folders nested in a ring, which Graph never tells of, end by
    /// themselves: each is passed once.
    fn walk(&self, start: Place, names: &[String]) -> Vec<Place> {
        let mut level = vec![start];
        for (at, name) in names.iter().enumerate() {
            if name == "**" && at + 1 == names.len() {
                return self.and_below(level);
            }
            level = level.iter().flat_map(|place| self.children(place, name)).collect();
        }
        level
    }

    fn and_below(&self, mut places: Vec<Place>) -> Vec<Place> {
        let mut seen: HashSet<String> = places.iter().map(|place| place.key.clone()).collect();
        let mut at = 0;
        while let Some(place) = places.get(at) {
            let children = self.children(place, "*");
            places.extend(children.into_iter().filter(|child| seen.insert(child.key.clone())));
            at += 1;
        }
        places
    }

    fn children(&self, place: &Place, name: &str) -> Vec<Place> {
        let wanted = name.to_lowercase();
        let fits = |entry: &&Entry| name == "*" || entry.name.to_lowercase() == wanted;
        let child = |entry: &Entry| {
            let path = match &place.folder {
                Some(above) => format!("{}/{}", above.path, entry.name),
                None => entry.name.clone(),
            };
            let folder = Some(Folder { id: entry.id.clone(), path });
            Place { key: entry.id.clone(), folder }
        };
        self.below.get(&place.key).into_iter().flatten().filter(fits).map(child).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let entry = |(id, parent, name): (&str, &str, &str)| Entry {
            id: id.to_owned(),
            parent: parent.to_owned(),
            name: name.to_owned(),
        };
        let entries = [
            ("I", "R", "Posteingang"),
            ("I1", "I", "Orders"),
            ("I2", "I", "Bills"),
            ("I11", "I1", "2026"),
            ("A", "R", "Archiv"),
            ("A1", "A", "2026"),
            ("P", "R", "Projects"),
            ("P1", "P", "Orders"),
        ];
        let roots = [(ROOT, "R"), ("inbox", "I"), ("archive", "A")];
        let roots = roots.map(|(name, id)| (name.to_owned(), id.to_owned()));
        Tree::new(entries.map(entry).into(), roots.into())
    }

    fn resolved(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text)).collect();
        let folders = tree().resolve(&patterns);
        folders.into_iter().map(|folder| format!("{}={}", folder.path, folder.id)).collect()
    }

    #[test]
    fn paths_lead_to_folders() {
        for (pattern, expected) in [
            ("Inbox", vec!["inbox=inbox"]),
            ("inbox/orders", vec!["inbox/Orders=I1"]),
            ("INBOX/Orders/2026/", vec!["inbox/Orders/2026=I11"]),
            ("inbox/*", vec!["inbox/Bills=I2", "inbox/Orders=I1"]),
            (
                "inbox/**",
                vec!["inbox=inbox", "inbox/Bills=I2", "inbox/Orders=I1", "inbox/Orders/2026=I11"],
            ),
            ("inbox/orders/**", vec!["inbox/Orders=I1", "inbox/Orders/2026=I11"]),
            ("archive/2026", vec!["archive/2026=A1"]),
            ("projects", vec!["Projects=P"]),
            ("*/Orders", vec!["Posteingang/Orders=I1", "Projects/Orders=P1"]),
            ("*", vec!["Archiv=A", "Posteingang=I", "Projects=P"]),
            ("nowhere", vec![]),
            ("inbox/nowhere/**", vec![]),
            ("drafts/**", vec![]),
        ] {
            assert_eq!(resolved(&[pattern]), expected, "{pattern}");
        }
        assert_eq!(resolved(&["**"]).len(), 8);
        assert_eq!(resolved(&["msgfolderroot/*"]), ["Archiv=A", "Posteingang=I", "Projects=P"]);
    }

    #[test]
    fn each_folder_is_there_once_by_its_first_pattern() {
        assert_eq!(resolved(&["inbox", "inbox/orders", "inbox/*"]).len(), 3);
        let all = resolved(&["inbox", "**"]);
        assert_eq!(all.len(), 8);
        assert_eq!(all[0], "inbox=inbox");
        assert!(!all.contains(&"Posteingang=I".to_owned()));
    }

    #[test]
    fn well_known_names_alone_need_no_tree() {
        let named = |patterns: &[&str]| {
            let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text)).collect();
            well_known(&patterns).map(|all| all.into_iter().map(|it| it.id).collect::<Vec<_>>())
        };
        assert_eq!(named(&["inbox", "SentItems", "Inbox"]).unwrap(), ["inbox", "sentitems"]);
        assert_eq!(named(&["inbox", "inbox/*"]), None);
        assert_eq!(named(&["Orders"]), None);
    }

    #[test]
    fn a_ring_ends() {
        let entry = |id: &str, parent: &str| Entry {
            id: id.to_owned(),
            parent: parent.to_owned(),
            name: id.to_owned(),
        };
        let roots = [(ROOT.to_owned(), "a".to_owned())].into();
        let tree = Tree::new(vec![entry("b", "a"), entry("a", "b")], roots);
        assert_eq!(tree.resolve(&[Pattern::parse("**")]).len(), 1);
    }
}
