//! Reads the template files of a pipeline: all of them, once, so that nothing an event says can lead
//! to another file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mailbridge_compose::TemplateFiles;

/// The endings of files that are templates; others in the folder are left alone.
const ENDINGS: [&str; 7] = ["txt", "html", "htm", "md", "csv", "j2", "jinja"];
/// Files in one folder at most.
const FILES_MAX: usize = 1000;
/// Bytes of one file at most.
const BYTES_MAX: u64 = 1024 * 1024;
/// Folders inside each other at most: links may make a circle.
const DEPTH_MAX: usize = 16;

/// Reads the templates below a folder.
///
/// Names that begin with a dot are left alone. A link is followed as long as it stays in the folder,
/// as those of a mounted configuration do.
///
/// # Errors
/// A sentence for a person.
pub fn read(folder: &Path) -> Result<TemplateFiles, String> {
    let shown = folder.display().to_string();
    let root = fs::canonicalize(folder)
        .map_err(|cause| format!("the folder `{shown}` cannot be read ({})", cause.kind()))?;
    if !root.is_dir() {
        return Err(format!("`{shown}` is a file; give the folder of the templates"));
    }
    let mut walk = Walk { root, texts: BTreeMap::new() };
    walk.folder(&walk.root.clone(), "", 0).map_err(|trouble| format!("`{shown}`: {trouble}"))?;
    Ok(TemplateFiles { folder: shown.trim_end_matches('/').to_owned(), texts: walk.texts })
}

struct Walk {
    root: PathBuf,
    texts: BTreeMap<String, String>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) -> Result<(), String> {
        let unreadable =
            |cause: std::io::Error| format!("{name} cannot be read ({})", cause.kind());
        if depth > DEPTH_MAX {
            return Err(format!("{name} has more than {DEPTH_MAX} folders inside each other"));
        }
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(own) = entry.file_name().into_string() else {
                return Err(format!("a name below {name}/ is not UTF-8"));
            };
            if own.starts_with('.') {
                continue;
            }
            let name = if name.is_empty() { own } else { format!("{name}/{own}") };
            self.entry(&entry.path(), name, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: String, depth: usize) -> Result<(), String> {
        let unreadable =
            |cause: std::io::Error| format!("{name} cannot be read ({})", cause.kind());
        let real = fs::canonicalize(path).map_err(unreadable)?;
        if !real.starts_with(&self.root) {
            return Err(format!("{name} is a link that leads out of the folder"));
        }
        let metadata = fs::metadata(&real).map_err(unreadable)?;
        if metadata.is_dir() {
            return self.folder(path, &name, depth + 1);
        }
        if !metadata.is_file() || !is_template(&name) {
            return Ok(());
        }
        if metadata.len() > BYTES_MAX {
            return Err(format!("{name} is over 1 MiB, which is more than a template"));
        }
        if self.texts.len() >= FILES_MAX {
            return Err(format!("there are more than {FILES_MAX} templates"));
        }
        let bytes = fs::read(&real).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
        self.texts.insert(name, text);
        Ok(())
    }
}

fn is_template(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn templates_are_read_with_their_paths_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("order.txt", "Grüße".as_bytes());
        write("parts/foot.HTML", b"<hr>");
        write("logo.png", &[0xff]);
        write(".hidden.txt", &[0xff]);
        write("..data/real.txt", b"mounted");
        symlink("..data/real.txt", folder.path().join("mounted.txt")).unwrap();
        let files = read(folder.path()).unwrap();
        let names: Vec<_> = files.texts.keys().map(String::as_str).collect();
        assert_eq!(names, ["mounted.txt", "order.txt", "parts/foot.HTML"]);
        assert_eq!(files.texts["mounted.txt"], "mounted");

        symlink("/etc/hostname", folder.path().join("out.txt")).unwrap();
        assert!(read(folder.path()).unwrap_err().contains("out of the folder"));
        fs::remove_file(folder.path().join("out.txt")).unwrap();
        symlink(".", folder.path().join("circle")).unwrap();
        assert!(read(folder.path()).unwrap_err().contains("inside each other"));
        fs::remove_file(folder.path().join("circle")).unwrap();
        write("latin.txt", &[0xe4]);
        assert!(read(folder.path()).unwrap_err().contains("latin.txt is not UTF-8"));
        let (none, file) = (folder.path().join("none"), folder.path().join("order.txt"));
        assert!(read(&none).unwrap_err().contains("cannot be read"));
        assert!(read(&file).unwrap_err().contains("is a file"));
    }
}
