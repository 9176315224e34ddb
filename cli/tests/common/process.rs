//! Processes that a test starts and ends, gently or not.

use super::Ledger;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running `attestune up`, gateway or worker, ended with the test if not before.
pub struct Running(Child);

impl Running {
    /// Starts an `up` on the folder's socket alone and waits until it answers.
    pub fn start(ledger: &Ledger) -> Self {
        Self::up(ledger, &["--no-tcp"])
    }

    /// Starts an `up` and waits until it answers on the folder's socket.
    pub fn up(ledger: &Ledger, args: &[&str]) -> Self {
        let mut up = Self::spawn(ledger.command(&[&["up"], args].concat()));
        up.wait_until_it_answers(ledger);
        up
    }

    /// Starts a command, without waiting.
    pub fn spawn(mut command: Command) -> Self {
        Self(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// The same with what it says in a file.
    pub fn noting(mut command: Command, said: &Path) -> Self {
        Self(command.stderr(File::create(said).unwrap()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Waits until somebody answers on the folder's socket.
    pub fn wait_until_it_answers(&mut self, ledger: &Ledger) {
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(ledger.folder().join("attestune.sock")).is_err() {
            assert!(Instant::now() < until && self.0.try_wait().unwrap().is_none(), "up comes up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop, and waits.
    pub fn stop(mut self) -> ExitStatus {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.0.wait().unwrap()
    }

    /// Asks it to stop; it ends in good order.
    pub fn terminate(self) {
        assert!(self.stop().success(), "it stops gracefully");
    }

    /// Ends it at once; answers false if it had ended before.
    pub fn kill(&mut self) -> bool {
        let alive = self.0.try_wait().unwrap().is_none();
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        alive
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
