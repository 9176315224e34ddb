//! Telephone numbers, by the national numbering plans of the crate `phonenumber`.
//!
//! Only that crate's tables are used: its parser is made for one number, not for a text, and
//! its cache of patterns is one lock for all threads.

use std::sync::{LazyLock, OnceLock};

use phonenumber::metadata::{DATABASE, Descriptor, Metadata};
use regex::Regex;

use super::{Candidate, Judgement, ends_in_joint, goes_on, starts_in_joint};
use crate::table::PhoneKind;

/// The regions whose national numbers are looked for unless the configuration names others.
pub(crate) const DEFAULT_REGIONS: [&str; 15] =
    ["US", "CA", "GB", "IE", "DE", "AT", "CH", "FR", "ES", "IT", "NL", "IN", "IL", "BR", "AU"];

/// ITU-T E.164: at most 15 digits with the country code. Fewer than 7 are never told.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Numbers are written in at most this many groups (`+33 1 42 68 53 00`).
const GROUPS_MAX: usize = 7;
/// And with at most this many groups of one digit (`0-20 …`, `+33 1 …`).
const SINGLE_DIGITS_MAX: usize = 2;
const EXTENSION_REACH: usize = 24;
/// A plan with more lengths of numbers than this is called open.
const CLOSED_LENGTHS_MAX: usize = 4;
/// The score of a national number in its usual form.
const USUAL_PPM: u32 = 400_000;

/// Where a number could stand.
pub(crate) const PATTERN: &str = r"(?:\+ ?\(?|\()?[0-9](?:[ ./()\-]{0,3}[0-9]){6,16}";

/// A region's numbering plan.
pub(crate) struct Plan {
    region: String,
    country_code: u16,
    trunk_prefix: String,
    lengths: Vec<usize>,
    all: Numbers,
    mobile: Numbers,
    fixed: Numbers,
}

/// The numbers of a plan, or of one kind.
struct Numbers {
    pattern: String,
    compiled: OnceLock<Regex>,
}

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| {
    let codes = 1..=999u16;
    // In the order of country codes, so that those of one code are found by bisection.
    let plans = codes.filter_map(|code| DATABASE.by_code(&code)).flatten();
    plans.map(Plan::from_metadata).collect()
});

static EXTENSION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\A[ ,;]{0,2}(?:extension|extn|ext|x|#)[ .:]{0,2}[0-9]{1,7}").expect("the pattern is a constant")
});

/// The plan of a region by its two capital letters.
pub(crate) fn plan(region: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.region == region && region.len() == 2)
}

fn plans_of(country_code: u16) -> &'static [Plan] {
    let start = PLANS.partition_point(|plan| plan.country_code < country_code);
    let end = PLANS.partition_point(|plan| plan.country_code <= country_code);
    &PLANS[start..end]
}

impl Plan {
    fn from_metadata(metadata: &Metadata) -> Self {
        let all = metadata.descriptors();
        let kinds = [
            all.fixed_line(),
            all.mobile(),
            all.toll_free(),
            all.premium_rate(),
            all.shared_cost(),
            all.personal_number(),
            all.voip(),
            all.pager(),
            all.uan(),
        ];
        // The tables are written with spaces, and a kind that a region lacks is no pattern.
        let pattern = |kind: &Descriptor| format!("(?:{})", kind.national_number().as_str());
        let numbers = |kinds: &[Option<&Descriptor>]| {
            let kinds: Vec<String> = kinds.iter().copied().flatten().map(pattern).collect();
            Numbers { pattern: format!("(?x)^(?:{})$", kinds.join("|")), compiled: OnceLock::new() }
        };
        Self {
            region: metadata.id().to_owned(),
            country_code: metadata.country_code(),
            trunk_prefix: metadata.national_prefix().unwrap_or_default().to_owned(),
            lengths: all.general().possible_length().iter().map(|&n| usize::from(n)).collect(),
            all: numbers(&kinds),
            mobile: numbers(&[all.mobile()]),
            fixed: numbers(&[all.fixed_line()]),
        }
    }

    /// Whether the plan gives the significant number (without prefixes) to somebody.
    fn has(&self, significant: &str) -> bool {
        self.has_kind(significant, PhoneKind::Any)
    }

    fn has_kind(&self, significant: &str, kind: PhoneKind) -> bool {
        let numbers = match kind {
            PhoneKind::Any => &self.all,
            PhoneKind::Mobile => &self.mobile,
            PhoneKind::Fixed => &self.fixed,
        };
        let compile = || Regex::new(&numbers.pattern).expect("a test compiles every plan's pattern");
        self.has_length(significant) && numbers.compiled.get_or_init(compile).is_match(significant)
    }

    fn has_length(&self, significant: &str) -> bool {
        self.lengths.is_empty() || self.lengths.contains(&significant.len())
    }
}

/// The front of the candidate, by groups of digits, that is most surely a number, then the longest: of any country with
/// `+` or `00`, or of one of the regions; and the extension that follows it.
pub(super) fn number(candidate: &Candidate<'_>, regions: &[&Plan]) -> Judgement {
    front(candidate, &|written, is_grouped| judge(written, is_grouped, regions))
}

/// The same for the numbers of one region and kind.
pub(crate) fn of_region(candidate: &Candidate<'_>, plan: &Plan, kind: PhoneKind) -> Judgement {
    front(candidate, &|written, is_grouped| judge_of_region(written, is_grouped, plan, kind))
}

fn front(candidate: &Candidate<'_>, judge: &dyn Fn(&str, bool) -> Option<u32>) -> Judgement {
    let text = candidate.text;
    let joints = ['-', '.', '/'];
    let groups = groups(candidate);
    let next_group = groups.get(1).map_or(candidate.end, |group| group.0);
    let none = Judgement::Miss { resume: next_group };
    let first = candidate.str();
    if super::char_before(text, candidate.start).is_some_and(goes_on)
        || ends_in_joint(&text[..candidate.start], &joints)
    {
        return none;
    }
    let mut best: Option<(u32, Judgement)> = None;
    for count in (1..=groups.len().min(GROUPS_MAX)).rev() {
        // Numbers are not spelt out digit by digit; asked first, as it costs least.
        let single = groups[..count].iter().filter(|group| group.1 - group.0 == 1).count();
        if single > SINGLE_DIGITS_MAX {
            continue;
        }
        let end = groups[count - 1].1;
        let goes_on = super::char_after(text, end).is_some_and(goes_on);
        let extension = EXTENSION
            .find(&text[end..text.floor_char_boundary(end.saturating_add(EXTENSION_REACH))])
            .map_or(0, |found| found.end());
        if (goes_on && extension == 0) || starts_in_joint(&text[end..], &joints) {
            continue;
        }
        // An opening bracket that this front doesn't close is the sentence's.
        let bracket = first.starts_with('(') && !text[candidate.start..end].contains(')');
        let start = candidate.start + usize::from(bracket);
        let Some(score_ppm) = judge(&text[start..end], count > 1) else {
            continue;
        };
        if best.as_ref().is_none_or(|(score, _)| *score < score_ppm) {
            best = Some((score_ppm, Judgement::Hit { start, end: end + extension, score_ppm }));
        }
        if score_ppm >= USUAL_PPM {
            break;
        }
    }
    let Some((score_ppm, hit)) = best else {
        return none;
    };
    // `room 12 212-555-0142` is some plan's number as a whole, but more surely another's later on.
    if score_ppm < USUAL_PPM && groups.len() > 1 {
        let later = front(&Candidate { start: next_group, ..*candidate }, judge);
        if matches!(later, Judgement::Hit { score_ppm: score, .. } if score > score_ppm) {
            return later;
        }
    }
    hit
}

/// The groups of digits in the candidate, as bytes of the text.
fn groups(candidate: &Candidate<'_>) -> Vec<(usize, usize)> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for (at, _) in candidate.str().match_indices(|c: char| c.is_ascii_digit()) {
        let at = candidate.start + at;
        match groups.last_mut() {
            Some(group) if group.1 == at => group.1 = at + 1,
            _ => groups.push((at, at + 1)),
        }
    }
    groups
}

/// The score of a written number before context, if any plan has it.
fn judge(written: &str, is_grouped: bool, regions: &[&Plan]) -> Option<u32> {
    if written.trim_start_matches('(').starts_with('+') {
        // `+44 (0)20 …` names the trunk prefix for callers at home.
        let abroad = written.replacen("(0)", "", 1);
        let abroad: String = abroad.chars().filter(char::is_ascii_digit).collect();
        return international(&abroad);
    }
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    if !DIGITS.contains(&digits.len()) {
        return None;
    }
    let from_abroad = digits.strip_prefix("00").and_then(international);
    let at_home = regions.iter().filter_map(|plan| national(&digits, is_grouped, plan)).max();
    from_abroad.max(at_home)
}

/// The score of a written number of one region and kind.
fn judge_of_region(written: &str, is_grouped: bool, plan: &Plan, kind: PhoneKind) -> Option<u32> {
    let digits: String = written.replacen("(0)", "", 1).chars().filter(char::is_ascii_digit).collect();
    if !DIGITS.contains(&digits.len()) {
        return None;
    }
    let is_abroad = written.trim_start_matches('(').starts_with('+');
    let abroad = if is_abroad { Some(digits.as_str()) } else { digits.strip_prefix("00") };
    let after_code = abroad.and_then(|digits| digits.strip_prefix(plan.country_code.to_string().as_str()));
    if after_code.is_some_and(|rest| plan.has_kind(rest, kind)) {
        return Some(700_000);
    }
    let trunk = plan.trunk_prefix.as_str();
    let at_home = digits.strip_prefix(trunk).filter(|rest| !trunk.is_empty() && plan.has_kind(rest, kind));
    match (at_home, is_abroad) {
        (_, true) => None,
        (Some(_), _) => Some(if is_grouped { USUAL_PPM } else { 300_000 }),
        (None, _) => plan.has_kind(&digits, kind).then_some(if is_grouped { 200_000 } else { 150_000 }),
    }
}

/// A country code and a number of its plans; a number of the right length alone scores lower.
fn international(digits: &str) -> Option<u32> {
    if !DIGITS.contains(&digits.len()) {
        return None;
    }
    let split = |length: usize| {
        let (code, rest) = digits.split_at(length);
        let code: u16 = code.parse().ok()?;
        let plans = plans_of(code);
        if plans.iter().any(|plan| plan.has(rest)) {
            return Some(700_000);
        }
        plans.iter().any(|plan| plan.has_length(rest)).then_some(400_000)
    };
    (1..=3).filter_map(split).max()
}

/// A number as it is dialled within the region. Written in groups and with the trunk prefix it
/// stands without context; bare digits do not.
fn national(digits: &str, is_grouped: bool, plan: &Plan) -> Option<u32> {
    let trunk = plan.trunk_prefix.as_str();
    let stripped = digits.strip_prefix(trunk).filter(|_| !trunk.is_empty());
    if stripped.is_some_and(|rest| plan.has(rest)) {
        return Some(if is_grouped { USUAL_PPM } else { 300_000 });
    }
    // In an open plan (Germany, Austria) nearly any digits would do without the prefix.
    if plan.lengths.len() > CLOSED_LENGTHS_MAX || !plan.has(digits) {
        return None;
    }
    // Where the prefix is 0 it is nearly always written; the prefix 1 seldom is.
    let is_usual = trunk != "0";
    Some(match (is_usual, is_grouped) {
        (true, true) => USUAL_PPM,
        (true, false) | (false, true) => 200_000,
        (false, false) => 150_000,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{check, score};
    use super::*;
    use crate::Entity;

    #[test]
    fn every_plan_compiles_and_has_its_own_example() {
        assert!(PLANS.len() > 240, "{}", PLANS.len());
        let mut strange = Vec::new();
        for metadata in (1..=999u16).filter_map(|code| DATABASE.by_code(&code)).flatten() {
            let plan = Plan::from_metadata(metadata);
            for numbers in [&plan.all, &plan.mobile, &plan.fixed] {
                Regex::new(&numbers.pattern).unwrap();
            }
            let line = metadata.descriptors().fixed_line().and_then(Descriptor::example);
            if line.is_some_and(|example| !plan.has(example)) {
                strange.push(plan.region);
            }
        }
        assert_eq!(strange, [""; 0]);
    }

    // Numbers from the ranges that the regulators keep for fiction.
    #[test]
    fn numbers_are_found_as_people_write_them() {
        check(
            Entity::PHONE,
            &[
                ("call (212) 555-0142 now", &["(212) 555-0142"]),
                ("212-555-0142", &["212-555-0142"]),
                ("212.555.0142 x12", &["212.555.0142 x12"]),
                ("1-800-555-0199 ext. 5", &["1-800-555-0199 ext. 5"]),
                ("+1 212 555 0142, ok", &["+1 212 555 0142"]),
                ("é 020 7946 0958", &["020 7946 0958"]),
                ("+44 (0)20 7946 0958.", &["+44 (0)20 7946 0958"]),
                ("07700 900123", &["07700 900123"]),
                ("+49 30 23125 000", &["+49 30 23125 000"]),
                ("0033 1 99 00 12 34", &["0033 1 99 00 12 34"]),
                ("01 99 00 12 34", &["01 99 00 12 34"]),
                ("(call 212-555-0142)", &["212-555-0142"]),
                ("2125550142", &["2125550142"]),
                ("212-555-0142 2024", &["212-555-0142"]),
                ("room 12 212-555-0142", &["212-555-0142"]),
            ],
        );
    }

    #[test]
    fn other_numbers_are_no_telephone_numbers() {
        check(
            Entity::PHONE,
            &[
                ("12345", &[]),
                ("111-111-1111", &[]),
                ("1 2 3 4 5 6 7 8 9 0", &[]),
                ("A2125550142", &[]),
                ("2125550142B", &[]),
                ("+999 111 111 1111", &[]),
                ("1234567890123456", &[]),
            ],
        );
    }

    #[test]
    fn bare_digits_need_context_and_a_country_code_does_not() {
        assert_eq!(score(Entity::PHONE, "id 2125550142"), 200_000);
        assert_eq!(score(Entity::PHONE, "phone 2125550142"), 550_000);
        assert_eq!(score(Entity::PHONE, "at 9-212-555-0142"), 200_000);
        assert_eq!(score(Entity::PHONE, "at +1 212 555 0142"), 700_000);
    }
}
