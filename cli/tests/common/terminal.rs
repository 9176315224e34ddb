//! A command under a terminal of 80 columns and 24 rows, by `script`, and what stands on its screen.

use super::Ledger;
use super::process::PATIENCE;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command whose keys are pressed here.
pub struct Terminal {
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
    reading: JoinHandle<()>,
}

impl Terminal {
    /// Runs a line of words for `attestune`.
    pub fn run(ledger: &Ledger, line: &str) -> Self {
        // The size is set from inside, as `script` itself has no terminal here.
        let line = format!("stty rows 24 cols 80; exec {} {line}", env!("CARGO_BIN_EXE_attestune"));
        let mut command = Command::new("script");
        command.args(["-qefc", &line, "/dev/null"]).env("ATTESTUNE_FOLDER", ledger.folder()).env("TERM", "xterm");
        for name in ["ATTESTUNE_SERVER", "ATTESTUNE_ACTOR", "ATTESTUNE_LOG", "NO_COLOR"] {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let screen = Arc::<Mutex<vt100::Parser>>::default();
        let (mut stdout, seen) = (child.stdout.take().unwrap(), screen.clone());
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                seen.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { child, screen, reading }
    }

    /// What stands on the screen.
    pub fn shown(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows something.
    pub fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            assert!(Instant::now() < until, "`{text}` never came up; the screen shows:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).and_then(|()| stdin.flush()).unwrap();
    }

    /// Waits for the command's end, which must be a good one; answers what is left on the screen.
    pub fn ended(mut self) -> String {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end; the screen shows:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.reading.join().unwrap();
        let shown = self.screen.lock().unwrap().screen().contents();
        assert!(status.success(), "{status}: {shown}");
        shown
    }
}
