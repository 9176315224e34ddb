//! E-mail addresses, web addresses and domain names.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Candidate, Judgement, char_after, char_before, phone::Plan};

/// RFC 5321, section 4.5.3.1: 64 octets before the `@`; RFC 1035, section 3.1: 253 in a name.
const LOCAL_MAX: usize = 64;
const HOST_MAX: usize = 253;
/// What may stand between `://` and the path: user, password, host, port.
const AUTHORITY_MAX: usize = 400;

/// Top-level domains that are also endings of file names.
const FILE_ENDINGS: [&str; 12] = ["rs", "py", "md", "sh", "pl", "zip", "mov", "app", "ps", "cc", "so", "ml"];

/// A dot-atom of RFC 5322 (without the marks that are separators in practice), an `@`, and a
/// domain name under a public suffix, or a lower score for any other name with a dot.
pub(super) fn email(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.text;
    let is_local = |c: char| c.is_alphanumeric() || "._%+-'~".contains(c);
    let local = run_back(&text[candidate.floor..candidate.start], is_local);
    let local = local.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let run = host_run(&text[candidate.end..]);
    let start = candidate.start - local.len();
    let hit = |host: &str, score_ppm| Judgement::Hit { start, end: candidate.end + host.len(), score_ppm };
    match (local.len(), under_public_suffix(run)) {
        (1..=LOCAL_MAX, Some(host)) => hit(host, 950_000),
        (1..=LOCAL_MAX, None) if is_private_host(run) => hit(trim_host(run), 500_000),
        // No run holds an `@`, so none is read twice.
        _ => Judgement::Miss { resume: candidate.end },
    }
}

/// A web address with its scheme; its host is a name under a public suffix or an address.
pub(super) fn url(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.text;
    let reach = text.floor_char_boundary(candidate.end.saturating_add(AUTHORITY_MAX));
    let authority = &text[candidate.end..reach];
    let stop = |c: char| ends_url(c) || matches!(c, '/' | '?' | '#');
    let authority = authority.find(stop).map_or(authority, |at| &authority[..at]);
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);

    let host = &authority[host_at..];
    let run = host_run(host);
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let length = match bracketed {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => address.len() + 2,
        _ if trim_host(run).parse::<Ipv4Addr>().is_ok() => trim_host(run).len(),
        _ => match under_public_suffix(run) {
            Some(name) => name.len(),
            None => {
                return Judgement::Miss { resume: candidate.end };
            }
        },
    };
    let end = with_path(text, candidate.end + host_at + length);
    Judgement::Hit { start: candidate.start, end, score_ppm: 600_000 }
}

/// A name under a public suffix, without a scheme, with the path that follows it.
pub(super) fn domain(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.text;
    // The pattern's three bytes are ASCII; the run around them is read once.
    let middle = candidate.start + 1;
    let before = host_run_back(&text[candidate.floor..middle]);
    let run_end = middle + host_run(&text[middle..]).len();
    let none = Judgement::Miss { resume: run_end };

    let run = &text[middle - before.len()..run_end];
    let run = run.trim_start_matches(['.', '-']);
    let start = run_end - run.len();
    let part_of_more = |c: char| matches!(c, '@' | '/' | '\\' | '_' | '$');
    if char_before(text, start).is_some_and(part_of_more)
        || char_after(text, run_end).is_some_and(|c| matches!(c, '@' | '\\' | '_' | '('))
    {
        return none;
    }
    let Some(name) = under_public_suffix(run) else {
        return none;
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_sentence = last.starts_with(char::is_uppercase) && last.contains(char::is_lowercase);
    let score_ppm = match name {
        _ if is_sentence => 100_000,
        _ if name.starts_with("www.") => 600_000,
        _ if FILE_ENDINGS.contains(&last.to_lowercase().as_str()) => 200_000,
        _ => 500_000,
    };
    Judgement::Hit { start, end: with_path(text, start + name.len()), score_ppm }
}

/// The end of a host, or of the port, path, query and fragment that follow it.
fn with_path(text: &str, host_end: usize) -> usize {
    let rest = &text[host_end..];
    let is_port = rest.strip_prefix(':').is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    if !is_port && !rest.starts_with(['/', '?', '#']) {
        return host_end;
    }
    let path = rest.find(ends_url).map_or(rest, |at| &rest[..at]);
    host_end + trim_punctuation(path).len()
}

/// Whether the character ends an address: space, control, quote, bracket of markup, and every
/// mark outside ASCII.
fn ends_url(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '<' | '>' | '"' | '`' | '{' | '}' | '|' | '\\' | '^')
        || (!c.is_ascii() && !c.is_alphanumeric())
}

/// Without the marks at its end that belong to the sentence; a closing bracket belongs to the
/// address only if the address opened it.
fn trim_punctuation(path: &str) -> &str {
    let count = |wanted: u8| path.bytes().filter(|&b| b == wanted).count();
    let mut round = count(b')').saturating_sub(count(b'('));
    let mut square = count(b']').saturating_sub(count(b'['));
    let take = |unopened: &mut usize| {
        let had = *unopened > 0;
        *unopened = unopened.saturating_sub(1);
        had
    };
    path.trim_end_matches(|c: char| match c {
        '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '~' => true,
        ')' => take(&mut round),
        ']' => take(&mut square),
        _ => false,
    })
}

/// The longest front of the run that is a name under a public suffix: `example.org.Then` is
/// `example.org` and the next sentence.
fn under_public_suffix(run: &str) -> Option<&str> {
    let mut name = trim_host(run);
    for _ in 0..3 {
        if is_host(name) && has_public_suffix(name) {
            return Some(name);
        }
        let (front, last) = name.rsplit_once('.')?;
        name = trim_host(front);
        if !last.starts_with(char::is_uppercase) {
            return None;
        }
    }
    None
}

fn has_public_suffix(name: &str) -> bool {
    let name = name.to_lowercase();
    let Some(suffix) = psl::suffix(name.as_bytes()) else {
        return false;
    };
    let is_whole = suffix.as_bytes().len() == name.len();
    let is_rented = suffix.typ() == Some(psl::Type::Private);
    // `www.microsoft` is under a public suffix, yet nobody's site.
    let is_bare = name.strip_prefix("www.").is_some_and(|rest| rest.len() == suffix.as_bytes().len());
    suffix.is_known() && (!is_whole || is_rented) && !is_bare
}

/// Whether it is a name with a dot that ends in letters, such as `mail.internal`.
fn is_private_host(run: &str) -> bool {
    let name = trim_host(run);
    let last = name.rsplit_once('.').map_or("", |(_, last)| last);
    is_host(name) && last.chars().count() > 1 && last.chars().all(char::is_alphabetic)
}

fn is_host(name: &str) -> bool {
    let is_label = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    name.len() <= HOST_MAX && name.split('.').all(is_label)
}

fn trim_host(run: &str) -> &str {
    run.trim_end_matches(['.', '-'])
}

/// The run of letters, digits, dots and hyphens at the text's beginning.
fn host_run(text: &str) -> &str {
    let mut previous = '.';
    let end = text.find(|c: char| {
        let ends = !is_host_char(c) || changes_script(previous, c);
        previous = c;
        ends
    });
    end.map_or(text, |at| &text[..at])
}

fn host_run_back(text: &str) -> &str {
    run_back(text, is_host_char)
}

/// The run of characters at the text's end that `belongs` accepts.
fn run_back(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let mut next = '.';
    let start = text.char_indices().rev().find(|&(_, c)| {
        let ends = !belongs(c) || changes_script(c, next);
        next = c;
        ends
    });
    start.map_or(text, |(at, c)| &text[at + c.len_utf8()..])
}

fn is_host_char(c: char) -> bool {
    c.is_alphanumeric() || c == '.' || c == '-'
}

/// Whether a word of a script without spaces meets one of another: 写信 to `a@b.org` in Chinese
/// has no space before it.
fn changes_script(a: char, b: char) -> bool {
    let is_wide = |c: char| c >= '\u{2e80}';
    a.is_alphanumeric() && b.is_alphanumeric() && is_wide(a) != is_wide(b)
}

#[cfg(test)]
mod tests {
    use super::super::{check, score};
    use crate::Entity;

    #[test]
    fn mail_addresses_are_found_in_any_surroundings() {
        check(
            Entity::EMAIL,
            &[
                ("zoë: zoe.o'neil+x@mail.example.co.uk.", &["zoe.o'neil+x@mail.example.co.uk"]),
                ("<a@example.org>,b_c@example.com", &["a@example.org", "b_c@example.com"]),
                ("mailto:a@example.org?subject=x", &["a@example.org"]),
                ("'a@example.org'", &["a@example.org"]),
                ("a@example.org.Then", &["a@example.org"]),
                ("请写信给a@example.org谢谢", &["a@example.org"]),
                ("jörg@müller.de", &["jörg@müller.de"]),
                ("ops@db1.internal", &["ops@db1.internal"]),
                ("a@b@example.org", &["b@example.org"]),
                ("A@EXAMPLE.ORG", &["A@EXAMPLE.ORG"]),
            ],
        );
    }

    #[test]
    fn an_at_sign_alone_is_no_mail_address() {
        check(
            Entity::EMAIL,
            &[
                ("@example.org", &[]),
                ("a@", &[]),
                ("a@example", &[]),
                ("meet @ 5.30", &[]),
                ("a@-x-.org", &[]),
                ("price@1.50", &[]),
            ],
        );
        let long = format!("{}@example.org", "a".repeat(65));
        check(Entity::EMAIL, &[(&long, &[])]);
    }

    #[test]
    fn a_mail_address_under_no_public_suffix_scores_lower() {
        assert_eq!(score(Entity::EMAIL, "a@example.org"), 950_000);
        assert_eq!(score(Entity::EMAIL, "ops@db1.internal"), 500_000);
    }

    #[test]
    fn web_addresses_end_where_the_sentence_goes_on() {
        check(
            Entity::URL,
            &[
                ("see https://example.org/a?b=c#d.", &["https://example.org/a?b=c#d"]),
                ("(https://example.org/a_(b))", &["https://example.org/a_(b)"]),
                ("[x](http://example.org)", &["http://example.org"]),
                ("HTTP://user:pw@example.org:80/", &["HTTP://user:pw@example.org:80/"]),
                ("http://[2001:db8::7]:80/x", &["http://[2001:db8::7]:80/x"]),
                ("http://203.0.113.9/é,", &["http://203.0.113.9/é"]),
                ("http://example.org,http://example.com", &["http://example.org", "http://example.com"]),
                ("„https://bücher.example.de/“", &["https://bücher.example.de/"]),
            ],
        );
    }

    #[test]
    fn bare_names_need_a_public_suffix() {
        check(
            Entity::URL,
            &[
                ("on example.org/x, or", &["example.org/x"]),
                ("www.example.co.uk", &["www.example.co.uk"]),
                ("user.github.io and github.io", &["user.github.io", "github.io"]),
                ("почта.рф", &[]),
                ("http://intranet", &[]),
                ("www.intranet", &[]),
                ("e.g. this, i.e. that", &[]),
                ("x.co.uk.", &["x.co.uk"]),
                ("co.uk", &[]),
                ("foo.bar.invalid", &[]),
                ("src/main.rs", &[]),
                ("obj.name()", &[]),
                ("a.b@example.org", &[]),
            ],
        );
    }

    #[test]
    fn file_names_and_missing_spaces_score_low() {
        assert_eq!(score(Entity::URL, "open notes.md"), 200_000);
        assert_eq!(score(Entity::URL, "the end.It was"), 100_000);
        assert_eq!(score(Entity::URL, "buy at example.org"), 500_000);
    }
}
