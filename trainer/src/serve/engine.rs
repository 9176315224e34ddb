//! The thread that answers: admits requests, makes steps, hands out what comes of them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{
    Ask, AskError, Listener, ServedBase,
    network::Slot,
    sequence::{Going, Sequence},
};

/// How much an engine takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads to compute on.
    pub threads: usize,
    /// Answers written at a time.
    pub active_max: usize,
    /// Requests that may wait beside them.
    pub waiting_max: usize,
    /// Tokens of prompts that a step reads: how long answers under way may be held up by them.
    pub prompt_tokens_per_step: usize,
    /// Memory for the keys and values of all answers under way. Requests wait for it.
    pub cache_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            active_max: 256,
            waiting_max: 256,
            prompt_tokens_per_step: 256,
            cache_bytes_max: 2 << 30,
        }
    }
}

/// How busy an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Answers under way.
    pub active: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Tokens written since it started.
    pub written: u64,
}

/// A base model that answers, on a thread of its own. It ends when it is dropped; answers under way then break off.
pub struct Engine {
    base: Arc<ServedBase>,
    shared: Arc<Shared>,
    limits: Limits,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    active: AtomicUsize,
    written: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Sequence>,
    ended: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more requests; those that wait break off.
    fn end(&self) {
        let mut queue = self.queue();
        queue.ended = true;
        queue.waiting.clear();
        self.changed.notify_all();
    }
}

/// Ends the queue with the thread, also if that panics: nobody shall wait for an answer that can't come.
struct EndWithThread(Arc<Shared>);

impl Drop for EndWithThread {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Engine {
    /// Starts its threads.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn start(base: ServedBase, limits: Limits) -> std::io::Result<Self> {
        let (base, shared) = (Arc::new(base), Arc::new(Shared::default()));
        let pool = ThreadPoolBuilder::new().num_threads(limits.threads).thread_name(|i| format!("serve-{i}"));
        let pool = pool.build().map_err(std::io::Error::other)?;
        let worker = Worker { base: base.clone(), shared: shared.clone(), limits, pool };
        let ends = EndWithThread(shared.clone());
        let thread = std::thread::Builder::new().name("serve".into()).spawn(move || {
            worker.run();
            drop(ends);
        })?;
        Ok(Self { base, shared, limits, thread: Some(thread) })
    }

    /// The base model.
    pub fn base(&self) -> &ServedBase {
        &self.base
    }

    /// Takes a request; what comes of it the listener hears.
    ///
    /// # Errors
    /// If it can't be answered, or too many wait.
    pub fn ask(&self, ask: Ask, listener: Box<dyn Listener>) -> Result<(), AskError> {
        self.check(&ask)?;
        let mut queue = self.shared.queue();
        if queue.ended {
            return Err(AskError::Ended);
        }
        let waiting = queue.waiting.len();
        if waiting >= self.limits.waiting_max {
            return Err(AskError::Busy { waiting, retry_s: 1 + waiting as u64 / 64 });
        }
        queue.waiting.push_back(Sequence::new(ask, listener));
        self.shared.changed.notify_all();
        Ok(())
    }

    /// The longest prompt and answer together, in tokens.
    pub fn tokens_max(&self) -> usize {
        self.base.context().min(tokens_max(&self.base, &self.limits))
    }

    /// How busy it is.
    pub fn load(&self) -> Load {
        Load {
            active: self.shared.active.load(Ordering::Relaxed),
            waiting: self.shared.queue().waiting.len(),
            written: self.shared.written.load(Ordering::Relaxed),
        }
    }

    fn check(&self, ask: &Ask) -> Result<(), AskError> {
        let (prompt, answer, max) = (ask.prompt.len(), ask.answer_max, self.tokens_max());
        if prompt == 0 {
            return Err(AskError::Empty);
        }
        let vocabulary = self.base.config.vocab_size;
        if let Some(token) = ask.prompt.iter().find(|token| **token as usize >= vocabulary) {
            return Err(AskError::NoSuchToken { token: *token, vocabulary });
        }
        if prompt.saturating_add(answer) > max {
            return Err(AskError::TooLong { prompt, answer, max });
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Tokens whose keys and values fit into the memory that is there for them.
fn tokens_max(base: &ServedBase, limits: &Limits) -> usize {
    limits.cache_bytes_max / base.network.bytes_per_token().max(1)
}

struct Worker {
    base: Arc<ServedBase>,
    shared: Arc<Shared>,
    limits: Limits,
    pool: ThreadPool,
}

impl Worker {
    fn run(&self) {
        let mut active = Vec::new();
        while self.admit(&mut active) {
            if let Err(error) = self.step(&mut active) {
                tracing::error!(%error, "a step of the engine failed");
                active.drain(..).for_each(|sequence: Sequence| sequence.fail("the engine failed"));
            }
            self.shared.active.store(active.len(), Ordering::Relaxed);
        }
    }

    /// Takes in what fits, once there is something to do; answers false when it was told to end.
    fn admit(&self, active: &mut Vec<Sequence>) -> bool {
        active.retain(|sequence| !sequence.gone());
        let mut queue = self.shared.queue();
        while active.is_empty() && queue.waiting.is_empty() && !queue.ended {
            self.shared.active.store(0, Ordering::Relaxed);
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting.retain(|sequence| !sequence.gone());
        let tokens_max = tokens_max(&self.base, &self.limits);
        let mut taken: usize = active.iter().map(Sequence::room).sum();
        while let Some(next) = queue.waiting.front()
            && active.len() < self.limits.active_max
            && taken + next.room() <= tokens_max
        {
            taken += next.room();
            if let Some(mut sequence) = queue.waiting.pop_front() {
                sequence.admit(&self.base.network);
                active.push(sequence);
            }
        }
        self.shared.active.store(active.len(), Ordering::Relaxed);
        !queue.ended
    }

    /// One token of each answer, and some of the prompts.
    fn step(&self, active: &mut Vec<Sequence>) -> candle_core::Result<()> {
        let mut budget = self.limits.prompt_tokens_per_step;
        let counts: Vec<usize> = active
            .iter()
            .map(|sequence| {
                let count = sequence.next(budget);
                budget -= if sequence.reads() { count } else { 0 };
                count
            })
            .collect();
        let mut slots: Vec<Slot<'_>> = Vec::with_capacity(active.len());
        for (sequence, count) in active.iter_mut().zip(&counts).filter(|(_, count)| **count > 0) {
            slots.extend(sequence.slot(*count));
        }
        if slots.is_empty() {
            return Ok(());
        }
        let logits = self.pool.install(|| self.base.network.step(&mut slots))?;

        let (mut row, mut counts) = (0, counts.into_iter());
        active.retain_mut(|sequence| {
            let count = counts.next().unwrap_or(0);
            if count == 0 {
                return true;
            }
            let wrote = !sequence.reads();
            let rows: Vec<&[f32]> = (row..row + sequence.rows(count)).map(|row| logits.row(row)).collect();
            row += rows.len();
            self.shared.written.fetch_add(u64::from(wrote), Ordering::Relaxed);
            sequence.step(&self.base, count, &rows) == Going::On
        });
        Ok(())
    }
}
