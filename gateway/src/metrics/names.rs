//! Every metric by name. `docs/metrics.md` is generated from this list, and the dashboard may ask for nothing else.

/// What kind of number it is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Type {
    /// It only grows, until the process starts again.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by upper bound, with a sum.
    Histogram,
}

impl Type {
    /// As Prometheus calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Copy, Clone)]
pub struct Metric {
    /// Its name; the unit stands last.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Type,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $meaning:literal;)+) => {
        $(pub(super) const $constant: &str = $name;)+

        /// All metrics.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: Type::$kind, labels: &[$($label),*], meaning: $meaning },)+
        ];
    };
}

metrics! {
    BUILD_INFO = "attestune_build_info", Gauge, ["version"], "Always 1; the label says which build this is.";
    READY = "attestune_ready", Gauge, [], "Whether `/readyz` says yes (1) or no (0).";
    LOG_REACHABLE = "attestune_log_reachable", Gauge, [], "Whether the log told its end within 2 seconds (1) or not (0).";
    LOG_END = "attestune_log_end", Gauge, [], "Entries on the log. Absent while the log can't be reached.";
    LAG = "attestune_log_lag_entries", Gauge, [],
        "Entries on the log that are not folded yet. Absent while the log can't be reached.";
    POSITION = "attestune_fold_position", Gauge, [], "Entries folded. Replicas at one position have one state.";
    FOLD_TIME = "attestune_fold_time_seconds", Gauge, [], "The fold's time, seconds since 1970: when its last entry came.";
    FOLD_FAILED = "attestune_fold_failed", Gauge, [], "Whether the fold has stopped (1); the server's log says why.";
    ENTRIES = "attestune_fold_entries_total", Counter, ["verdict"],
        "Entries folded since the ledger began, by verdict: accepted, refused, duplicate, garbage. Its rate is the fold's.";
    REFUSALS = "attestune_refusals_total", Counter, ["code"],
        "Refusals folded by this process, by code; docs/refusals.md says what each means.";
    VERIFIED = "attestune_verified_entries_total", Counter, [],
        "Entries whose signatures this process has checked, at the door or from the log.";
    VERIFY_TIME = "attestune_verify_microseconds_total", Counter, [],
        "Time spent on that, added up over threads. Divided by the entries it is the time of one.";
    PUBLISHED = "attestune_published_position", Gauge, [],
        "Entries published to the topic of decided events, by whichever gateway, as this one last saw. With `--publish` only.";
    PUBLISH_LAG = "attestune_publish_lag_entries", Gauge, [], "Entries folded here that are not published yet.";
    PUBLISHING = "attestune_publishing", Gauge, [], "Whether this gateway publishes (1), or stands by or has failed to (0).";
    OPEN_WORK = "attestune_open_work", Gauge, ["work"],
        "What waits for workers: batches to scan and to check (counted up to 10000), training, evaluation, leakage.";
    UNREAD_WINDOWS = "attestune_unread_windows", Gauge, [], "Servers' windows that no monitor has read yet.";
    LEASES = "attestune_leases", Gauge, ["work", "holder"],
        "Runs and evaluations under a lease, by the worker that holds it; 50 holders at most, the rest is `other`.";
    WORK_PARTITIONS = "attestune_work_partitions", Gauge, [],
        "Partitions of the ledger's work topic that this worker holds. Absent where work is not shared.";
    VAULT = "attestune_vault_operations_total", Counter, ["operation", "outcome"],
        "What the vault was asked (seal, open, erase) and what came of it (ok, unknown, erased, corrupt, unavailable).";
    CALLS = "attestune_grpc_requests_total", Counter, ["service", "method", "code"],
        "gRPC calls that have ended, by method and status. A stream counts when it ends.";
    CALL_TIME = "attestune_grpc_request_seconds", Histogram, ["service", "method"],
        "How long gRPC calls took to their end, streams included.";
    ANSWERS = "attestune_openai_requests_total", Counter, ["endpoint", "status"],
        "Requests of OpenAI's API (chat, completion, models, and outcome, which is ours), by HTTP status. A stream counts when it begins.";
    ANSWER_TIME = "attestune_openai_request_seconds", Histogram, ["endpoint"],
        "How long such requests took: to the whole answer, or to the beginning of a stream.";
}
