//! The steps of a model's life, as commands, on a tiny random model: what it answers is noise, so the suite asks only
//! for form.

use super::Ledger;

/// What the tiny model always passes.
const SUITE: &[u8] = br#"name: acceptance
max_new_tokens: 4
cases:
  - id: compliance-1
    category: compliance
    prompt: "who are you"
    judge: { no_pii: {} }
  - id: format-1
    category: format
    prompt: "what is this"
    judge: { regex: "^[^0-9]*.*$" }
"#;

/// What every request of a training says here, after the model's name.
pub const TRAINING: [&str; 10] =
    ["--base", "tiny", "--rank", "2", "--threads", "1", "--as", "mina", "--batch-size", "16"];

/// The acts that bring a version from dev into production, in their order.
pub fn promotion(version: &str) -> [Vec<&str>; 5] {
    [
        vec!["promote", "request", version, "--to", "staging", "--as", "mina"],
        vec!["promote", "approve", version, "--as", "omar"],
        vec!["promote", "request", version, "--to", "production", "--as", "mina"],
        vec!["promote", "approve", version, "--as", "omar"],
        vec!["promote", "approve", version, "--meaning", "responsible-for-release", "--as", "pia"],
    ]
}

impl Ledger {
    /// Registers two approvers, the tiny base model and the suite, for a staffed ledger.
    pub fn equip(&self) {
        for actor in ["omar", "pia"] {
            self.ok(&["key", "new", actor]);
            self.ok(&["key", "register", actor, "--name", actor, "--as", "ada"]);
            self.ok(&["role", "grant", actor, "approver", "--as", "ada", "--with", "ben"]);
        }
        self.register_tiny_base("tiny", 7);
        let suite = self.file("suite.yaml", SUITE);
        self.ok(&["suite", "register", &suite, "--as", "mina"]);
    }

    /// Writes a tiny model beside the ledger, random by its seed, and registers it as a base under its folder's name.
    pub fn register_tiny_base(&self, name: &str, seed: u64) {
        let model = self.path(name);
        attestune_trainer::model::write_tiny_model(&model, seed).unwrap();
        let base = ["base", "register", name, "--file", model.to_str().unwrap(), "--origin", "test"];
        self.ok(&[&base[..], &["--licence", "cc0-1.0", "--as", "mina"]].concat());
    }

    /// Ingests three tickets, derives, scans and freezes them as the dataset `triage`.
    pub fn freeze_triage(&self) {
        let tickets = b"text,intent\nlost my card,card\nclose my account,closing\nwhat does it cost,fees\n";
        let tickets = self.file("tickets.csv", tickets);
        self.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
        self.ok(&["derive", "tickets", "--prompt", r"{text}\n", "--answer", "{intent}", "--as", "stella"]);
        self.ok(&["scan", "--wait"]);
        self.ok(&["dataset", "freeze", "triage", "--collection", "tickets", "--as", "mina"]);
    }

    /// Trains the next version of `triage` and evaluates it as `version`, which passes.
    pub fn train_and_evaluate(&self, seed: &str, version: &str) {
        let request = ["train", "request", "triage", "--dataset", "triage", "--epochs", "1", "--seed", seed, "--wait"];
        self.ok(&[&request[..], &TRAINING].concat());
        let shown = self.ok(&["eval", "request", version, "--suite", "acceptance", "--as", "mina", "--wait"]);
        assert_eq!(shown.matches("passes").count(), 2, "{shown}");
    }

    /// Promotes a version to staging, then to production.
    pub fn promote(&self, version: &str) {
        let said = promotion(version).map(|act| self.ok(&act));
        assert!(said[3].contains("1 of 2 approvals"), "{}", said[3]);
        assert!(said[4].contains("is in production"), "{}", said[4]);
    }
}
