//! A PostgreSQL server of the test's own, in a directory of its own, on a Unix socket.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rakt_postgres::tokio_postgres::{Client, Config, Error, NoTls};
use tempfile::TempDir;

/// Its superuser.
const USER: &str = "rakt";
/// Whose processes they are where the test runs as root, which the server refuses to be.
const UNPRIVILEGED: &str = "postgres";
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    programs: PathBuf,
    dir: TempDir,
    owner: Option<(u32, u32)>,
    process: Option<Child>,
}

impl Server {
    /// Makes a server with a database, and starts it.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("there is room for a directory");
        let owner = (id("-u", None) == 0)
            .then(|| (id("-u", Some(UNPRIVILEGED)), id("-g", Some(UNPRIVILEGED))));
        if let Some((user, group)) = owner {
            chown(dir.path(), Some(user), Some(group)).expect("root may give it away");
        }
        let mut server = Self { programs: programs(), dir, owner, process: None };
        let made = server
            .command("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", USER, "-D"])
            .arg(server.data())
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb runs").success(), "initdb failed");
        server.run().await;
        server
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts it, and waits until it is there.
    pub(crate) async fn run(&mut self) {
        let start = Instant::now();
        loop {
            let spawned = self.process.take().unwrap_or_else(|| self.spawn());
            let process = self.process.insert(spawned);
            // After a kill it ends at once as long as there is a process that used its memory.
            if process.try_wait().expect("it is a child").is_some() {
                self.process = None;
            }
            match self.connected().await {
                Ok(_) => return,
                Err(error) => assert!(start.elapsed() < LIMIT, "{error}\n{}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn spawn(&self) -> Child {
        let log =
            std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        let process = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.dir.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=40"])
            // The system outlives it, and with it what was written to a file.
            .args(["-c", "fsync=off"])
            .stderr(log.expect("there is room for a log"))
            .spawn();
        process.expect("postgres runs")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Kills it and all of its processes at once.
    pub(crate) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let of = process.id();
        let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
        process.kill().expect("it runs");
        for child in children.unwrap_or_default().split_whitespace() {
            let _ = Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status();
        }
        process.wait().expect("it was killed");
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.dir.path()).user(USER).dbname("postgres");
        config
    }

    /// Connects to it past any store.
    pub(crate) async fn client(&self) -> Client {
        self.connected().await.expect("it is there")
    }

    async fn connected(&self) -> Result<Client, Error> {
        let (client, connection) = self.config().connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// In order, so that it leaves nothing behind in the memory of the system.
impl Drop for Server {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else { return };
        let stopped = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
        if stopped.is_ok_and(|stopped| stopped.success()) {
            let _ = process.wait();
        } else {
            self.kill();
        }
    }
}

/// Where the newest version of it is: as Debian has it, or else on the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let with_server = versions
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("postgres").exists());
    let number = |programs: &Path| {
        let version = programs.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    };
    with_server.max_by_key(|programs| number(programs)).unwrap_or_default()
}

fn id(what: &str, user: Option<&str>) -> u32 {
    let output = Command::new("id").arg(what).args(user).output().expect("id runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("the package postgresql makes {user:?}"))
}
