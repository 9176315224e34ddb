//! Processes of a ledger in a folder, killed at random moments.

use crate::common::Ledger;
use crate::common::acknowledged::{Acknowledged, Observer};
use crate::common::life::{TRAINING, promotion};
use crate::common::process::{PATIENCE, Running};
use crate::{LEASES, ROWS, documents, moment, number_from, rows, seed};
use attestune_replay_tests::Chance;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// Kills in all; `ATTESTUNE_FAULTS_KILLS` sets another number.
const KILLS: usize = 50;

/// The three parts of a life in which processes are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Ingest,
    Training,
    Promotion,
}

/// An act of a life: a command, and the refusals that say on a repetition that it was done.
struct Act {
    args: Vec<String>,
    done_before: &'static [&'static str],
}

impl Act {
    /// The command without what differs from life to life.
    fn name(&self) -> String {
        let words = self.args.iter().take(2).filter(|arg| arg.bytes().all(|byte| byte.is_ascii_lowercase()));
        words.cloned().collect::<Vec<_>>().join(" ")
    }
}

fn act(args: &[&str], done_before: &'static [&'static str]) -> Act {
    Act { args: args.iter().map(|arg| (*arg).to_owned()).chain(["--json".to_owned()]).collect(), done_before }
}

/// Lives lived under fire.
struct Killer {
    ledger: Ledger,
    chance: Chance,
    acknowledged: Acknowledged,
    kills: BTreeMap<Phase, usize>,
    /// How long a command takes when it is left alone.
    takes: BTreeMap<String, Duration>,
}

impl Killer {
    /// Does the acts of one phase. One of them, and with `served` the server behind it, is killed at a random moment,
    /// then repeated; if it ended too early for that, the next one is aimed at. Answers the last act's answer.
    fn phase(&mut self, phase: Phase, served: bool, acts: &[Act]) -> serde_json::Value {
        let target = self.chance.below(acts.len() as u64) as usize;
        let mut armed = true;
        let mut up = served.then(|| Running::start(&self.ledger));
        let mut answer = serde_json::Value::Null;
        for (index, act) in acts.iter().enumerate() {
            let mut repeated = false;
            if armed && index >= target {
                let observer = served.then(|| Observer::follow(&self.ledger));
                let hit = self.aim(act, up.as_mut());
                if let Some(observer) = observer {
                    observer.end(&mut self.acknowledged);
                }
                match hit {
                    Some(output) => {
                        answer = self.accept(act, &output, false);
                        continue;
                    }
                    None => {
                        (armed, repeated) = (false, true);
                        *self.kills.entry(phase).or_default() += 1;
                        self.check();
                        up = up.map(|_| self.restart(phase));
                    }
                }
            }
            let began = Instant::now();
            let output = self.ledger.command(&strs(&act.args)).output().unwrap();
            if !repeated {
                self.takes.insert(act.name(), began.elapsed());
            }
            answer = self.accept(act, &output, repeated);
        }
        if let Some(up) = up {
            assert!(up.stop().success(), "up stops gracefully");
        }
        answer
    }

    /// Starts an act and kills it, or the server behind it, at a random moment; answers its output if it was faster.
    fn aim(&mut self, act: &Act, up: Option<&mut Running>) -> Option<Output> {
        let usual = self.takes.get(&act.name()).copied().unwrap_or(Duration::from_millis(400));
        let moment = moment(&mut self.chance, usual);
        let mut command = self.ledger.command(&strs(&act.args));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(moment);
        let Some(up) = up else {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            self.acknowledged.take_in(&output.stdout);
            return output.status.signal().is_none().then_some(output);
        };
        if child.try_wait().unwrap().is_some() {
            return Some(child.wait_with_output().unwrap());
        }
        assert!(up.kill(), "up runs until it is killed");
        // Whoever was being served learns that nobody answers, or had the answer already.
        let output = child.wait_with_output().unwrap();
        self.acknowledged.take_in(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || output.status.code() == Some(2), "{said}");
        assert!(output.status.success() || said.lines().count() >= 2, "what, and what to do: {said}");
        None
    }

    /// Starts the server again; now and then it is killed while it starts.
    fn restart(&mut self, phase: Phase) -> Running {
        if self.chance.one_in(3) {
            let mut up = Running::spawn(self.ledger.command(&["up", "--no-tcp"]));
            std::thread::sleep(moment(&mut self.chance, Duration::from_millis(300)));
            assert!(up.kill(), "up runs until it is killed");
            *self.kills.entry(phase).or_default() += 1;
            self.check();
        }
        Running::start(&self.ledger)
    }

    /// What an act answers: done, or, on a repetition, done before.
    fn accept(&mut self, act: &Act, output: &Output, repeated: bool) -> serde_json::Value {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        self.acknowledged.take_in(&output.stdout);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if !output.status.success() {
            let code = answer["refusal"]["code"].as_str().unwrap_or_default();
            let known = repeated && output.status.code() == Some(1) && act.done_before.contains(&code);
            assert!(known, "{:?}, repeated {repeated}: {said}", act.args);
        }
        answer
    }

    /// Reopened, the ledger holds all that was acknowledged, and its state is what a clean fold of its log gives.
    fn check(&mut self) {
        let replayed = self.ledger.json(&["replay"]);
        let entries = self.acknowledged.check(&self.ledger);
        assert_eq!(replayed["size"], entries);
    }

    /// A life: documents, dataset, version, production. Every third is served by a running `up`.
    fn live(&mut self, life: usize) {
        let collection = format!("life-{life}");
        let rows = self.ledger.file(&format!("{collection}.csv"), rows(&mut self.chance).as_bytes());
        let data = [
            act(&["ingest", &rows, "--collection", &collection, "--as", "stella"], &[]),
            act(&["derive", &collection, "--prompt", r"{text}\n", "--answer", "{intent}", "--as", "stella"], &[]),
            act(&["scan", "--wait"], &[]),
            act(&["dataset", "freeze", &collection, "--collection", &collection, "--as", "mina"], &[]),
        ];
        let served = |turn: usize| (life + turn).is_multiple_of(2);
        self.phase(Phase::Ingest, served(0), &data);

        let request = ["train", "request", "triage", "--dataset", &collection, "--steps-max", "40", "--wait"];
        let run = self.phase(Phase::Training, served(1), &[act(&[&request[..], &TRAINING].concat(), &[])]);
        let version = format!("triage@{}", run["version"]);
        let evaluation = ["eval", "request", &version, "--suite", "acceptance", "--as", "mina", "--wait"];
        self.ledger.ok(&evaluation);

        const DONE: &[&str] = &["promotion-open", "promotion-decided", "approved-before"];
        let promotion = promotion(&version).map(|args| act(&args, DONE));
        self.phase(Phase::Promotion, served(0), &promotion);
        let in_force = self.ledger.json(&["in-force", "triage"]);
        assert_eq!(in_force["version"], run["version"]);
        assert_eq!(in_force["approvals"].as_array().unwrap().len(), 2);
        assert_eq!(documents(&self.ledger, &collection), ROWS as u64, "nothing is missing, nothing is there twice");
    }
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
#[ignore = "long: make faults"]
fn nothing_acknowledged_is_lost_by_fifty_kills_in_ingest_training_and_promotion() {
    let kills = number_from("ATTESTUNE_FAULTS_KILLS").map_or(KILLS, |kills| kills as usize);
    let seed = seed();

    let ledger = Ledger::none();
    ledger.init(&LEASES);
    ledger.staff();
    ledger.equip();
    let (acknowledged, takes, kill_counts) = (Acknowledged::default(), BTreeMap::new(), BTreeMap::new());
    let mut killer = Killer { ledger, chance: Chance::new(seed), acknowledged, kills: kill_counts, takes };
    let mut life = 0;
    let enough = |killer: &Killer| {
        let each = |phase| killer.kills.get(&phase).is_some_and(|count| *count >= kills / 4);
        killer.kills.values().sum::<usize>() >= kills
            && [Phase::Ingest, Phase::Training, Phase::Promotion].into_iter().all(each)
    };
    while !enough(&killer) {
        life += 1;
        killer.live(life);
        let (counts, entries) = (&killer.kills, killer.acknowledged.len());
        eprintln!("life {life} ended in production; kills so far: {counts:?}; {entries} entries");
    }

    // Runs whose trainer was killed end, too, once their leases have run out.
    let ledger = killer.ledger;
    let up = Running::start(&ledger);
    let until = Instant::now() + PATIENCE;
    let open = |ledger: &Ledger| {
        let runs = ledger.json(&["registry", "runs"]);
        runs["runs"].as_array().unwrap().iter().filter(|run| run["status"] != "WORK_STATUS_COMPLETED").count()
    };
    while open(&ledger) > 0 {
        assert!(Instant::now() < until, "{} runs never end", open(&ledger));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(up.stop().success());

    let replayed = ledger.json(&["replay"]);
    let folded = ledger.json(&["doctor", "--drop-state"]);
    for root in ["entry_root", "verdict_root"] {
        assert_eq!(folded[root], replayed[root]);
    }
    assert!(killer.acknowledged.check(&ledger) == folded["size"].as_u64().unwrap());
    ledger.ok(&["doctor", "--deep"]);
    assert_eq!(ledger.json(&["verify"])["no_events"].as_array().unwrap().len(), 0);
    let promotions = ledger.json(&["registry", "promotions"]);
    let promoted = |promotion: &&serde_json::Value| promotion["status"] == "PROMOTION_STATUS_PROMOTED";
    assert_eq!(promotions["promotions"].as_array().unwrap().iter().filter(promoted).count(), 2 * life);
}

#[test]
#[ignore = "long: make faults"]
fn a_training_killed_after_it_had_reported_progress_is_trained_again_to_its_end() {
    let ledger = Ledger::none();
    ledger.init(&LEASES);
    ledger.staff();
    ledger.equip();
    let mut chance = Chance::new(1);
    let rows = ledger.file("rows.csv", rows(&mut chance).as_bytes());
    ledger.ok(&["ingest", &rows, "--collection", "c", "--as", "stella"]);
    ledger.ok(&["derive", "c", "--prompt", r"{text}\n", "--answer", "{intent}", "--as", "stella"]);
    ledger.ok(&["scan", "--wait"]);
    ledger.ok(&["dataset", "freeze", "c", "--collection", "c", "--as", "mina"]);
    let mut up = Running::start(&ledger);
    let request = ["train", "request", "triage", "--dataset", "c", "--epochs", "20"];
    ledger.ok(&[&request[..], &TRAINING].concat());
    let run = |ledger: &Ledger| ledger.json(&["registry", "runs"])["runs"][0].clone();
    let until = |holds: &dyn Fn(&serde_json::Value) -> bool| {
        let end = Instant::now() + 5 * PATIENCE;
        while !holds(&run(&ledger)) {
            assert!(Instant::now() < end, "{}", run(&ledger));
            std::thread::sleep(Duration::from_millis(300));
        }
    };
    // Two reports in, so that the next trainer's first one stands at an earlier step.
    let first = std::cell::Cell::new(0);
    until(&|run| {
        let step = run["step"].as_u64().unwrap();
        if first.get() == 0 {
            first.set(step)
        };
        step > first.get() && first.get() > 0
    });
    up.kill();
    let up = Running::start(&ledger);
    until(&|run| run["status"] == "WORK_STATUS_COMPLETED");
    assert!(up.stop().success());
}
