//! Lists of names, places and words, as hashes.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkd_quick};

use super::index::{Index, hash};

/// The most words of an entry.
pub const ENTRY_WORDS_MAX: usize = 5;

/// A set of lists, one bit each.
pub type Lists = u16;

/// First names.
pub const FIRST: Lists = 1;
/// Frequent surnames.
pub const LAST: Lists = 1 << 1;
/// Other surnames.
pub const LAST_RARE: Lists = 1 << 2;
/// Cities of 100,000 inhabitants or more.
pub const CITY: Lists = 1 << 3;
/// Smaller towns and other spellings.
pub const TOWN: Lists = 1 << 4;
/// Villages.
pub const VILLAGE: Lists = 1 << 5;
/// Countries.
pub const COUNTRY: Lists = 1 << 6;
/// States, provinces and counties.
pub const REGION: Lists = 1 << 7;
/// Nationalities, religions and parties.
pub const NRP: Lists = 1 << 8;
/// Well-known organisations.
pub const ORGANIZATION: Lists = 1 << 9;
/// Occupations.
pub const JOB: Lists = 1 << 10;
/// Words that a dictionary has in small letters.
pub const WORD: Lists = 1 << 11;
/// Words that are frequent in small letters.
pub const COMMON: Lists = 1 << 12;
/// Words of organisations: `Ltd`, `University`.
pub const ORGANIZATION_WORD: Lists = 1 << 13;
/// Words of streets: `Road`, `rue`.
pub const STREET_WORD: Lists = 1 << 14;
/// Forms of address: `Dr`, `Mrs`.
pub const HONORIFIC: Lists = 1 << 15;

/// Small letters without accents, so that a name is found however it is written.
pub fn fold(word: &str, into: &mut String) {
    into.clear();
    if word.is_ascii() {
        into.push_str(word);
        into.make_ascii_lowercase();
        return;
    }
    let lower = word.chars().flat_map(char::to_lowercase);
    if is_nfkd_quick(word.chars()) == IsNormalized::Yes {
        lower.for_each(|c| push_plain(c, into));
    } else {
        lower.nfkd().for_each(|c| push_plain(c, into));
    }
}

fn push_plain(c: char, into: &mut String) {
    match c {
        '\u{300}'..='\u{36f}' => {}
        'ß' => into.push_str("ss"),
        'æ' => into.push_str("ae"),
        'œ' => into.push_str("oe"),
        'þ' => into.push_str("th"),
        'ø' => into.push('o'),
        'đ' | 'ð' => into.push('d'),
        'ł' => into.push('l'),
        'ı' => into.push('i'),
        'ς' => into.push('σ'),
        '\u{2019}' => into.push('\''),
        c => into.push(c),
    }
}

/// The hash under which folded words, joined by one space each, are filed.
pub fn key(folded: &str) -> u32 {
    hash(folded.as_bytes())
}

/// Which lists an entry of one or more words stands on.
#[derive(Debug, Default)]
pub struct Gazetteer {
    index: Index,
    lists: Vec<Lists>,
}

impl Gazetteer {
    /// A gazetteer of entries by ascending key; none if they don't ascend.
    pub fn new(entries: &[(u32, Lists)]) -> Option<Self> {
        let index = Index::new(entries.iter().map(|&(key, _)| key).collect())?;
        Some(Self { index, lists: entries.iter().map(|&(_, lists)| lists).collect() })
    }

    /// The lists that the entry of this key stands on.
    pub fn lists(&self, key: u32) -> Lists {
        self.index.rank(key).and_then(|rank| self.lists.get(rank)).copied().unwrap_or(0)
    }

    /// Every entry, by ascending key.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (u32, Lists)> + '_ {
        self.index.hashes().iter().copied().zip(self.lists.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(word: &str) -> String {
        let mut into = String::from("left over");
        fold(word, &mut into);
        into
    }

    #[test]
    fn spellings_of_one_name_fold_to_the_same() {
        assert_eq!(folded("Szöllősy"), "szollosy");
        assert_eq!(folded("Szo\u{308}llősy"), "szollosy");
        assert_eq!(folded("ΛΕΥΚΩΣΊΑ"), folded("Λευκωσία"));
        assert_eq!(folded("GROẞE Łódź"), "grosse lodz");
        assert_eq!(folded("O\u{2019}Brien"), "o'brien");
    }

    #[test]
    fn an_entry_is_found_by_its_folded_words() {
        let mut entries = vec![(key("new york"), CITY | REGION), (key("york"), TOWN)];
        entries.sort_unstable();
        let gazetteer = Gazetteer::new(&entries).unwrap();
        assert_eq!(gazetteer.lists(key("new york")), CITY | REGION);
        assert_eq!(gazetteer.lists(key("new")), 0);
        assert_eq!(gazetteer.entries().collect::<Vec<_>>(), entries);
    }
}
