//! Addresses of networks and network cards.

use std::net::Ipv6Addr;

use super::{Candidate, Judgement, phone::Plan};
use crate::context;

/// Four numbers up to 255, with the length of a network prefix where one follows.
pub(super) fn v4(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let fits = |part: &str| part.parse::<u16>().is_ok_and(|n| n <= 255);
    if !candidate.is_whole_number(&['.']) || !candidate.str().split('.').all(fits) {
        return candidate.miss();
    }
    let before = context::word_before(candidate.text, candidate.start);
    let is_version = ["version", "v", "release", "build", "firmware"].contains(&before.as_str());
    with_prefix(candidate, 32).hit(if is_version { 100_000 } else { 600_000 })
}

/// Any text form of RFC 4291, section 2.2, with the length of a network prefix where one follows.
/// An address without a digit in a short form could be source code: `a::b`.
pub(super) fn v6(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let is_part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let bytes = candidate.text.as_bytes();
    let back = bytes[candidate.floor..candidate.start].iter().rev().take_while(|b| is_part(b));
    let ahead = bytes[candidate.end..].iter().take_while(|b| is_part(b));
    let run = Candidate { start: candidate.start - back.count(), end: candidate.end + ahead.count(), ..*candidate };
    let none = Judgement::Miss { resume: run.end };

    let text = run.str().trim_end_matches('.');
    // A single colon at an end is punctuation: `dst:::1` has none, `::1:` has one.
    let text = if text.ends_with("::") { text } else { text.trim_end_matches(':') };
    let lead = usize::from(text.starts_with(':') && !text.starts_with("::"));
    let run = Candidate { start: run.start + lead, end: run.start + text.len(), ..run };
    if run.str().len() > 45 || !run.stands_alone() || run.str().parse::<Ipv6Addr>().is_err() {
        return none;
    }
    let groups = run.str().split(':').filter(|group| !group.is_empty()).count();
    let has_digit = run.str().bytes().any(|b| b.is_ascii_digit());
    let score_ppm = match groups {
        _ if !has_digit => 100_000,
        0..=2 if !run.str().starts_with("::") => 500_000,
        _ => 600_000,
    };
    with_prefix(&run, 128).hit(score_ppm)
}

/// The candidate with `/n` after it, if n is a length that an address of `bits` bits can have.
fn with_prefix<'t>(candidate: &Candidate<'t>, bits: u8) -> Candidate<'t> {
    let rest = candidate.text[candidate.end..].strip_prefix('/').unwrap_or_default();
    let digits = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let fits = rest[..digits].parse::<u8>().is_ok_and(|length| length <= bits);
    let longer = Candidate { end: candidate.end + 1 + digits, ..*candidate };
    if fits && longer.stands_alone() { longer } else { Candidate { ..*candidate } }
}

/// Six bytes in hexadecimal with one kind of separator; neither nobody's nor everybody's.
pub(super) fn mac(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let mut separators = text.chars().filter(|c| !c.is_ascii_hexdigit());
    let first = separators.next();
    if !candidate.is_whole_number(&[':', '-', '.'])
        || !separators.all(|c| Some(c) == first)
        || hex.bytes().all(|b| b == b'0')
        || hex.bytes().all(|b| b.eq_ignore_ascii_case(&b'f'))
    {
        return candidate.miss();
    }
    candidate.hit(600_000)
}

#[cfg(test)]
mod tests {
    use super::super::{check, score};
    use crate::Entity;

    #[test]
    fn addresses_of_both_versions_are_found() {
        check(
            Entity::IP_ADDRESS,
            &[
                ("é 203.0.113.9, ok", &["203.0.113.9"]),
                ("from 198.51.100.0/24.", &["198.51.100.0/24"]),
                ("203.0.113.9:8080", &["203.0.113.9"]),
                ("2001:db8::7 and fe80::1", &["2001:db8::7", "fe80::1"]),
                ("http://[2001:db8::7]:80/", &["2001:db8::7"]),
                ("2001:db8::/32", &["2001:db8::/32"]),
                ("2001:db8::/129", &["2001:db8::"]),
                ("::ffff:203.0.113.9.", &["::ffff:203.0.113.9"]),
                ("1:2:3:4:5:6:7:8:", &["1:2:3:4:5:6:7:8"]),
            ],
        );
    }

    #[test]
    fn what_only_looks_like_one_is_not() {
        check(
            Entity::IP_ADDRESS,
            &[
                ("203.0.113.256", &[]),
                ("203.0.113", &[]),
                ("1.203.0.113.9", &[]),
                ("203.0.113.9.1", &[]),
                ("at 12:34:56", &[]),
                ("1:2:3:4:5:6:7:8:9", &[]),
                ("std::vec", &[]),
                ("::fffff", &[]),
            ],
        );
    }

    #[test]
    fn versions_and_source_code_score_low() {
        assert_eq!(score(Entity::IP_ADDRESS, "version 1.2.3.4"), 100_000);
        assert_eq!(score(Entity::IP_ADDRESS, "call face::add"), 100_000);
        assert_eq!(score(Entity::IP_ADDRESS, "seen 203.0.113.9"), 600_000);
        assert_eq!(score(Entity::IP_ADDRESS, "IP 203.0.113.9"), 950_000);
    }

    #[test]
    fn hardware_addresses_have_one_kind_of_separator() {
        check(
            Entity::MAC_ADDRESS,
            &[
                ("mac 00:1b:63:84:45:e6", &["00:1b:63:84:45:e6"]),
                ("00-1B-63-84-45-E6.", &["00-1B-63-84-45-E6"]),
                ("001b.6384.45e6", &["001b.6384.45e6"]),
                ("00:1b:63-84:45:e6", &[]),
                ("00:1b:63:84:45", &[]),
                ("00:00:00:00:00:00", &[]),
                ("ff:ff:ff:ff:ff:ff", &[]),
                ("00:1b:63:84:45:e6:77", &[]),
                ("x00:1b:63:84:45:e6", &[]),
            ],
        );
    }
}
