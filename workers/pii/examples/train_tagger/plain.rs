//! What stands in slots that are no personal data of the tagger's kinds.

use crate::{
    lists::capitalized,
    organizations::invented,
    parts::{ADJECTIVES, NOUNS, VERBS},
    rng::Rng,
    slots::Maker,
};

impl Maker<'_> {
    pub fn plain(&self, slot: &str, rng: &mut Rng) -> String {
        let lists = self.lists;
        let word = |rng: &mut Rng| rng.pick(&lists.words).clone();
        match slot {
            "said" => rng.pick(&lists.said).clone(),
            "acro" => (0..rng.between(2, 5)).map(|_| (b'A' + rng.below(26) as u8) as char).collect(),
            "n" => rng.between(1, 99).to_string(),
            "big" => rng.between(100, 99_999).to_string(),
            "year" => rng.between(1890, 2030).to_string(),
            "noun" => {
                if rng.percent(50) {
                    rng.word(NOUNS).to_owned()
                } else {
                    word(rng)
                }
            }
            "nouns" => format!("{}s", rng.word(NOUNS)),
            "adj" => rng.word(ADJECTIVES).to_owned(),
            "verb" => rng.word(VERBS).to_owned(),
            "Noun" => {
                let words: Vec<String> = (0..rng.between(1, 3))
                    .map(|_| if rng.percent(40) { rng.word(NOUNS).to_owned() } else { word(rng) })
                    .collect();
                capitalized(words.join(" "))
            }
            "prod" => match rng.below(3) {
                0 => format!("the {} app", capitalized(word(rng))),
                1 => format!("{} {}", capitalized(word(rng)), rng.between(2, 12)),
                _ => rng
                    .word("Word Excel Android Windows Linux Photoshop Chrome Firefox Python Bluetooth Gmail")
                    .to_owned(),
            },
            "date" => date(rng),
            "time" => {
                format!("{}:{:02}{}", rng.between(0, 23), rng.between(0, 59), rng.one(&["", "", " pm", " AM", "h"]))
            }
            "money" => match rng.below(3) {
                0 => format!("${}", rng.between(5, 9000)),
                1 => format!("{} {}", rng.between(5, 90_000), rng.word("EUR USD GBP CHF euros dollars")),
                _ => format!("€{}.{:02}", rng.between(1, 900), rng.below(100)),
            },
            "phone" => digits(
                rng.one(&[
                    "+## ### ### ####",
                    "(###) ###-####",
                    "0## ## ## ##",
                    "###-###-####",
                    "0#### ######",
                    "+##-##-########",
                    "##-##-##-##",
                    "### ####",
                    "## ### ###",
                    "### ## ###",
                    "##########",
                    "(###)###-####x###",
                    "#### ### ## ##",
                    "+## (0)# ### ### ##",
                ]),
                rng,
            ),
            "email" => format!(
                "{}{}@{}.{}",
                invented(rng).to_lowercase(),
                rng.between(1, 99),
                invented(rng).to_lowercase(),
                rng.word("com org net de co.uk fr io")
            ),
            "url" => format!(
                "{}{}.{}{}",
                rng.one(&["https://", "http://www.", "www.", "https://www."]),
                invented(rng),
                rng.word("com org net de fr hu io"),
                rng.one(&["", "/", "/help", "/a/b?id=7"])
            ),
            "ip" => format!("{}.{}.{}.{}", rng.below(256), rng.below(256), rng.below(256), rng.below(256)),
            "id" => digits(
                rng.one(&[
                    "################",
                    "#### #### #### ####",
                    "###-##-####",
                    "##########",
                    "A####-##",
                    "INV-#####",
                    "DE## #### #### #### ####",
                    "#####",
                    "X########",
                    "GB##NWBK##############",
                ]),
                rng,
            ),
            _ => panic!("no slot {slot}"),
        }
    }
}

fn date(rng: &mut Rng) -> String {
    let (d, m, y) = (rng.between(1, 28), rng.between(1, 12), rng.between(1930, 2030));
    let month = rng.word("January February March April May June July August September October November December Jan Feb Mar Apr Jun Jul Aug Sep Oct Nov Dec").to_owned();
    match rng.below(8) {
        0 => format!("{y}-{m:02}-{d:02}"),
        1 => format!("{d}/{m}/{y}"),
        2 => format!("{month} {d}, {y}"),
        3 => format!("{d} {month} {y}"),
        4 => format!("{month} {d}"),
        5 => rng.word("Monday Tuesday Wednesday Thursday Friday Saturday Sunday tomorrow").to_owned(),
        6 => format!("{y}"),
        _ => format!("{d}.{m}.{y}"),
    }
}

pub fn digits(form: &str, rng: &mut Rng) -> String {
    let fill = |c: char| match c {
        '#' => (b'0' + rng.below(10) as u8) as char,
        'X' => (b'A' + rng.below(26) as u8) as char,
        c => c,
    };
    form.chars().map(fill).collect()
}
