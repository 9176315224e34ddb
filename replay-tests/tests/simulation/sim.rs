//! A run: one thread, one clock, and chance decides who goes next.

use crate::auditor::Audit;
use crate::company::{Company, Desk, Message, STRANGER};
use crate::course::{Course, Fault};
use crate::leases::{evaluator, open_evaluations, open_runs, trainer};
use crate::people::person;
use crate::process::Me;
use crate::workers::{checker, scanner, uncompared};
use attestune_ledger::rules::counts;
use attestune_ledger::rules::policy::in_force;
use attestune_ledger::state::{Checks, Examples, Reader as _, Scans, View};
use attestune_proto::v1::{Kind, Role, Signer};
use attestune_replay_tests::{World, checker as check_tool, detector, ingested, sign};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

type Running = Pin<Box<dyn Future<Output = ()>>>;
type Job = fn(Me) -> Running;

/// Who works here. The first are workers; each actor is one process.
const STAFF: [(&str, Job); 18] = [
    ("scanner", |me| Box::pin(scanner(me))),
    ("scanner-2", |me| Box::pin(scanner(me))),
    ("checker", |me| Box::pin(checker(me))),
    ("checker-2", |me| Box::pin(checker(me))),
    ("trainer", |me| Box::pin(trainer(me))),
    ("trainer-2", |me| Box::pin(trainer(me))),
    ("evaluator", |me| Box::pin(evaluator(me))),
    ("evaluator-2", |me| Box::pin(evaluator(me))),
    ("sten", |me| Box::pin(person(me, &[Role::Steward]))),
    ("stella", |me| Box::pin(person(me, &[Role::Steward, Role::Steward, Role::Reviewer]))),
    ("rita", |me| Box::pin(person(me, &[Role::Reviewer]))),
    ("rolf", |me| Box::pin(person(me, &[Role::Reviewer]))),
    ("ella", |me| Box::pin(person(me, &[Role::Engineer]))),
    ("alma", |me| Box::pin(person(me, &[Role::Approver, Role::Engineer]))),
    ("axel", |me| Box::pin(person(me, &[Role::Approver, Role::Approver, Role::Steward]))),
    ("anja", |me| Box::pin(person(me, &[Role::Approver]))),
    ("otto", |me| Box::pin(person(me, &[Role::Officer]))),
    ("ada", |me| Box::pin(person(me, &[Role::Admin]))),
];
const WORKERS: usize = 8;
/// Rounds after which all work must be done once nothing goes wrong any more.
const ROUNDS_MAX: u32 = 4000;

/// A run that went as it must.
pub struct Lived {
    /// The log and its fold.
    pub world: World,
    /// A line for each thing that happened.
    pub told: Vec<String>,
}

/// A run that did not.
#[derive(Debug)]
pub struct Failure {
    /// How it goes again.
    pub course: Course,
    /// The step after which it was seen; no shorter run of this course fails.
    pub step: u32,
    /// What is wrong.
    pub why: String,
    /// What happened up to there.
    pub told: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = &self.told[self.told.len().saturating_sub(40)..];
        write!(
            f,
            "seed {} fails after step {} (with {:?}): {}\n{}\nagain: {}",
            self.course.seed,
            self.step,
            self.course.faults,
            self.why,
            last.join("\n"),
            self.course.command()
        )
    }
}

/// Lives a course to its end.
pub fn live(course: &Course) -> Result<Lived, Box<Failure>> {
    let mut sim = Sim::begin(course);
    for step in 0..course.steps {
        sim.step().map_err(|why| sim.failure(course, step, why))?;
    }
    sim.settle().map_err(|why| sim.failure(course, course.steps, why))?;
    drop(sim.running);
    let company = Rc::into_inner(sim.company).expect("nobody runs any more").into_inner();
    Ok(Lived { world: company.world, told: company.told })
}

/// Leaves out each kind of fault without which the course fails still, and as many steps from its end as it can.
pub fn smaller(failure: Box<Failure>) -> Box<Failure> {
    let mut smallest = failure;
    let mut before = usize::MAX;
    while smallest.course.faults.len() < before {
        before = smallest.course.faults.len();
        for fault in smallest.course.faults.clone() {
            let mut course = smallest.course.clone();
            course.faults.remove(&fault);
            smallest = live(&course).err().unwrap_or(smallest);
        }
    }
    // What shows at the very end, when work must be done, may show after fewer steps, too.
    smallest.course.steps = smallest.course.steps.min(smallest.step + 1);
    loop {
        let course = Course { steps: smallest.course.steps / 2, ..smallest.course.clone() };
        match live(&course) {
            Err(failure) if course.steps > 0 => smallest = failure,
            _ => return smallest,
        }
    }
}

struct Sim {
    company: Rc<RefCell<Company>>,
    running: Vec<Running>,
}

impl Sim {
    fn begin(course: &Course) -> Self {
        let mut company = Company::found(course);
        let seen = company.world.next();
        let desk =
            |(name, _): &(&'static str, _)| Desk { name, seen, off_ms: 0, still_until_ms: 0, rests: BTreeMap::new() };
        company.desks = STAFF.iter().map(desk).collect();
        let company = Rc::new(RefCell::new(company));
        let running = STAFF.iter().enumerate().map(|(number, (_, job))| job(Me::new(&company, number))).collect();
        Self { company, running }
    }

    fn failure(&self, course: &Course, step: u32, why: String) -> Box<Failure> {
        let told = self.company.borrow().told.clone();
        Box::new(Failure { course: course.clone(), step, why, told })
    }

    fn below(&self, end: usize) -> usize {
        self.company.borrow_mut().chance.below(end as u64) as usize
    }

    fn pass(&self, at_most_ms: usize) {
        let ms = self.below(at_most_ms) as u64;
        self.company.borrow_mut().now_ms += ms;
    }

    fn step(&mut self) -> Audit {
        self.pass(40);
        match self.below(1000) {
            0..550 => self.run(self.below(STAFF.len())),
            550..780 => self.follow(self.below(STAFF.len())),
            780..980 => return self.deliver(),
            980..985 => self.pass(4000),
            _ => self.trouble(),
        }
        Ok(())
    }

    /// A process goes on to where it next awaits something.
    fn run(&mut self, number: usize) {
        let company = self.company.borrow();
        let still = company.now_ms < company.desks[number].still_until_ms;
        drop(company);
        if !still {
            let ended = self.running[number].as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            assert!(!ended, "nobody ever leaves");
        }
    }

    /// A process's replica folds some of what it has not folded.
    fn follow(&self, number: usize) {
        let entries = if self.below(2) == 0 { u64::MAX } else { 1 + self.below(6) as u64 };
        let mut company = self.company.borrow_mut();
        let end = company.world.next();
        let desk = &mut company.desks[number];
        desk.seen = desk.seen.saturating_add(entries).min(end);
    }

    /// Something that is under way arrives, or gets lost.
    fn deliver(&self) -> Audit {
        let mut company = self.company.borrow_mut();
        if company.under_way.is_empty() {
            return Ok(());
        }
        let any = company.course.faults.contains(&Fault::Reorder);
        let count = company.under_way.len() as u64;
        let any = if any { company.chance.below(count) as usize } else { 0 };
        // Producers overtake each other, but none itself.
        let from = company.under_way[any].from;
        let place = company.under_way.iter().position(|message| message.from == from).expect("it is there");
        let message = company.under_way[place].clone();
        if company.fails(Fault::Loss, 8) {
            company.under_way.remove(place);
            company.tell(from, "what it sent is lost");
            return Ok(());
        }
        if company.fails(Fault::Twice, 6) {
            company.tell(from, "what it sent will come again");
        } else {
            company.under_way.remove(place);
        }
        company.append(&message.value)
    }

    fn trouble(&mut self) {
        let kinds = [Fault::Crash, Fault::Pause, Fault::Leap, Fault::Jump, Fault::Stranger];
        let (fault, number) = (kinds[self.below(kinds.len())], self.below(STAFF.len()));
        if !self.company.borrow_mut().fails(fault, 1) {
            return;
        }
        match fault {
            Fault::Crash => self.crash(number),
            Fault::Pause => {
                let ms = self.below(120_000) as u64;
                let mut company = self.company.borrow_mut();
                company.desks[number].still_until_ms = company.now_ms + ms;
                company.tell(number, &format!("stands still for {ms} ms"));
            }
            Fault::Leap => self.pass(90_000),
            Fault::Jump => {
                let off_ms = self.below(240_000) as i64 - 120_000;
                let mut company = self.company.borrow_mut();
                if company.chance.one_in(3) {
                    company.log_off_ms = off_ms;
                    company.tell(STRANGER, &format!("the log's clock is {off_ms} ms off"));
                } else {
                    company.desks[number].off_ms = off_ms / 20;
                    company.tell(number, &format!("its clock is {} ms off", off_ms / 20));
                }
            }
            _ => self.stranger(),
        }
    }

    /// All that a process knew is gone; of what it sent, some.
    fn crash(&mut self, number: usize) {
        {
            let mut company = self.company.borrow_mut();
            company.desks[number].rests.clear();
            company.desks[number].still_until_ms = 0;
            company.tell(number, "crashes, and starts again");
            if company.chance.one_in(2) {
                company.under_way.retain(|message| message.from != number);
            }
        }
        self.running[number] = STAFF[number].1(Me::new(&self.company, number));
    }

    /// Somebody who is nobody of ours, or has got hold of what was sent, writes into the log.
    fn stranger(&self) {
        let mut company = self.company.borrow_mut();
        let company = &mut *company;
        let place = company.chance.below(company.world.next()) as usize;
        let mut value = company.world.log[place].1.clone();
        match company.chance.below(6) {
            0 => {}
            1 => value = company.chance.bytes(80),
            2 => {
                let bit = company.chance.below(value.len() as u64 * 8) as usize;
                value[bit / 8] ^= 1 << (bit % 8);
            }
            3 => value.truncate(company.chance.below(value.len() as u64) as usize),
            4 => value = sign(&company.world.draft("sten", ingested("triage", 2)), &["rita"]),
            _ => {
                let mut event = company.world.draft("sten", ingested("triage", 2));
                event.ledger = company.chance.bytes(32);
                value = sign(&event, &["sten"]);
            }
        }
        company.under_way.push(Message { from: STRANGER, value });
        company.tell(STRANGER, "writes into the log");
    }

    /// Nothing goes wrong any more: all work comes to its end.
    fn settle(&mut self) -> Audit {
        {
            let mut company = self.company.borrow_mut();
            company.course.faults.clear();
            company.log_off_ms = 0;
            company.desks.iter_mut().for_each(|desk| (desk.off_ms, desk.still_until_ms) = (0, 0));
            let last = company.world.next() - 1;
            let time_ms = company.world.state.fold_time(last).map_err(|error| error.to_string())?.unwrap_or_default();
            company.now_ms = company.now_ms.max(time_ms);
            company.told.push("nothing goes wrong any more".into());
        }
        for _ in 0..ROUNDS_MAX {
            while !self.company.borrow().under_way.is_empty() {
                self.deliver()?;
            }
            if self.open_work().is_empty() {
                return self.company.borrow_mut().second_catches_up();
            }
            for number in 0..WORKERS {
                let end = self.company.borrow().world.next();
                self.company.borrow_mut().desks[number].seen = end;
                self.run(number);
            }
            self.pass(500);
        }
        Err(format!("work is never done: {}", self.open_work()))
    }

    /// What waits for a worker.
    fn open_work(&self) -> String {
        let company = self.company.borrow();
        let view = View::new(&company.world.state, company.world.next());
        let policy = in_force(&view);
        let stands = |by: Option<Signer>, kind| by.is_some_and(|by| counts(&view, &policy, &by, kind));
        let (scan, check) = (detector(), check_tool());
        let mut open = Vec::new();
        for batch in view.scan(&Examples::all()) {
            let by = view.get(&Scans::key(batch.position, &scan.name, &scan.version)).and_then(|row| row.signer);
            if !stands(by, Kind::ExamplesScanned) {
                open.push(format!("a scan of batch {}", batch.position));
            }
            let by = view.get(&Checks::key(batch.position, &check.name, &check.version)).and_then(|row| row.signer);
            if !stands(by, Kind::ExamplesChecked) {
                open.push(format!("a check of batch {}", batch.position));
            }
        }
        open.extend(open_runs(&view).iter().map(|run| format!("run {}", run.position)));
        open.extend(open_evaluations(&view).iter().map(|evaluation| format!("evaluation {}", evaluation.position)));
        open.extend(uncompared(&view).iter().map(|pair| format!("leakage of {pair:?}")));
        open.join(", ")
    }
}
