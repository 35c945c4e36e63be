//! The built program, run to its end.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// How it ended, and what it said.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs it in a folder.
pub fn mailbridge(folder: &Path, arguments: &[&str]) -> Ran {
    run(command(folder, arguments))
}

/// Runs it with one variable more.
pub fn with_variable(folder: &Path, arguments: &[&str], name: &str, value: &str) -> Ran {
    let mut command = command(folder, arguments);
    command.env(name, value);
    run(command)
}

/// Runs it with one variable more, and a text on its standard input.
pub fn piped(folder: &Path, arguments: &[&str], (name, value): (&str, &str), text: &str) -> Ran {
    let mut command = command(folder, arguments);
    command.env(name, value).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("its standard input");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    ran(child.wait_with_output().expect("the program runs"))
}

/// Runs it until so many lines of its standard output are as wanted, and then asks it to stop.
pub fn until(folder: &Path, arguments: &[&str], wanted: fn(&str) -> bool, count: usize) -> Ran {
    let mut command = command(folder, arguments);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its standard output")).lines();
    let (mut seen, mut stdout) = (0, String::new());
    while seen < count {
        let line = lines.next().expect("it goes on").expect("UTF-8");
        seen += usize::from(wanted(&line));
        stdout = stdout + &line + "\n";
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    for line in lines {
        stdout = stdout + &line.expect("UTF-8") + "\n";
    }
    let Ran { code, stderr, .. } = ran(child.wait_with_output().expect("it ends"));
    Ran { code, stdout, stderr }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let program = mailbridge_testkit::program::binary().expect("the program is built");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> Ran {
    ran(command.output().expect("the program runs"))
}

fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran {
        code: output.status.code().expect("it ends by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is in the repository").to_path_buf()
}

/// All configurations in `configs/`, as paths below the repository's root.
pub fn examples() -> Vec<String> {
    let folder = fs::read_dir(repository().join("configs")).expect("configs/");
    let names =
        folder.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let formats = [".yaml", ".yml", ".toml", ".json"];
    let mut examples: Vec<_> = names
        .filter(|name| formats.iter().any(|format| name.ends_with(format)))
        .map(|name| format!("configs/{name}"))
        .collect();
    examples.sort();
    examples
}
