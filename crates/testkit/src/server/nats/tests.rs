//! The launcher against the real server.

use std::env;
use std::io::Read;
use std::net::TcpListener;
use std::process::Command;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;

use super::*;

async fn stream(server: &NatsServer) -> jetstream::stream::Stream {
    let client = async_nats::connect(server.url()).await.unwrap();
    let config = Config { name: "KEPT".into(), ..Config::default() };
    jetstream::new(client).get_or_create_stream(config).await.unwrap()
}

async fn publish(server: &NatsServer, text: &'static str) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::new(client);
    context.publish("KEPT", text.into()).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn messages_survive_a_stop_and_a_kill_on_the_same_port() {
    let mut server = NatsServer::start().await.unwrap();
    let url = server.url().to_owned();
    stream(&server).await;
    publish(&server, "before the stop").await;

    server.stop().await.unwrap();
    assert!(async_nats::connect(&url).await.is_err(), "still there after the stop");
    server.start_again().await.unwrap();
    publish(&server, "before the kill").await;
    server.kill().await.unwrap();
    server.start_again().await.unwrap();

    assert_eq!(server.url(), url);
    let stream = stream(&server).await;
    assert_eq!(stream.get_raw_message(1).await.unwrap().payload, "before the stop");
    assert_eq!(stream.get_raw_message(2).await.unwrap().payload, "before the kill");
}

#[tokio::test]
async fn starting_again_what_runs_does_nothing() {
    let mut server = NatsServer::start().await.unwrap();
    let id = server.id();
    server.start_again().await.unwrap();
    assert_eq!(server.id(), id);
}

#[tokio::test]
async fn a_config_closes_the_door_and_keeps_jetstream() {
    let config = "authorization { user: bridge, password: secret }";
    let server = NatsServer::with_config(config).await.unwrap();

    assert!(async_nats::connect(server.url()).await.is_err());
    let options =
        async_nats::ConnectOptions::with_user_and_password("bridge".into(), "secret".into());
    let client = options.connect(server.url()).await.unwrap();
    jetstream::new(client).query_account().await.unwrap();
}

#[tokio::test]
async fn a_wrong_config_is_shown_with_what_the_server_says() {
    let error = NatsServer::with_config("authorization {").await.unwrap_err().to_string();
    assert!(error.contains("ended") && error.contains("Parse error"), "{error}");
}

#[tokio::test]
async fn a_port_that_somebody_took_meanwhile_is_waited_for() {
    let mut server = NatsServer::start().await.unwrap();
    server.stop().await.unwrap();
    let thief = TcpListener::bind(("127.0.0.1", server.port.unwrap())).unwrap();

    let log = server.folder.path().join("log");
    let leave = async {
        while !fs::read_to_string(&log).unwrap_or_default().contains("address already in use") {
            child::look_again().await;
        }
        drop(thief);
    };
    let (started, ()) = tokio::join!(server.start_again(), leave);

    started.unwrap();
    async_nats::connect(server.url()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_folder() {
    let server = NatsServer::start().await.unwrap();
    let (id, folder) = (server.id().unwrap(), server.folder.path().to_owned());
    drop(server);
    assert!(!Path::new(&format!("/proc/{id}")).exists());
    assert!(!folder.exists());
}

/// Runs itself once more as the parent that crashes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_does_not_outlive_a_crashed_test() {
    const CRASH: &str = "TESTKIT_CRASH";
    const NAME: &str = "server::nats::tests::a_server_does_not_outlive_a_crashed_test";
    if env::var_os(CRASH).is_some() {
        let server = NatsServer::start().await.unwrap();
        println!("server={}=", server.id().unwrap());
        println!("folder={}=", server.folder.path().display());
        std::process::abort();
    }
    let mut parent = Command::new(env::current_exe().unwrap());
    parent.args(["--exact", NAME, "--nocapture"]).env(CRASH, "1");
    parent.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut parent = parent.spawn().unwrap();
    let mut printed = String::new();
    parent.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let said = |key: &str| printed.split_once(key).unwrap().1.split('=').next().unwrap().to_owned();

    assert!(!parent.wait().unwrap().success(), "it was to crash");
    let process = format!("/proc/{}", said("server="));
    let deadline = Instant::now() + READY_WITHIN;
    while Path::new(&process).exists() {
        assert!(Instant::now() < deadline, "{process} is still there");
        child::look_again().await;
    }
    fs::remove_dir_all(said("folder=")).unwrap();
}
