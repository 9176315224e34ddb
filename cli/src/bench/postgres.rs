//! PostgreSQL beside us: a cluster of its own in a temporary folder, driven by its own `pgbench`.
//!
//! Defaults throughout: every insert is a transaction that is on disk (fsync, synchronous commit) before it is
//! answered. The table is a log's: a position and the bytes. Statements are prepared; the bytes travel with each.

use super::figure::Times;
use crate::wait;
use anyhow::Context as _;
use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

const PACKAGE: &str = "postgresql";
/// The account that the server runs under where we are root, which it refuses to be.
const ACCOUNT: &str = "postgres";

/// There is no PostgreSQL here that could be run.
#[derive(Debug, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct Unavailable {
    what: String,
    remedy: &'static str,
}

/// A running cluster.
pub struct Cluster {
    programs: PathBuf,
    as_root: bool,
    folder: tempfile::TempDir,
    /// Envelopes in hex.
    values: Vec<String>,
}

/// What `pgbench` measured.
pub struct Insert {
    /// Inserts a second.
    pub per_second: f64,
    /// The time of each.
    pub times: Times,
}

impl Cluster {
    /// Starts one with an empty table; the envelopes are what will be inserted, in turns.
    ///
    /// # Errors
    /// [`Unavailable`], if it is not installed or does not start.
    pub fn start(envelopes: &[Vec<u8>], install: bool) -> anyhow::Result<Self> {
        let programs = match programs() {
            Some(programs) => programs,
            None if install => installed()?,
            None => return Err(unavailable("PostgreSQL is not installed").into()),
        };
        let folder = super::replay::temporary_folder()?;
        let as_root = folder.path().metadata()?.uid() == 0;
        if as_root {
            run(Command::new("chown").arg(ACCOUNT).arg(folder.path()))?;
        }
        let values = envelopes.iter().map(hex::encode).collect();
        let cluster = Self { programs, as_root, folder, values };
        let data = cluster.data();
        let mut create = cluster.server_program("initdb");
        run(create.args(["--auth=trust", "--username", ACCOUNT, "--pgdata"]).arg(&data))?;
        let options = format!("-k {} -c listen_addresses=", cluster.folder.path().display());
        let mut start = cluster.server_program("pg_ctl");
        start.arg("--pgdata").arg(&data).arg("--log").arg(cluster.folder.path().join("server.log"));
        run(start.args(["--wait", "--options", &options, "start"]))?;
        cluster.create_table()?;
        Ok(cluster)
    }

    fn create_table(&self) -> anyhow::Result<()> {
        let mut psql = self.client_program("psql");
        let table = "CREATE TABLE log (position bigserial PRIMARY KEY, value bytea NOT NULL)";
        run(psql.args(["--no-psqlrc", "--quiet", "--command", table, ACCOUNT]))?;
        Ok(())
    }

    /// So many clients insert so many rows each, one after another.
    ///
    /// # Errors
    /// If `pgbench` fails, or says what we don't understand.
    pub fn insert(&self, clients: usize, rows: usize) -> anyhow::Result<Insert> {
        let folder = tempfile::tempdir()?;
        let mut pgbench = self.client_program("pgbench");
        pgbench.current_dir(folder.path()).args(["--no-vacuum", "--protocol=prepared", "--log", "--log-prefix=times"]);
        pgbench.args([format!("--client={clients}"), format!("--jobs={}", clients.min(2))]);
        pgbench.arg(format!("--transactions={rows}"));
        for (place, value) in self.values.iter().enumerate() {
            let script = folder.path().join(format!("{place}.sql"));
            std::fs::write(&script, format!("INSERT INTO log (value) VALUES (decode(:v{place}, 'hex'));\n"))?;
            pgbench.arg("--file").arg(script).arg(format!("--define=v{place}={value}"));
        }
        let output = run(pgbench.arg(ACCOUNT))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        let per_second = rate.with_context(|| format!("pgbench gave no rate: {said}"))?;
        let times = logged(folder.path())?;
        if times.len() != clients * rows {
            anyhow::bail!("pgbench timed {} of {} inserts", times.len(), clients * rows);
        }
        Ok(Insert { per_second, times })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn server_program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if self.as_root {
            let mut command = Command::new("runuser");
            command.args(["-u", ACCOUNT, "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }

    fn client_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("--host").arg(self.folder.path()).args(["--username", ACCOUNT]);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.server_program("pg_ctl");
        stop.arg("--pgdata").arg(self.data()).args(["--mode=immediate", "--wait", "stop"]);
        if let Err(error) = run(&mut stop) {
            tracing::warn!(%error, "the bench's PostgreSQL could not be stopped");
        }
    }
}

/// The folder of the programs: that of the newest version in Debian's place, else where `initdb` is found.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").exists() && programs.join("pgbench").exists())
        .collect();
    found.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|place| place.join("initdb").exists() && place.join("pgbench").exists())
    };
    found.pop().map(|(_, programs)| programs).or_else(on_path)
}

/// Installs it by apt.
fn installed() -> anyhow::Result<PathBuf> {
    let bar = wait::bar("installing PostgreSQL");
    let install = || run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", PACKAGE]));
    let outcome = install().or_else(|_| {
        run(Command::new("apt-get").arg("update"))?;
        install()
    });
    bar.finish_and_clear();
    match (outcome, programs()) {
        (Ok(_), Some(programs)) => Ok(programs),
        (Err(error), _) => Err(unavailable(&format!("PostgreSQL could not be installed: {error}")).into()),
        (Ok(_), None) => Err(unavailable("PostgreSQL was installed, but its programs are not to be found").into()),
    }
}

fn unavailable(what: &str) -> Unavailable {
    let remedy = "install it as root: apt-get install postgresql, or run `make bench`";
    Unavailable { what: what.into(), remedy }
}

fn run(command: &mut Command) -> Result<Output, Unavailable> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| unavailable(&format!("{name} cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it said nothing").to_owned();
    Err(Unavailable { what: format!("{name} ended with {}: {last}", output.status), remedy: "see what it says" })
}

/// The latencies of `pgbench`'s logs: the third field of each line, in microseconds.
fn logged(folder: &Path) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("times.") {
            continue;
        }
        for line in std::fs::read_to_string(entry.path())?.lines() {
            let time = line.split(' ').nth(2).and_then(|time| time.parse().ok());
            times.push(Duration::from_micros(time.with_context(|| format!("no time in pgbench's line: {line}"))?));
        }
    }
    Ok(times)
}
