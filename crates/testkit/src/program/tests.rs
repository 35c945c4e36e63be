//! The launcher against small shell programs: what it must see, and what it must not miss.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use super::*;

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Launch {
    Launch::new("sh").unwrap().args(["-c", script])
}

#[tokio::test]
async fn a_line_is_found_whether_it_has_come_or_is_still_to_come() {
    let launch = shell("echo ready >&2; while [ ! -e go ]; do sleep 0.01; done; echo done");
    let program = launch.start().unwrap();

    program.wait_for(|line| line == "ready", SOON).await.unwrap();
    fs::write(launch.folder().join("go"), "").unwrap();
    program.wait_for(|line| line == "done", SOON).await.unwrap();
    program.wait_for(|line| line == "ready", SOON).await.unwrap();

    let lines = program.lines();
    assert_eq!(lines[0], Line { from: Stream::Stderr, text: "ready".into() });
    assert_eq!(lines[1], Line { from: Stream::Stdout, text: "done".into() });
}

#[tokio::test]
async fn forgotten_lines_are_not_found() {
    let program = shell("echo red").start().unwrap();
    program.wait_for(|line| line == "red", SOON).await.unwrap();
    program.forget_lines();
    let error = program.wait_for(|line| line == "red", SOON).await.unwrap_err();
    assert!(error.to_string().contains("ended without the line"), "{error}");
}

#[tokio::test]
async fn a_program_that_ends_early_is_not_waited_for_and_its_last_words_are_shown() {
    let program = shell("echo 'no such file' >&2; exit 78").start().unwrap();
    let error = program.wait_for(|line| line == "ready", Duration::MAX).await.unwrap_err();
    assert!(error.to_string().contains("no such file"), "{error}");
}

#[tokio::test]
async fn a_line_that_does_not_come_is_given_up() {
    let program = shell("exec sleep 60").start().unwrap();
    let error = program.wait_for(|_| true, Duration::from_millis(20)).await.unwrap_err();
    assert!(error.to_string().contains("did not come in 20ms"), "{error}");
}

#[tokio::test]
async fn signals_arrive_and_the_status_says_how_it_ended() {
    let script = "trap 'echo term; exit 3' TERM; trap 'echo int; exit 4' INT; echo ready; \
                  while true; do sleep 0.01; done";
    for (signal, code, word) in [
        (Program::sigterm as fn(&mut Program) -> _, Some(3), Some("term")),
        (Program::sigint, Some(4), Some("int")),
        (Program::kill9, None, None),
    ] {
        let mut program = shell(script).start().unwrap();
        program.wait_for(|line| line == "ready", SOON).await.unwrap();
        signal(&mut program).unwrap();
        let status = program.wait_exit(SOON).await.unwrap();
        let killed = code.is_none().then_some(9);
        assert_eq!((status.code(), status.signal()), (code, killed));
        assert_eq!(program.lines().get(1).map(|line| line.text.as_str()), word);
    }
}

#[tokio::test]
async fn a_program_that_does_not_end_is_an_error_and_goes_with_its_launcher() {
    let mut program = shell("echo stuck; exec sleep 60").start().unwrap();
    program.wait_for(|line| line == "stuck", SOON).await.unwrap();
    let error = program.wait_exit(Duration::from_millis(20)).await.unwrap_err();
    assert!(error.to_string().contains("had not ended after 20ms"), "{error}");

    let id = program.id();
    drop(program);
    assert!(!Path::new(&format!("/proc/{id}")).exists());
}

#[tokio::test]
async fn arguments_config_and_environment_reach_the_program_each_time_it_is_started() {
    let launch = shell("echo \"$0 $WHO\"; cat \"$1\"")
        .args(["name"])
        .env("WHO", "me")
        .config("bus: here\n")
        .unwrap();
    for _ in 0..2 {
        let mut program = launch.start().unwrap();
        assert!(program.wait_exit(SOON).await.unwrap().success());
        let lines: Vec<String> = program.lines().into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["name me", "bus: here"]);
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let error = match Launch::new("/does/not/exist").unwrap().start() {
        Err(error) => error,
        // under `setpriv` it is that which starts, and says so
        Ok(program) => program.wait_for(|_| false, SOON).await.unwrap_err(),
    };
    assert!(error.to_string().contains("No such file"), "{error}");
}
