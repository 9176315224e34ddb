//! Which logs and witnesses are trusted, and how many of them (C2SP tlog-policy).
//!
//! ```text
//! log VKEY [URL]
//! witness NAME VKEY [URL]
//! group NAME all|any|NUMBER NAME...
//! quorum NAME|none
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::{Checkpoint, Cosignature, NoteError, VerifierKey, WitnessKey};

/// Most lines of each sort.
const LINES_MAX: usize = 256;

/// A trust policy, read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogPolicy {
    /// The logs, any of which may have signed.
    pub logs: Vec<Log>,
    /// The witnesses, in the order of the file.
    pub witnesses: Vec<Witness>,
    groups: BTreeMap<String, (usize, Vec<String>)>,
    quorum: Option<String>,
}

/// A log of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its key, whose name is its checkpoints' origin.
    pub key: VerifierKey,
    /// Where it is served.
    pub url: Option<String>,
}

/// A witness of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// What the policy calls it.
    pub name: String,
    /// Its key.
    pub key: WitnessKey,
    /// Where checkpoints are submitted to it.
    pub url: Option<String>,
}

/// Why a text is no policy: the line, counted from 1, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the trust policy: {what}")]
pub struct PolicyError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// A checkpoint that a policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The key that signed it.
    pub log: VerifierKey,
    /// Which witnesses of the policy have cosigned it.
    pub cosigned: Vec<(String, Cosignature)>,
}

/// Why a policy does not accept a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// None of its logs signed it.
    #[error("none of the trust policy's {logs} logs has signed the checkpoint of {origin}")]
    Log {
        /// Logs in the policy.
        logs: usize,
        /// What the checkpoint says it is of.
        origin: String,
    },
    /// A signature is wrong, or the note is none.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    /// Too few of its witnesses cosigned it.
    #[error(
        "the trust policy's quorum {quorum} is not met: of its witnesses {} cosigned the checkpoint; its other \
             signatures are by {}",
        list(cosigned),
        list(strangers)
    )]
    Quorum {
        /// The quorum's name.
        quorum: String,
        /// Witnesses of the policy that did.
        cosigned: Vec<String>,
        /// Names of signature lines that are neither the log's nor a witness's of the policy.
        strangers: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl TlogPolicy {
    /// Judges a checkpoint: signed by one of the logs, cosigned by a quorum.
    ///
    /// # Errors
    /// If not.
    pub fn judge(&self, note: &str) -> Result<Judged, Missing> {
        let origin = note.lines().next().unwrap_or_default();
        let log = self.logs.iter().find(|log| log.key.name().as_str() == origin);
        let log = log.ok_or(Missing::Log { logs: self.logs.len(), origin: origin.chars().take(200).collect() })?;
        self.judge_under(note, &log.key)
    }

    /// The same where the log's key is known from elsewhere.
    ///
    /// # Errors
    /// If not.
    pub fn judge_under(&self, note: &str, key: &VerifierKey) -> Result<Judged, Missing> {
        let checkpoint = Checkpoint::open(note, key)?;
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            if let Some(cosignature) = witness.key.find(note)? {
                cosigned.push((witness.name.clone(), cosignature));
            }
        }
        let by: BTreeSet<&str> = cosigned.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(quorum) = &self.quorum
            && !self.holds(quorum, &by)
        {
            let known = |name: &str| {
                name == key.name().as_str() || self.witnesses.iter().any(|w| w.key.name().as_str() == name)
            };
            let (_, lines) = super::note::split(note)?;
            let strangers = lines.iter().map(|line| line.name).filter(|name| !known(name)).map(str::to_owned);
            return Err(Missing::Quorum {
                quorum: quorum.clone(),
                cosigned: by.into_iter().map(str::to_owned).collect(),
                strangers: strangers.collect(),
            });
        }
        Ok(Judged { checkpoint, log: key.clone(), cosigned })
    }

    fn holds(&self, name: &str, by: &BTreeSet<&str>) -> bool {
        match self.groups.get(name) {
            // Groups name what stands before them, so that this ends.
            Some((threshold, members)) => members.iter().filter(|m| self.holds(m, by)).count() >= *threshold,
            None => by.contains(name),
        }
    }

    fn defined(&self, name: &str) -> bool {
        name == "none" || self.groups.contains_key(name) || self.witnesses.iter().any(|w| w.name == name)
    }

    fn read_line(&mut self, words: &[&str], members: &mut BTreeSet<String>) -> Result<(), String> {
        match words {
            ["log", key, url @ ..] if url.len() <= 1 => {
                let key: VerifierKey = key.parse().map_err(|error: NoteError| error.to_string())?;
                if self.logs.iter().any(|log| log.key.key() == key.key()) {
                    return Err("the log's key stands twice".into());
                }
                self.logs.push(Log { key, url: url.first().map(|url| (*url).to_owned()) });
            }
            ["witness", name, key, url @ ..] if url.len() <= 1 => {
                let key: WitnessKey = key.parse().map_err(|error: NoteError| error.to_string())?;
                if self.witnesses.iter().any(|witness| witness.key.key() == key.key()) {
                    return Err("the witness's key stands twice".into());
                }
                self.new_name(name)?;
                let url = url.first().map(|url| (*url).to_owned());
                self.witnesses.push(Witness { name: (*name).to_owned(), key, url });
            }
            ["group", name, threshold, of @ ..] if !of.is_empty() => {
                self.new_name(name)?;
                for member in of {
                    if *member == "none" || !self.defined(member) {
                        return Err(format!("{member} is not defined above"));
                    }
                    if !members.insert((*member).to_owned()) {
                        return Err(format!("{member} is a member already"));
                    }
                }
                let threshold = match *threshold {
                    "all" => of.len(),
                    "any" => 1,
                    number => super::checkpoint::parse_decimal(number)
                        .and_then(|number| usize::try_from(number).ok())
                        .filter(|number| (1..=of.len()).contains(number))
                        .ok_or("the threshold is neither all, any, nor a number from 1 to that of the members")?,
                };
                let of = of.iter().map(|member| (*member).to_owned()).collect();
                self.groups.insert((*name).to_owned(), (threshold, of));
            }
            _ => return Err("it is neither log, witness, group nor quorum, or has too few or too many words".into()),
        }
        let lines = self.logs.len().max(self.witnesses.len()).max(self.groups.len());
        if lines > LINES_MAX { Err(format!("more than {LINES_MAX} of one sort")) } else { Ok(()) }
    }

    fn new_name(&self, name: &str) -> Result<(), String> {
        if self.defined(name) { Err(format!("{name} is defined already")) } else { Ok(()) }
    }
}

impl FromStr for TlogPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self { logs: Vec::new(), witnesses: Vec::new(), groups: BTreeMap::new(), quorum: None };
        let (mut members, mut quorum) = (BTreeSet::new(), None);
        let mut last = 0;
        for (line, text) in (1..).zip(text.split('\n')) {
            last = line;
            let bad = |what: String| PolicyError { line, what };
            if text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
                return Err(bad("it holds a control character".into()));
            }
            let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["quorum", name] if quorum.is_some() => return Err(bad(format!("a second quorum, {name}"))),
                ["quorum", name] if policy.defined(name) => quorum = Some((*name).to_owned()),
                ["quorum", name] => return Err(bad(format!("{name} is not defined above"))),
                words => policy.read_line(words, &mut members).map_err(bad)?,
            }
        }
        let quorum = quorum
            .ok_or(PolicyError { line: last, what: "it has no quorum line; `quorum none` asks for none".into() })?;
        policy.quorum = Some(quorum).filter(|name| name != "none");
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Hash, cosign};
    use super::*;
    use ed25519_dalek::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn witness(seed: u8) -> WitnessKey {
        WitnessKey::new(format!("w{seed}.example").parse().unwrap(), key(seed).verifying_key()).unwrap()
    }

    fn log() -> VerifierKey {
        VerifierKey::new("example.com/log".parse().unwrap(), key(100).verifying_key()).unwrap()
    }

    /// The example of C2SP tlog-policy, with keys.
    fn example() -> String {
        let witnesses: String = (1..=6)
            .map(|n| format!("witness {}{} {}\n", if n < 4 { "X" } else { "Y" }, (n - 1) % 3 + 1, witness(n)))
            .collect();
        format!(
            "# of two organisations\nlog {}\n\n{witnesses}group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 \
             Y3\n\tgroup  X-and-Y all X-witnesses Y-witnesses \nquorum X-and-Y\n",
            log()
        )
    }

    fn note(cosigners: &[u8]) -> String {
        let checkpoint = Checkpoint { origin: log().name().clone(), size: 3, root: Hash([1; 32]) };
        let mut note = checkpoint.sign(&key(100));
        for seed in cosigners {
            note += &cosign(&note, witness(*seed).name(), &key(*seed), 7).unwrap();
        }
        note
    }

    #[test]
    fn the_specifications_example_asks_for_two_of_one_and_one_of_the_other() {
        let policy: TlogPolicy = example().parse().unwrap();
        for (cosigners, holds) in [
            (&[1, 2, 4][..], true),
            (&[1, 3, 6], true),
            (&[1, 2], false),
            (&[1, 4, 5], false),
            (&[], false),
            (&[1, 2, 3, 4, 5, 6], true),
        ] {
            assert_eq!(policy.judge(&note(cosigners)).is_ok(), holds, "{cosigners:?}");
        }
        let judged = policy.judge(&note(&[1, 2, 4, 9])).unwrap();
        assert_eq!(judged.cosigned.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["X1", "X2", "Y1"]);
        let error = policy.judge(&note(&[1, 9])).unwrap_err().to_string();
        assert!(error.contains("X-and-Y is not met") && error.contains("by w9.example"), "{error}");
    }

    #[test]
    fn another_log_and_a_wrong_cosignature_are_told() {
        let policy: TlogPolicy = format!("log {}\nwitness w {}\nquorum none\n", log(), witness(1)).parse().unwrap();
        assert!(policy.judge(&note(&[])).is_ok());
        let other = note(&[]).replace("example.com/log", "example.com/other");
        assert!(matches!(policy.judge(&other), Err(Missing::Log { .. })));
        let mut wrong = note(&[1]);
        let at = wrong.trim_end().len() - 5;
        let letter = if &wrong[at..=at] == "A" { "B" } else { "A" };
        wrong.replace_range(at..=at, letter);
        assert!(matches!(policy.judge(&wrong), Err(Missing::Note(_))));
    }

    #[test]
    fn what_is_no_policy_is_told_with_its_line() {
        let w = |n: u8| format!("witness w{n} {}\n", witness(n));
        for (text, line) in [
            (String::new(), 1),
            ("quorum none\nquorum none\n".into(), 2),
            ("quorum w1\n".into(), 1),
            (format!("{}{}quorum none\n", w(1), w(1)), 2),
            (format!("{}witness other {}\nquorum none\n", w(1), witness(1)), 2),
            (format!("log {}\nlog {}\nquorum none\n", log(), log()), 2),
            (format!("{}group g 2 w1\nquorum g\n", w(1)), 2),
            (format!("{}group g 01 w1\nquorum g\n", w(1)), 2),
            (format!("{}group g all w1\ngroup h all w1\nquorum g\n", w(1)), 3),
            (format!("{}group g all g\nquorum g\n", w(1)), 2),
            (format!("{}group g all none\nquorum g\n", w(1)), 2),
            ("witness none x\nquorum none\n".into(), 1),
            ("hello\nquorum none\n".into(), 1),
            ("quorum none\n\u{1}\n".into(), 2),
        ] {
            assert_eq!(text.parse::<TlogPolicy>().unwrap_err().line, line, "{text}");
        }
    }
}
