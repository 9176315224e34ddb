//! What may happen in a run.

use std::collections::BTreeSet;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process loses all but its key and its replica, and starts again.
    Crash,
    /// A process stands still for a while and then goes on as if nothing were.
    Pause,
    /// What was sent never gets onto the log.
    Loss,
    /// What was sent gets onto the log twice.
    Twice,
    /// What one producer sent later gets onto the log before what another sent.
    Reorder,
    /// Much time passes at once: leases run out.
    Leap,
    /// The log's clock, or that of a process, jumps.
    Jump,
    /// Somebody writes noise, bytes of before, damaged ones, or another ledger's.
    Stranger,
    /// People do what they may not.
    Mistake,
    /// Policies, roles and keys change, and the clock is corrected.
    Upheaval,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 10] = [
        Fault::Crash,
        Fault::Pause,
        Fault::Loss,
        Fault::Twice,
        Fault::Reorder,
        Fault::Leap,
        Fault::Jump,
        Fault::Stranger,
        Fault::Mistake,
        Fault::Upheaval,
    ];
}

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Course {
    /// Another seed is another run; the same course is the same run, byte for byte.
    pub seed: u64,
    /// Steps under faults.
    pub steps: u32,
    /// What goes wrong.
    pub faults: BTreeSet<Fault>,
    /// Trainers and evaluators report without a look at their lease.
    pub careless: bool,
    /// The ledger is broken: what it should refuse with this code it accepts.
    pub broken: Option<&'static str>,
}

impl Course {
    /// A run in which anything may go wrong.
    pub fn new(seed: u64, steps: u32) -> Self {
        Self { seed, steps, faults: BTreeSet::from(Fault::ALL), careless: false, broken: None }
    }

    /// How to run it again.
    pub fn command(&self) -> String {
        let off: Vec<String> =
            Fault::ALL.iter().filter(|f| !self.faults.contains(f)).map(|f| format!("{f:?}").to_lowercase()).collect();
        let off = if off.is_empty() { String::new() } else { format!("ATTESTUNE_SIM_OFF={} ", off.join(",")) };
        format!(
            "ATTESTUNE_SIM_SEED={} ATTESTUNE_SIM_STEPS={} {off}cargo test --workspace --test simulation many_short_lives",
            self.seed, self.steps
        )
    }
}
