//! An etcd of the test's own, in a directory of its own, on ports that were free.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rakt_etcd::Etcd;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// One or several members, which are one etcd.
pub(crate) struct Servers {
    dir: TempDir,
    members: Vec<Member>,
    token: String,
    more: Vec<String>,
    scheme: &'static str,
}

struct Member {
    client: u16,
    peer: u16,
    process: Option<Child>,
}

impl Servers {
    /// Starts so many members, and waits until they answer.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, "http", |_| Vec::new())
    }

    /// The same with more options, which may name files in the directory that they get.
    pub(crate) fn start_with(
        count: usize,
        scheme: &'static str,
        more: impl FnOnce(&Path) -> Vec<String>,
    ) -> Self {
        let there = Command::new("etcd").arg("--version").output();
        assert!(
            there.is_ok_and(|there| there.status.success()),
            "there is no program `etcd`: on Debian it is in the package etcd-server"
        );
        let dir = tempfile::tempdir().expect("there is room for a directory");
        let more = more(dir.path());
        // All at once, so that they differ.
        let listeners: Vec<_> = (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
        let mut ports = listeners.into_iter().map(|listener| {
            listener.and_then(|listener| listener.local_addr()).expect("a port is free").port()
        });
        let mut port = || ports.next().expect("there are two for each");
        let members =
            (0..count).map(|_| Member { client: port(), peer: port(), process: None }).collect();
        let mut servers = Self { dir, members, token: "first".into(), more, scheme };
        for n in 0..count {
            servers.spawn(n);
        }
        for n in 0..count {
            servers.wait(n);
        }
        servers
    }

    pub(crate) fn address(&self, n: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.members[n].client).into()
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        let endpoint = |member: &Member| format!("{}://127.0.0.1:{}", self.scheme, member.client);
        self.members.iter().map(endpoint).collect()
    }

    pub(crate) fn register(&self) -> Etcd {
        Etcd::at(self.endpoints())
    }

    fn spawn(&mut self, n: usize) {
        let peer = |member: &Member| format!("http://127.0.0.1:{}", member.peer);
        let all: Vec<_> =
            self.members.iter().enumerate().map(|(n, of)| format!("m{n}={}", peer(of))).collect();
        let member = &self.members[n];
        let client = format!("{}://127.0.0.1:{}", self.scheme, member.client);
        let path = self.dir.path().join(format!("log{n}"));
        let log = std::fs::File::options().create(true).append(true).open(path);
        let process = Command::new("etcd")
            .current_dir(self.dir.path())
            .args(["--name", &format!("m{n}"), "--data-dir", &format!("data{n}")])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer(member)])
            .args(["--initial-advertise-peer-urls", &peer(member)])
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-token", &self.token])
            .args(["--logger", "zap"])
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("there is room for a log"))
            .spawn()
            .expect("etcd runs");
        self.members[n].process = Some(process);
    }

    /// Waits until the member is well, starting it again if it has ended: somebody may have had its port.
    fn wait(&mut self, n: usize) {
        let start = Instant::now();
        loop {
            let process = self.members[n].process.as_mut().expect("it was started");
            if process.try_wait().expect("it is a child").is_some() {
                self.spawn(n);
            }
            if self.is_well(n) {
                return;
            }
            assert!(start.elapsed() < LIMIT, "{}", self.log(n));
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether it has a leader, or takes connections where it cannot be asked without TLS.
    fn is_well(&self, n: usize) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address(n)) else { return false };
        if self.scheme != "http" {
            return true;
        }
        let asked =
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let answered = asked.and_then(|()| stream.read_to_string(&mut answer));
        answered.is_ok() && answer.starts_with("HTTP/1.1 200")
    }

    fn log(&self, n: usize) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("log{n}"))).unwrap_or_default()
    }

    pub(crate) fn kill(&mut self, n: usize) {
        let Some(mut process) = self.members[n].process.take() else { return };
        process.kill().expect("it is a child");
        process.wait().expect("it was killed");
    }

    pub(crate) fn run(&mut self, n: usize) {
        self.spawn(n);
        self.wait(n);
    }

    /// Has it begin with nothing, as the cluster of that token.
    pub(crate) fn forget(&mut self, token: &str) {
        self.kill(0);
        std::fs::remove_dir_all(self.dir.path().join("data0")).expect("it was there");
        self.token = token.into();
        self.run(0);
    }

    fn signal(&self, n: usize, signal: &str) {
        let process = self.members[n].process.as_ref().expect("it runs");
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    pub(crate) fn freeze(&self, n: usize) {
        self.signal(n, "-STOP");
    }

    pub(crate) fn thaw(&self, n: usize) {
        self.signal(n, "-CONT");
    }

    /// Asks its gateway, with JSON: what is not of the register.
    pub(crate) fn post(&self, n: usize, path: &str, body: &str, token: &str) -> String {
        let mut stream = TcpStream::connect(self.address(n)).expect("it runs");
        let len = body.len();
        let token = match token {
            "" => String::new(),
            token => format!("Authorization: {token}\r\n"),
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n{token}Content-Length: {len}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    }

    /// The member that leads.
    pub(crate) fn leader(&self) -> usize {
        let start = Instant::now();
        let field = |answer: &str, name: &str| {
            let (_, rest) = answer.split_once(&format!("\"{name}\":\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        loop {
            for n in 0..self.members.len() {
                let state = self.post(n, "/v3/maintenance/status", "{}", "");
                let leader = field(&state, "leader");
                if leader.is_some() && leader == field(&state, "member_id") {
                    return n;
                }
            }
            assert!(start.elapsed() < LIMIT, "there is no leader");
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(process) = &mut member.process {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}
