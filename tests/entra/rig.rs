//! A tenant in a folder, and the script run in it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// What the stand-in puts into every secret that it gives out.
const SECRET: &str = "S3c~ret";

/// `deploy/entra`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/entra")
}

/// How the script ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A tenant with nothing in it, and a folder where an administrator works.
pub struct Tenant {
    root: TempDir,
}

/// What a tenant holds, a list a kind of object. Keys and names that differ from run to run are
/// left out.
pub type Held = BTreeMap<&'static str, Vec<String>>;

impl Tenant {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for name in ["tenant", "work", "bin"] {
            fs::create_dir(root.path().join(name)).expect("a folder");
        }
        let az = Path::new(env!("CARGO_MANIFEST_DIR")).join("entra/az");
        symlink(az, root.path().join("bin/az")).expect("a link");
        // the script waits for what it has just made to be known; nothing here takes time
        let sleep = root.path().join("bin/sleep");
        fs::write(&sleep, "#!/bin/sh\n").expect("a file");
        fs::set_permissions(&sleep, fs::Permissions::from_mode(0o755)).expect("executable");
        Self { root }
    }

    /// Runs the script with these settings. Whatever becomes of it, no secret is shown and no call
    /// is made that the stand-in does not know.
    pub fn setup(&self, settings: &[(&str, &str)]) -> Ran {
        self.run(settings, r#"PATH="$0:$PATH" exec bash "$1""#)
    }

    /// As [`Self::setup`], with the script coming through a pipe.
    pub fn piped(&self, settings: &[(&str, &str)]) -> Ran {
        self.run(settings, r#"PATH="$0:$PATH"; cat "$1" | bash"#)
    }

    fn run(&self, settings: &[(&str, &str)], how: &str) -> Ran {
        let script = self.root.path().join("setup.sh");
        let text = fs::read_to_string(folder().join("setup.sh")).expect("the script");
        fs::write(&script, filled(&text, settings)).expect("a file");
        let output = Command::new("bash")
            .args(["-c", how])
            .args([&self.root.path().join("bin"), &script])
            .current_dir(self.work())
            .env("AZ_TENANT", self.root.path().join("tenant"))
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let ran = Ran {
            code: output.status.code().expect("it ends by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for said in [&ran.stdout, &ran.stderr] {
            assert!(!said.contains(SECRET) && !said.contains("PRIVATE KEY"), "{said}");
        }
        assert_eq!(self.read("unknown"), "", "{}", ran.stderr);
        ran
    }

    /// As [`Self::setup`], and it must succeed.
    pub fn set_up(&self, settings: &[(&str, &str)]) -> Ran {
        let ran = self.setup(settings);
        assert_eq!(ran.code, 0, "{settings:?}: {}", ran.stderr);
        ran
    }

    /// Where the administrator works, and the script leaves its files.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// From call `number` on, `az` fails; with `after`, that call takes effect first.
    pub fn stop_at(&self, number: usize, after: bool) {
        self.write("stop_at", &number.to_string());
        if after {
            self.write("stop_after", "");
        }
    }

    /// `az` works again, and its calls are counted from one.
    pub fn resume(&self) {
        for name in ["stop_at", "stop_after", "calls"] {
            let path = self.root.path().join("tenant").join(name);
            if path.exists() {
                fs::remove_file(path).expect("a file less");
            }
        }
    }

    /// The calls so far, or since [`Self::resume`].
    pub fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    /// What the tenant holds now.
    pub fn held(&self) -> Held {
        let column = |name, column: usize| {
            let of = |line: &str| line.split('\t').nth(column).unwrap_or(line).to_owned();
            (name, self.read(name).lines().map(of).collect::<Vec<_>>())
        };
        let whole = ["app", "principal", "permissions", "grants", "federated"];
        let mut held: Held = whole.into_iter().map(|name| column(name, 0)).collect();
        held.extend([column("secrets", 3), column("certificates", 2)]);
        held
    }

    /// The secrets that the tenant would let in.
    pub fn secrets(&self) -> Vec<String> {
        let of = |line: &str| line.split('\t').nth(2).expect("a value").to_owned();
        self.read("secrets").lines().map(of).collect()
    }

    /// Puts something into the tenant.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.root.path().join("tenant").join(name), text).expect("a file");
    }

    /// A file of the administrator, which nobody else may read.
    pub fn own_file(&self, name: &str) -> String {
        let path = self.work().join(name);
        let mode = fs::metadata(&path).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        fs::read_to_string(path).expect(name)
    }

    /// The names of the files that the script leaves with the administrator.
    pub fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.work()).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root.path().join("tenant").join(name)).unwrap_or_default()
    }
}

/// The script with its settings block filled in, as `NAME='value'` lines.
fn filled(script: &str, settings: &[(&str, &str)]) -> String {
    let mut lines: Vec<_> = script.lines().map(str::to_owned).collect();
    for (name, value) in settings {
        let start = format!("{name}='");
        let line = lines.iter_mut().find(|line| line.starts_with(&start));
        *line.unwrap_or_else(|| panic!("no setting {name}")) = format!("{start}{value}'");
    }
    lines.join("\n") + "\n"
}
