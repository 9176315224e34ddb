//! Names of companies, authorities, schools.

use crate::{
    lists::capitalized,
    parts::{ENDS, FIELDS, HEADS, MIDDLES, NOUNS, STARTS, SUFFIXES},
    rng::Rng,
    slots::Maker,
};

impl Maker<'_> {
    pub fn organization(&self, rng: &mut Rng) -> String {
        let last = |rng: &mut Rng| self.plain_name(false, rng);
        let city = |rng: &mut Rng| {
            let large = rng.percent(50);
            rng.pick(if large { &self.lists.cities } else { &self.lists.towns }).clone()
        };
        let tail = |rng: &mut Rng| format!(" {}", rng.word(SUFFIXES));
        let name = match rng.below(100) {
            0..30 => invented(rng) + &if rng.percent(25) { tail(rng) } else { String::new() },
            30..40 => rng.pick(&self.lists.organizations).clone(),
            40..48 => last(rng) + &tail(rng),
            48..53 => format!(
                "{} {} {}",
                last(rng),
                rng.one(&["&", "and", "&"]),
                rng.one(&["Sons", "Co", "Partners", "Company"])
            ),
            53..54 => format!("{}, {} & {}", last(rng), last(rng), last(rng)),
            54..57 => format!("{}, {} and {}", last(rng), last(rng), last(rng)),
            57..60 => format!("{}-{}", last(rng), last(rng)),
            60..66 => {
                format!("{} {}", rng.word(HEADS), rng.word(FIELDS))
                    + &if rng.percent(40) { tail(rng) } else { String::new() }
            }
            66..70 => format!("{}{}", rng.word(HEADS), rng.word(FIELDS)),
            70..73 => capitalized(rng.pick(&self.lists.words)) + &tail(rng),
            73..77 => format!("{}{}", capitalized(rng.word(NOUNS)), capitalized(rng.word(NOUNS))),
            77..80 => format!("University of {}", city(rng)),
            80..83 => format!(
                "{} {}",
                city(rng),
                rng.one(&[
                    "University",
                    "City Council",
                    "General Hospital",
                    "High School",
                    "Police Department",
                    "Symphony Orchestra",
                    "FC",
                    "Airport",
                    "Medical Center",
                    "College"
                ])
            ),
            83..86 => format!(
                "{} of {}",
                rng.one(&["Bank", "Ministry", "Department", "Institute", "Church", "Museum", "Library"]),
                capitalized(rng.word("justice health trade art science defence history labor agriculture education"))
            ),
            86..91 => (0..rng.between(2, 4)).map(|_| (b'A' + rng.below(26) as u8) as char).collect(),
            91..95 => capitalized(rng.pick(&self.lists.words)),
            _ => invented(rng) + " " + rng.word(FIELDS),
        };
        match rng.below(100) {
            0..3 => name.to_uppercase(),
            3..6 => name.to_lowercase(),
            _ => name,
        }
    }
}

pub fn invented(rng: &mut Rng) -> String {
    let middle = if rng.percent(45) { rng.word(MIDDLES) } else { "" };
    let name = format!("{}{middle}{}", rng.word(STARTS), rng.word(ENDS));
    if rng.percent(15) { capitalized(&name) + &capitalized(rng.word(ENDS)) } else { capitalized(&name) }
}
