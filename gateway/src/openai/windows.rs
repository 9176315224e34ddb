//! What was answered, by windows: on the log a root over salted commitments to each request with its answer, and counts;
//! the texts in the vault where the policy keeps them.
//!
//! Of a version that is served the windows follow one another, empty where nobody asks: what is missing on the log was
//! lost, or no server was there.

use super::Serving;
use attestune_ledger::rules::policy;
use attestune_ledger::tree::{Frontier, leaf_hash};
use attestune_proto::v1::{CategoryResult, Policy, Quantiles, WindowObserved, event::Body};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The length of a window where the policy names none.
const WINDOW: Duration = Duration::from_secs(3600);
/// Texts of one pack.
const PACK_TEXTS: usize = 512;
/// Bytes of texts that are held before they are sealed.
const PACK_BYTES: usize = 4 << 20;
/// Packs of one window; what comes then begins the next.
const PACKS_MAX: usize = 60;
/// Metrics of one window, at most.
const METRICS_MAX: usize = 64;
/// Windows that wait for the log, at most.
const WAITING_MAX: usize = 256;

/// One request that was answered.
#[derive(Debug)]
pub struct Answered {
    pub model: String,
    pub version: u32,
    /// Request and answer as JSON.
    pub text: Vec<u8>,
    /// Whether it failed by the server's fault.
    pub error: bool,
    pub prompt_tokens: u64,
    pub answer_tokens: u64,
    /// Microseconds to the first token, if there was one, and to the end.
    pub first_token_us: Option<u64>,
    pub latency_us: u64,
}

/// What somebody reports of an answer that was given before.
#[derive(Debug)]
pub struct Reported {
    pub model: String,
    pub version: u32,
    pub metric: String,
    pub good: bool,
    /// Whether a reviewer says so, and not an application.
    pub by_reviewer: bool,
}

/// Good ones and all, by metric.
type Counts = BTreeMap<String, (u32, u32)>;

/// The windows that are open, and those that wait for the log.
#[derive(Default)]
pub struct Windows {
    open: BTreeMap<(String, u32), Window>,
    /// The versions that this server serves: of each a window is open, whether somebody asks or not.
    served: BTreeSet<(String, u32)>,
    waiting: Vec<WindowObserved>,
    /// Where the last window of a version ended: the next begins no sooner.
    ended_ms: BTreeMap<(String, u32), u64>,
}

struct Window {
    begun: Instant,
    from_ms: u64,
    requests: u64,
    errors: u64,
    texts: Vec<Vec<u8>>,
    bytes: usize,
    commitments: Frontier,
    packs: Vec<Vec<u8>>,
    prompt_tokens: Vec<u64>,
    answer_tokens: Vec<u64>,
    first_token_us: Vec<u64>,
    latency_us: Vec<u64>,
    outcomes: Counts,
    reviewed: Counts,
}

impl Window {
    fn new(from_ms: u64) -> Self {
        Self {
            begun: Instant::now(),
            from_ms,
            requests: 0,
            errors: 0,
            texts: Vec::new(),
            bytes: 0,
            commitments: Frontier::new(),
            packs: Vec::new(),
            prompt_tokens: Vec::new(),
            answer_tokens: Vec::new(),
            first_token_us: Vec::new(),
            latency_us: Vec::new(),
            outcomes: Counts::new(),
            reviewed: Counts::new(),
        }
    }

    fn add(&mut self, answered: Answered) {
        self.requests += 1;
        self.errors += u64::from(answered.error);
        self.bytes += answered.text.len();
        self.texts.push(answered.text);
        self.prompt_tokens.push(answered.prompt_tokens);
        self.answer_tokens.push(answered.answer_tokens);
        self.first_token_us.extend(answered.first_token_us);
        self.latency_us.push(answered.latency_us);
    }

    /// Counts what was reported; false where that would be one metric too many.
    fn count(&mut self, reported: Reported) -> bool {
        let counts = if reported.by_reviewer { &mut self.reviewed } else { &mut self.outcomes };
        if counts.len() >= METRICS_MAX && !counts.contains_key(&reported.metric) {
            return false;
        }
        add(counts, reported.metric, (u32::from(reported.good), 1));
        true
    }

    fn is_full(&self) -> bool {
        self.texts.len() >= PACK_TEXTS || self.bytes >= PACK_BYTES
    }

    /// Whether nobody asked and nobody reported.
    fn is_empty(&self) -> bool {
        self.requests == 0 && self.outcomes.is_empty() && self.reviewed.is_empty()
    }
}

fn add(counts: &mut Counts, metric: String, (good, all): (u32, u32)) {
    let sums = counts.entry(metric).or_default();
    *sums = (sums.0.saturating_add(good), sums.1.saturating_add(all));
}

impl Windows {
    fn of(&mut self, model: &str, version: u32) -> &mut Window {
        let name = (model.to_owned(), version);
        let last = self.ended_ms.get(&name).copied().unwrap_or(0);
        self.open.entry(name).or_insert_with(|| Window::new(super::now_ms().max(last)))
    }

    /// Notes what this server serves: of each of these versions a window is open from now on.
    pub(super) fn serve(&mut self, served: BTreeSet<(String, u32)>) {
        for (model, version) in &served {
            self.of(model, *version);
        }
        self.served = served;
    }

    /// The windows that are to be sealed: whose time is over, or that hold much; all of them at the end.
    fn due(&self, length: Duration, all: bool) -> Vec<(String, u32)> {
        let is_due =
            |name: &(String, u32), window: &Window| all || window.is_full() || self.is_over(name, window, length);
        self.open.iter().filter(|(name, window)| is_due(name, window)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether a window's time is over: it is as long or holds as much as it may, or it is empty and its version is no
    /// longer served.
    fn is_over(&self, name: &(String, u32), window: &Window, length: Duration) -> bool {
        let idle = window.is_empty() && !self.served.contains(name);
        idle || window.packs.len() >= PACKS_MAX || window.begun.elapsed() >= length
    }

    /// When a window ends that began at `from_ms`: where the next begins, which may hold requests already that came while
    /// this one was sealed. Of a version that is served the next begins here, unless the server ends.
    fn end(&mut self, name: &(String, u32), from_ms: u64, goes_on: bool) -> u64 {
        let next_ms = self.open.get(name).map_or_else(super::now_ms, |next| next.from_ms);
        let to_ms = next_ms.max(from_ms + 1);
        if let Some(next) = self.open.get_mut(name) {
            next.from_ms = to_ms;
        } else if goes_on && self.served.contains(name) {
            self.open.insert(name.clone(), Window::new(to_ms));
        }
        self.ended_ms.insert(name.clone(), to_ms);
        to_ms
    }
}

impl Serving {
    /// Takes a request that was answered into its window.
    pub(super) fn note(&self, answered: Answered) {
        self.windows().of(&answered.model, answered.version).add(answered);
    }

    /// Takes what was reported of an answer into the window that is open now; false where that would be one metric too
    /// many.
    pub(super) fn note_outcome(&self, reported: Reported) -> bool {
        self.windows().of(&reported.model, reported.version).count(reported)
    }

    /// Seals what is held, and puts windows on the log whose time is over; all of them at the end. Blocks.
    pub(super) fn close_windows(&self, all: bool) {
        let policy = self.policy();
        let length = policy.watch.map_or(WINDOW, |watch| Duration::from_millis(watch.window_ms));
        let due = self.windows().due(length, all);
        for name in due {
            let Some(mut window) = self.windows().open.remove(&name) else { continue };
            if let Err(error) = self.seal(&mut window, &policy) {
                tracing::warn!(%error, "requests could not be sealed; it is tried again");
                self.put_back(name, window);
                continue;
            }
            let over = all || self.windows().is_over(&name, &window, length);
            if !over {
                self.put_back(name, window);
                continue;
            }
            let mut windows = self.windows();
            let to_ms = windows.end(&name, window.from_ms, !all);
            windows.waiting.push(window.observed(name, to_ms, &self.server));
            if windows.waiting.len() > WAITING_MAX {
                tracing::error!("the log was out of reach for too long: a window of requests is lost");
                windows.waiting.remove(0);
            }
        }
        self.append_windows();
    }

    /// A window that is not over goes on, with what came meanwhile.
    fn put_back(&self, name: (String, u32), mut window: Window) {
        let mut windows = self.windows();
        if let Some(later) = windows.open.remove(&name) {
            window.requests += later.requests;
            window.errors += later.errors;
            window.bytes += later.bytes;
            window.texts.extend(later.texts);
            window.prompt_tokens.extend(later.prompt_tokens);
            window.answer_tokens.extend(later.answer_tokens);
            window.first_token_us.extend(later.first_token_us);
            window.latency_us.extend(later.latency_us);
            later.outcomes.into_iter().for_each(|(metric, sums)| add(&mut window.outcomes, metric, sums));
            later.reviewed.into_iter().for_each(|(metric, sums)| add(&mut window.reviewed, metric, sums));
        }
        windows.open.insert(name, window);
    }

    /// Commits to the texts that are held, in packs of the vault where the policy keeps them.
    fn seal(&self, window: &mut Window, policy: &Policy) -> Result<(), String> {
        if policy.request_retention_ms == 0 {
            for text in window.texts.drain(..) {
                let mut salt = [0; 32];
                getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
                let commitment = Sha256::new().chain_update(salt).chain_update(&text).finalize();
                window.commitments.push(leaf_hash(&[&commitment]));
            }
        }
        while !window.texts.is_empty() {
            let count = window.texts.len().min(PACK_TEXTS);
            let sealed = self.runtime.block_on(self.vault.seal(&window.texts[..count])).map_err(|e| e.to_string())?;
            sealed.items.iter().for_each(|item| window.commitments.push(leaf_hash(&[&item.commitment])));
            window.packs.push(sealed.pack.to_vec());
            window.texts.drain(..count);
        }
        window.bytes = 0;
        Ok(())
    }

    fn append_windows(&self) {
        loop {
            let Some(next) = self.windows().waiting.first().cloned() else { return };
            let (model, version) = (next.model.clone(), next.version);
            match self.act(Body::WindowObserved(next)) {
                Ok(position) => tracing::debug!(model, version, position, "a window of requests is on the log"),
                Err(super::ActError::Refused(why)) => {
                    tracing::error!(model, version, why, "a window of requests was refused");
                }
                Err(super::ActError::Failed(why)) => {
                    tracing::warn!(model, version, why, "a window of requests is not on the log yet");
                    return;
                }
            }
            self.windows().waiting.remove(0);
        }
    }

    fn policy(&self) -> Policy {
        let store = self.replica.view();
        policy::in_force(&store.view()).as_ref().clone()
    }
}

impl Window {
    fn observed(self, (model, version): (String, u32), to_ms: u64, server: &str) -> WindowObserved {
        WindowObserved {
            model,
            version,
            from_ms: self.from_ms,
            to_ms,
            server: server.to_owned(),
            requests: self.requests,
            requests_root: self.commitments.root().0.to_vec(),
            packs: self.packs,
            errors: self.errors,
            prompt_tokens: quantiles(self.prompt_tokens),
            answer_tokens: quantiles(self.answer_tokens),
            first_token_us: quantiles(self.first_token_us),
            latency_us: quantiles(self.latency_us),
            reviewed: results(self.reviewed),
            outcomes: results(self.outcomes),
            ..WindowObserved::default()
        }
    }
}

/// Ascending by metric.
fn results(counts: Counts) -> Vec<CategoryResult> {
    let result = |(category, (passed, cases))| CategoryResult { category, passed, cases };
    counts.into_iter().map(result).collect()
}

/// The distribution of some numbers; nothing of none. A quantile is the least number that so large a share does not
/// exceed.
fn quantiles(mut numbers: Vec<u64>) -> Option<Quantiles> {
    numbers.sort_unstable();
    let max = *numbers.last()?;
    let at = |percent: usize| numbers[(numbers.len() * percent).div_ceil(100).saturating_sub(1)];
    Some(Quantiles {
        count: numbers.len() as u64,
        sum: numbers.iter().fold(0, |sum: u64, number| sum.saturating_add(*number)),
        p50: at(50),
        p90: at(90),
        p99: at(99),
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_by_metric_and_by_who_says_so() {
        let mut window = Window::new(1);
        let mut report = |metric: &str, good, by_reviewer| {
            let (model, metric) = ("triage".to_owned(), metric.to_owned());
            window.count(Reported { model, version: 2, metric, good, by_reviewer })
        };
        for (metric, good, by_reviewer) in
            [("resolved", true, false), ("resolved", false, false), ("accuracy", true, true), ("accuracy", true, false)]
        {
            assert!(report(metric, good, by_reviewer));
        }
        let many = (2..METRICS_MAX).map(|number| format!("m{number}"));
        assert!(many.into_iter().all(|metric| report(&metric, true, false)));
        assert!(!report("one-too-many", true, false) && report("resolved", true, false));
        let observed = window.observed(("triage".into(), 2), 9, "one");
        let of = |category: &str, passed, cases| CategoryResult { category: category.into(), passed, cases };
        assert_eq!(observed.reviewed, [of("accuracy", 1, 1)]);
        assert_eq!(observed.outcomes.len(), METRICS_MAX);
        assert!(
            observed.outcomes.contains(&of("resolved", 2, 3)) && observed.outcomes.is_sorted_by_key(|o| &o.category)
        );
        assert_eq!(observed.requests, 0, "an outcome is no request");
    }

    fn triage() -> (String, u32) {
        ("triage".into(), 2)
    }

    #[test]
    fn a_version_that_is_served_has_windows_one_after_another_though_nobody_asks() {
        let hour = Duration::from_secs(3600);
        let mut windows = Windows::default();
        windows.serve([triage()].into());
        assert!(windows.due(hour, false).is_empty(), "one in so long");
        assert_eq!(windows.due(Duration::ZERO, false), [triage()]);

        let first = windows.open.remove(&triage()).unwrap();
        let to_ms = windows.end(&triage(), first.from_ms, true);
        assert!(to_ms > first.from_ms);
        assert_eq!(windows.open[&triage()].from_ms, to_ms, "no moment is left out");
        let observed = first.observed(triage(), to_ms, "one");
        assert_eq!((observed.requests, observed.latency_us), (0, None));
        assert_eq!(observed.requests_root, Frontier::new().root().0);

        windows.serve(BTreeSet::new());
        assert_eq!(windows.due(hour, false), [triage()], "it is served no more");
        let last = windows.open.remove(&triage()).unwrap();
        windows.end(&triage(), last.from_ms, true);
        assert!(windows.open.is_empty());

        windows.serve([triage()].into());
        let last = windows.open.remove(&triage()).unwrap();
        windows.end(&triage(), last.from_ms, false);
        assert!(windows.open.is_empty(), "the server ends");
    }

    #[test]
    fn a_window_that_somebody_asked_in_outlives_its_version() {
        let mut windows = Windows::default();
        windows.of("triage", 2).requests = 1;
        assert!(windows.due(Duration::from_secs(3600), false).is_empty());
        windows.serve([triage()].into());
        assert_eq!(windows.open[&triage()].requests, 1, "it is the same window");
    }

    #[test]
    fn a_window_ends_where_the_next_began_while_it_was_sealed() {
        let mut windows = Windows::default();
        for (next_ms, to_ms) in [(25, 25), (10, 11), (7, 11)] {
            windows.open.insert(triage(), Window::new(next_ms));
            assert_eq!(windows.end(&triage(), 10, true), to_ms);
            assert_eq!(windows.open[&triage()].from_ms, to_ms, "they don't overlap");
        }
    }

    #[test]
    fn quantiles_are_numbers_that_occurred() {
        let of = |numbers: &[u64]| quantiles(numbers.to_vec());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some(Quantiles { count: 1, sum: 7, p50: 7, p90: 7, p99: 7, max: 7 }));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), Some(Quantiles { count: 100, sum: 5050, p50: 50, p90: 90, p99: 99, max: 100 }));
    }
}
