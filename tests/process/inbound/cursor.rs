//! How far folders were read, shown and changed.

use mailbridge_testkit::program::Launch;

use super::world::{Plan, World};
use crate::{
    bus::{On, over_each_bus},
    rig::SOON,
};

over_each_bus!(it_is_listed_reset_and_set,);

/// Runs `mailbridge cursor` to its end: its exit code and its standard output.
async fn cursor(world: &World, what: &str, arguments: &[&str]) -> (i32, String) {
    let config = world.launch.folder().join("config.yaml");
    let launch = Launch::mailbridge().expect("the program").args(["cursor", what]);
    let mut program = launch.args([config]).args(arguments).start().expect("it starts");
    let ended = program.wait_exit(SOON).await.expect("it ends");
    let lines: Vec<_> = program.lines().into_iter().map(|line| line.text).collect();
    (ended.code().expect("it ends by itself"), lines.join("\n"))
}

async fn it_is_listed_reset_and_set(on: On) {
    let world = World::over(on, Plan::default()).await;
    for mailbox in 0..3 {
        world.arrive(mailbox, 10, "old");
    }
    let run = async |count: u64| {
        let mut program = world.start();
        world.published(count, SOON).await;
        world.assert_as_in_inboxes(3).await;
        program.sigterm().expect("it runs");
        assert!(program.wait_exit(SOON).await.expect("it stops").success());
    };
    let (code, told) = cursor(&world, "list", &[]).await;
    assert!(code == 0 && told.contains("nothing is kept yet"), "{told}");
    run(30).await;
    let (code, told) = cursor(&world, "list", &["--json"]).await;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, rows.len()), (0, 3), "{told}");
    assert!(rows.iter().all(|row| row["told"] == 10 && row["reading"] == "steady"), "{told}");

    let one = ["--mailbox", "M1@contoso.example"];
    let (code, told) = cursor(&world, "reset", &["--mailbox", "nobody@contoso.example"]).await;
    assert_eq!(code, 1, "{told}");
    assert_eq!(cursor(&world, "reset", &["--pipeline", "suport"]).await.0, 2);
    let (code, told) = cursor(&world, "reset", &[one[0], one[1], "--dry-run"]).await;
    assert!(code == 0 && told.contains("would be read anew"), "{told}");
    let (code, told) = cursor(&world, "reset", &one).await;
    assert!(code == 0 && told.contains("m1@contoso.example inbox: will be read anew"), "{told}");
    world.arrive(1, 2, "new");
    run(32).await;
    assert_eq!(world.publications(), 32, "what was told is still known");

    let (code, told) = cursor(&world, "reset", &[one[0], one[1], "--again"]).await;
    assert!(code == 0 && told.contains("warning"), "{told}");
    world.arrive(1, 1, "later");
    if on == On::Nats {
        run(33).await;
        assert_eq!(world.publications(), 33 + 12, "told again; the stream knows the ids");
    } else {
        let mut program = world.start();
        // a topic drops no repeats: its readers are told again
        world.published(33 + 12, SOON).await;
        program.sigterm().expect("it runs");
        assert!(program.wait_exit(SOON).await.expect("it stops").success());
        assert_eq!(world.stored().await, 33 + 12);
    }

    let (code, _) = cursor(&world, "set", &["--start", "2030-01-01T00:00:00Z"]).await;
    assert_eq!(code, 0);
    let (code, told) = cursor(&world, "set", &["--start", "yesterday"]).await;
    assert!(code == 2 && told.contains("expected now, all"), "{told}");
}
