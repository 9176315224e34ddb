//! The plain lists that `training/lists.py` made of the packages, and the gazetteer made of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use attestune_pii::tagger::{
    gazetteer::{self, Gazetteer, Lists as Bits},
    token,
};

/// Words of a name: of one country or census.
#[derive(Default)]
pub struct Names {
    pub first: Vec<String>,
    pub last: Vec<String>,
}

/// Countries that are frequent first names.
const NAMES_AND_COUNTRIES: [&str; 4] = ["chad", "georgia", "israel", "jordan"];

#[derive(Default)]
pub struct Lists {
    pub english: Names,
    pub rare_last: Vec<String>,
    /// By locale, in Latin letters and in others.
    pub locales: Vec<Names>,
    pub native: Vec<Names>,
    pub cities: Vec<String>,
    pub towns: Vec<String>,
    pub villages: Vec<String>,
    pub other_spellings: Vec<String>,
    pub countries: Vec<String>,
    pub regions: Vec<String>,
    pub streets: Vec<String>,
    pub nationalities: Vec<String>,
    pub organizations: Vec<String>,
    pub jobs: Vec<String>,
    pub words: Vec<String>,
    pub sentences: Vec<String>,
    /// Sentences without a name.
    pub said: Vec<String>,
    /// How often a folded word stands in small letters, and with a capital inside a sentence.
    pub seen: HashMap<String, (u32, u32)>,
    entries: BTreeMap<String, Bits>,
}

pub fn folded(text: &str) -> String {
    let mut into = String::new();
    gazetteer::fold(text, &mut into);
    into
}

fn rows(folder: &Path, name: &str) -> Result<Vec<Vec<String>>, String> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}; run `make tagger`", path.display()))?;
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn is_latin(name: &str) -> bool {
    name.chars().all(|c| !c.is_alphabetic() || c < '\u{250}' || ('\u{1e00}'..='\u{1eff}').contains(&c))
}

impl Lists {
    pub fn read(folder: &Path, own_words: &str) -> Result<Self, String> {
        let mut lists = Self::default();
        let column = |name| -> Result<Vec<String>, String> {
            Ok(rows(folder, name)?.into_iter().map(|mut row| row.swap_remove(0)).collect())
        };
        lists.sentences = column("sentences.txt")?;
        lists.count_words(own_words);
        lists.words = column("words.txt")?.into_iter().filter(|word| word.len() < 14).collect();
        for word in lists.words.clone() {
            lists.file(&word, gazetteer::WORD);
        }
        let common: Vec<String> = lists.seen.keys().filter(|word| lists.is_common(word)).cloned().collect();
        common.iter().for_each(|word| lists.file(word, gazetteer::COMMON));
        lists.read_names(folder)?;
        lists.read_places(folder)?;
        lists.streets = column("streets.tsv")?.into_iter().filter(|name| is_latin(name)).collect();
        lists.nationalities = column("nationalities.txt")?.into_iter().filter(|name| !name.contains(',')).collect();
        for name in lists.nationalities.clone() {
            lists.file(&name, gazetteer::NRP);
        }
        lists.organizations = column("organizations.txt")?.iter().map(capitalized).collect();
        for name in lists.organizations.clone() {
            lists.file(&name, gazetteer::ORGANIZATION);
        }
        lists.jobs =
            column("jobs.txt")?.into_iter().filter(|job| job.split(' ').count() <= 4 && !job.contains(',')).collect();
        for job in lists.jobs.clone() {
            if job.split(' ').count() <= 3 {
                lists.file(&job, gazetteer::JOB);
            }
        }
        Ok(lists)
    }

    /// Files words under these lists, also in addition to others.
    pub fn file(&mut self, name: &str, bits: Bits) {
        let words: Vec<String> = token::tokens(name).map(|token| folded(token.text)).collect();
        if (1..=gazetteer::ENTRY_WORDS_MAX).contains(&words.len()) {
            *self.entries.entry(words.join(" ")).or_default() |= bits;
        }
    }

    pub fn gazetteer(&self) -> Gazetteer {
        let mut entries: BTreeMap<u32, Bits> = BTreeMap::new();
        for (name, bits) in &self.entries {
            // France is a first name, too, but hardly ever.
            let only_country = bits & gazetteer::COUNTRY != 0 && !NAMES_AND_COUNTRIES.contains(&name.as_str());
            let bits =
                if only_country { bits & !(gazetteer::FIRST | gazetteer::LAST | gazetteer::LAST_RARE) } else { *bits };
            *entries.entry(gazetteer::key(name)).or_default() |= bits;
        }
        let entries: Vec<_> = entries.into_iter().collect();
        Gazetteer::new(&entries).expect("a map ascends")
    }

    pub fn is_common(&self, word: &str) -> bool {
        self.seen.get(word).is_some_and(|&(small, capital)| small >= 6 && small >= 2 * capital)
    }

    fn count_words(&mut self, own_words: &str) {
        for sentence in &self.sentences {
            for (at, token) in token::tokens(sentence).enumerate() {
                let Some(first) = token.text.chars().next().filter(|c| c.is_alphabetic()) else { continue };
                let seen = self.seen.entry(folded(token.text)).or_default();
                if first.is_lowercase() {
                    seen.0 += 1;
                } else if at > 0 && !token.after_stop {
                    seen.1 += 1;
                }
            }
        }
        for token in token::tokens(own_words) {
            if token.text.chars().all(|c| c.is_lowercase()) {
                self.seen.entry(folded(token.text)).or_default().0 += 6;
            }
        }
    }

    fn read_names(&mut self, folder: &Path) -> Result<(), String> {
        let mut locales: BTreeMap<String, (Names, Names)> = BTreeMap::new();
        for (file, is_first) in [("first.tsv", true), ("last.tsv", false)] {
            for row in rows(folder, file)? {
                let (name, locale) = (&row[0], row[1].as_str());
                let key = folded(name);
                let rare = locale == "us_rare";
                if name.chars().count() < 2
                    || rare && self.is_common(&key)
                    || key.contains(char::is_whitespace) && is_first
                {
                    continue;
                }
                let common = self.is_common(&key);
                let bits = if is_first {
                    gazetteer::FIRST
                } else if rare {
                    gazetteer::LAST_RARE
                } else {
                    gazetteer::LAST
                };
                self.file(name, bits);
                if rare {
                    self.rare_last.push(name.clone());
                    continue;
                }
                // A common word is a name to the lists, but examples use it seldom.
                if common && key.len() < 5 {
                    continue;
                }
                let names = match locale {
                    "us" | "lexicon" | "en_US" | "en_GB" | "en" => &mut self.english,
                    _ if is_latin(name) => &mut locales.entry(locale.to_owned()).or_default().0,
                    _ => &mut locales.entry(locale.to_owned()).or_default().1,
                };
                if is_first { names.first.push(name.clone()) } else { names.last.push(name.clone()) }
            }
        }
        for (latin, native) in locales.into_values() {
            for (names, into) in [(latin, &mut self.locales), (native, &mut self.native)] {
                if names.first.len() >= 8 && names.last.len() >= 8 {
                    into.push(names);
                }
            }
        }
        Ok(())
    }

    fn read_places(&mut self, folder: &Path) -> Result<(), String> {
        let mut done = BTreeSet::new();
        for row in rows(folder, "places.tsv")? {
            let [name, kind, tier, _country] = &row[..] else { return Err(format!("places.tsv: {row:?}")) };
            let one_word = !name.contains(' ');
            if tier != "1" && one_word && self.is_common(&folded(name)) || name.chars().count() < 2 {
                continue;
            }
            let (bits, into) = match (kind.as_str(), tier.as_str()) {
                ("country", _) => (gazetteer::COUNTRY, Some(&mut self.countries)),
                ("country_other", _) => (gazetteer::COUNTRY, None),
                ("region", _) => (gazetteer::REGION, Some(&mut self.regions)),
                ("city", "1") => (gazetteer::CITY, Some(&mut self.cities)),
                ("city", "2") => (gazetteer::TOWN, Some(&mut self.towns)),
                ("city", _) => (gazetteer::VILLAGE, Some(&mut self.villages)),
                _ => (gazetteer::TOWN, Some(&mut self.other_spellings)),
            };
            if let Some(into) = into.filter(|_| done.insert((bits, name.clone()))) {
                into.push(name.clone());
            }
            self.file(name, bits);
        }
        Ok(())
    }
}

/// Each word with a capital.
pub fn capitalized(name: impl AsRef<str>) -> String {
    let word = |word: &str| {
        let mut characters = word.chars();
        characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
    };
    name.as_ref().split(' ').map(word).collect::<Vec<String>>().join(" ")
}
