//! Street addresses in the manners of several countries.

use attestune_pii::tagger::Kind;

use crate::{
    lists::capitalized,
    parts::{AFTER_STREETS, BEFORE_STREETS, JOINED_STREETS, NOUNS, STATES, STREET_TYPES},
    plain::digits,
    rng::Rng,
    slots::Maker,
};

impl Maker<'_> {
    pub fn street(&self, rng: &mut Rng) -> String {
        let lists = self.lists;
        let name = match rng.below(5) {
            0 => self.plain_name(false, rng),
            1 => self.plain_name(true, rng),
            2 => rng.pick(&lists.villages).clone(),
            3 => capitalized(rng.pick(&lists.words)),
            _ => rng.pick(&lists.streets).clone(),
        };
        let n = house_number(rng);
        match rng.below(100) {
            0..34 => {
                let way = rng.word(STREET_TYPES);
                let side = if rng.percent(15) {
                    format!("{} ", rng.word("N S E W N. S. E. W. North South East West NE SW"))
                } else {
                    String::new()
                };
                let name = match rng.below(12) {
                    0 => rng.word("1st 2nd 3rd 5th 7th 12th 23rd 42nd 110th").to_owned(),
                    1 => rng.word("Main Park Oak Church High Mill School Station Elm Maple Washington Lake Hill King Queen Victoria Market").to_owned(),
                    2 => format!("{name} {}", capitalized(rng.word(NOUNS))),
                    _ => name,
                };
                if rng.percent(88) { format!("{n} {side}{name} {way}") } else { format!("{side}{name} {way}") }
            }
            34..54 => {
                let before =
                    BEFORE_STREETS.split('|').nth(rng.below(BEFORE_STREETS.split('|').count())).unwrap_or("Rue");
                match rng.below(4) {
                    0 => format!("{n} {before} {name}"),
                    1 => format!("{before} {name}, {n}"),
                    _ => format!("{before} {name} {n}"),
                }
            }
            54..74 => {
                let stem = name.split(['-', ' ', '\'']).next().unwrap_or("Haupt").to_owned();
                let joined = format!("{stem}{}", rng.word(JOINED_STREETS));
                if rng.percent(15) { format!("{n} {joined}") } else { format!("{joined} {n}") }
            }
            74..84 => format!("{name} {} {n}{}", rng.word(AFTER_STREETS), if rng.percent(30) { "." } else { "" }),
            84..94 => format!("{name} {n}"),
            _ => format!("{n} {name}"),
        }
    }

    /// A whole address, in a line or in several. Towns and countries in it are places.
    pub fn address(&mut self, lines: bool, rng: &mut Rng) {
        let gap = |rng: &mut Rng| -> &'static str {
            match (lines, rng.below(10)) {
                (true, 0..6) => "\n",
                (true, 6..8) => "\n  ",
                (true, _) => ",\n",
                (false, 0..8) => ", ",
                (false, _) => " ",
            }
        };
        if rng.percent(5) {
            let (box_number, unit) = (rng.between(10, 9999), rng.between(10, 9999));
            let state = rng.word("AA AE AP");
            let place = rng.word("APO FPO DPO");
            let head = match rng.below(4) {
                0 => format!("PSC {unit}, Box {box_number}"),
                1 => format!("Unit {unit} Box {box_number}"),
                2 => format!("CMR {unit}, Box {box_number}"),
                _ => format!("USS {}", rng.pick(&self.lists.english.last)),
            };
            let text =
                format!("{head}{}{place} {state} {:05}", if rng.percent(70) { "\n" } else { ", " }, rng.below(99_999));
            return self.span(&text, Kind::Address);
        }
        let start = if rng.percent(8) {
            format!("{} {}", rng.one(&["P.O. Box", "PO Box", "Box", "Postfach", "Postbus", "BP"]), rng.between(1, 9999))
        } else {
            self.street(rng)
        };
        self.span(&start, Kind::Address);
        if rng.percent(28) {
            let unit = format!(
                "{} {}",
                rng.one(&[
                    "Apt.",
                    "Apt",
                    "Suite",
                    "Ste.",
                    "Unit",
                    "Flat",
                    "Floor",
                    "Room",
                    "Apartment",
                    "Building",
                    "Bldg",
                    "Top",
                    "Etage",
                    "lok."
                ]),
                rng.between(1, 999)
            );
            let between = if rng.percent(40) { " " } else { gap(rng) };
            self.sample.push(between);
            self.span(&unit, Kind::Address);
        }
        if !lines && rng.percent(30) {
            return;
        }
        let between = gap(rng);
        self.sample.push(between);
        let city = self.place("city", rng);
        match rng.below(10) {
            0..3 => {
                let zip = zip(rng);
                self.span(&zip, Kind::Address);
                self.sample.push(" ");
                self.span(&city, Kind::Location);
            }
            3..7 => {
                self.span(&city, Kind::Location);
                let between = if rng.percent(70) { ", " } else { gap(rng) };
                self.sample.push(between);
                let state = if rng.percent(70) { rng.word(STATES).to_owned() } else { self.place("region", rng) };
                self.span(&state, Kind::Location);
                let between = if rng.percent(75) { " " } else { gap(rng) };
                self.sample.push(between);
                let zip = zip(rng);
                self.span(&zip, Kind::Address);
            }
            7 => {
                self.span(&city, Kind::Location);
                let between = gap(rng);
                self.sample.push(between);
                let zip = zip(rng);
                self.span(&zip, Kind::Address);
            }
            _ => self.span(&city, Kind::Location),
        }
        if rng.percent(35) {
            let between = gap(rng);
            self.sample.push(between);
            let country = self.place("country", rng);
            self.span(&country, Kind::Location);
            if rng.percent(20) {
                self.sample.push(" ");
                let zip = zip(rng);
                self.span(&zip, Kind::Address);
            }
        }
    }
}

fn house_number(rng: &mut Rng) -> String {
    match rng.below(10) {
        0..5 => rng.between(1, 200).to_string(),
        5..7 => rng.between(100, 9999).to_string(),
        7 => format!("{}{}", rng.between(1, 150), rng.word("a b c A B C")),
        8 => format!("{}{}{}", rng.between(1, 150), rng.one(&["/", "-"]), rng.between(1, 60)),
        _ => rng.between(1, 30_000).to_string(),
    }
}

pub fn zip(rng: &mut Rng) -> String {
    digits(
        rng.one(&[
            "#####",
            "#####",
            "#####",
            "####",
            "####",
            "### ##",
            "#####-####",
            "##-###",
            "XX# #XX",
            "X#X #X#",
            "X## #XX",
            "####-###",
            "#### XX",
            "######",
        ]),
        rng,
    )
}
