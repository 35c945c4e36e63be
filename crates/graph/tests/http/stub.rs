//! An HTTP/1.1 server on loopback whose every answer is a closure's. Speaks raw TCP, because a test
//! must be able to cut a line and to say nothing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub bytes: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// `POST sendMail`, `POST messages`, `POST send`, `GET messages`, …
    pub fn what(&self) -> String {
        let path = self.target.split('?').next().unwrap();
        let last = path.rsplit('/').next().unwrap();
        let last = if last.starts_with("draft") { "draft" } else { last };
        let last = if last.starts_with("session") { "session" } else { last };
        format!("{} {last}", self.method)
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// A success that announces more than it says before the line is closed.
    Torn(String),
    /// Close the line without a word.
    Cut,
    /// Say nothing, ever.
    Silence,
    /// Say it after a while.
    Late(Duration, Box<Reply>),
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::json(status, "")
    }

    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    /// Graph's error body with one code.
    pub fn error(status: u16, code: &str) -> Self {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"secret words"}}}}"#);
        Self::json(status, body).with("request-id", "0b5f3a0e-aaaa-4000-8000-00000000abcd")
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

type Script = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A running server; ends when dropped.
pub struct Stub {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Told at each request.
    moved: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Stub {
    pub async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let script: Script = Arc::new(script);
        let mut tasks = JoinSet::new();
        let moved: Arc<Notify> = Arc::default();
        let log = Log(Arc::clone(&asked), Arc::clone(&moved));
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                lines.spawn(serve(stream, log.clone(), Arc::clone(&script)));
            }
        });
        Self { address, asked, moved, tasks }
    }

    /// Closes everything; nothing listens any more when this returns.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    /// Waits until it is so; the test's own time limit is the tool's.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            self.moved.notified().await;
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The same without the token requests, in short.
    pub fn graph_asked(&self) -> Vec<String> {
        let graph = |asked: &&Asked| !asked.target.ends_with("/token");
        self.asked().iter().filter(graph).map(Asked::what).collect()
    }

    pub fn tokens_asked(&self) -> usize {
        self.asked().iter().filter(|asked| asked.target.ends_with("/oauth2/v2.0/token")).count()
    }
}

#[derive(Clone)]
struct Log(Arc<Mutex<Vec<Asked>>>, Arc<Notify>);

async fn serve(stream: TcpStream, log: Log, script: Script) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read(&mut stream).await {
        log.0.lock().unwrap().push(asked.clone());
        log.1.notify_one();
        let mut reply = script(&asked);
        while let Reply::Late(after, then) = reply {
            tokio::time::sleep(after).await;
            reply = *then;
        }
        match reply {
            Reply::Late(..) | Reply::Cut => return,
            Reply::Torn(body) => {
                let length = body.len() + 1;
                let text = format!("HTTP/1.1 200 X\r\ncontent-length: {length}\r\n\r\n{body}");
                stream.write_all(text.as_bytes()).await.ok();
                return;
            }
            Reply::Silence => std::future::pending().await,
            Reply::Answer { status, headers, body } => {
                let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    text.extend([name, ": ", &value, "\r\n"]);
                }
                text.push_str("\r\n");
                text.push_str(&body);
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let mut start = lines.first()?.split(' ');
    let (method, target) = (start.next()?.to_owned(), start.next()?.to_owned());
    let header = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let headers: Vec<_> = lines.iter().skip(1).filter_map(header).collect();
    let mut asked = Asked { method, target, headers, body: String::new(), bytes: Vec::new() };
    let length = asked.header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    asked.body = String::from_utf8_lossy(&body).into_owned();
    asked.bytes = body;
    Some(asked)
}
