//! What stands in a template's slots: names, places and numbers, put together from the lists.

use attestune_pii::tagger::Kind;

use crate::{
    addresses::zip,
    lists::{Lists, Names, capitalized},
    parts::HONORIFICS,
    rng::Rng,
    template::{self, Part},
    text::Sample,
};

pub struct Maker<'l> {
    pub lists: &'l Lists,
    pub sample: Sample,
    /// Surname and first name of the person named last.
    person: Option<(String, String)>,
}

pub fn fill(template: &str, lists: &Lists, rng: &mut Rng) -> Sample {
    let mut maker = Maker { lists, sample: Sample::default(), person: None };
    template::read(template, rng, &mut |part, rng| match part {
        Part::Text(text) => maker.sample.push(text),
        Part::Slot(slot) => maker.slot(slot, rng),
    });
    maker.sample
}

/// A value for a slot of one kind alone, as `(text, spans)`.
pub fn value(slot: &str, lists: &Lists, rng: &mut Rng) -> Sample {
    fill(&format!("{{{slot}}}"), lists, rng)
}

impl Maker<'_> {
    fn slot(&mut self, slot: &str, rng: &mut Rng) {
        let from = self.sample.text.len();
        match slot {
            "person" => self.person(rng),
            "first" => {
                let name = self.name(true, rng);
                self.span(&name, Kind::Person);
            }
            "last" => {
                let name = match self.person.take().filter(|_| rng.percent(40)) {
                    Some((last, first)) => {
                        if rng.percent(80) {
                            last
                        } else {
                            first
                        }
                    }
                    None => self.name(false, rng),
                };
                self.span(&name, Kind::Person);
            }
            "title" => self.span(rng.word(HONORIFICS), Kind::Title),
            "job" => {
                let job = self.job(rng);
                self.span(&job, Kind::Title);
            }
            "job_o" => {
                let job = self.job(rng).to_lowercase();
                self.sample.push(&job);
            }
            "city" | "country" | "region" | "place" => {
                let name = self.place(slot, rng);
                self.span(&name, Kind::Location);
            }
            "addr" => self.address(false, rng),
            "lines" => self.address(true, rng),
            "street" => {
                let street = self.street(rng);
                self.span(&street, Kind::Address);
            }
            "zip" => {
                let zip = zip(rng);
                self.span(&zip, Kind::Address);
            }
            "org" => {
                let name = self.organization(rng);
                self.span(&name, Kind::Organization);
            }
            "venue" => {
                if rng.percent(50) {
                    let name = self.organization(rng);
                    self.span(&name, Kind::Organization);
                } else {
                    let name = self.place("city", rng);
                    self.span(&name, Kind::Location);
                    self.sample.push(rng.one(&[
                        " Town Hall",
                        " Stadium",
                        " Library",
                        " Central Station",
                        " Hotel",
                        " Arena",
                        " Golf Club",
                        "",
                    ]));
                }
            }
            "nrp" | "nrps" => {
                let mut name = self.nationality(rng);
                if slot == "nrps" && !name.ends_with(['s', 'h', 'e']) {
                    name.push('s');
                }
                if rng.percent(10) {
                    name = name.to_lowercase();
                }
                self.span(&name, Kind::Nrp);
            }
            "age" => {
                let age = rng.between(1, 99).to_string();
                self.span(&age, Kind::Age);
            }
            _ => {
                let text = self.plain(slot, rng);
                self.sample.push(&text);
            }
        }
        if !self.sample.spans.is_empty()
            && self.sample.spans.iter().any(|(span, _)| span.start >= from)
            && rng.percent(35)
        {
            self.sample.hide(from);
        }
    }

    pub fn span(&mut self, text: &str, kind: Kind) {
        self.sample.push_span(text, kind);
    }

    pub fn names(&self, rng: &mut Rng) -> &Names {
        match rng.below(100) {
            0..30 => &self.lists.english,
            30..95 => rng.pick(&self.lists.locales),
            _ => rng.pick(&self.lists.native),
        }
    }

    pub fn name(&self, first: bool, rng: &mut Rng) -> String {
        let names = self.names(rng);
        let name = if first {
            rng.pick(&names.first)
        } else if rng.percent(12) {
            rng.pick(&self.lists.rare_last)
        } else {
            rng.pick(&names.last)
        };
        cased(name, rng)
    }

    pub fn plain_name(&self, first: bool, rng: &mut Rng) -> String {
        let names = self.names(rng);
        rng.pick(if first { &names.first } else { &names.last }).clone()
    }

    fn person(&mut self, rng: &mut Rng) {
        let names = self.names(rng);
        let rare = rng.percent(8);
        let mut last = rng.pick(if rare { &self.lists.rare_last } else { &names.last }).clone();
        let first = rng.pick(&names.first).clone();
        let middle = rng.pick(&names.first).clone();
        let initial = |name: &str| name.chars().next().unwrap_or('A').to_uppercase().to_string();
        if rng.percent(6) {
            let mark = if rng.percent(70) { "-" } else { " " };
            last = format!("{last}{mark}{}", rng.pick(&names.last));
        }
        let name = match rng.below(100) {
            0..54 => format!("{first} {last}"),
            54..59 => format!("{first} {}. {last}", initial(&middle)),
            59..63 => format!("{first} {} {last}", initial(&middle)),
            63..67 => format!("{first} {middle} {last}"),
            67..76 => first.clone(),
            76..82 => last.clone(),
            82..85 => format!("{last}, {first}"),
            85..87 => format!("{last} {first}"),
            87..90 => format!("{}. {last}", initial(&first)),
            90..91 => format!("{}.{}. {last}", initial(&first), initial(&middle)),
            91..97 => {
                let title = rng.word(HONORIFICS);
                self.span(title, Kind::Title);
                self.sample.push(" ");
                if rng.percent(50) { last.clone() } else { format!("{first} {last}") }
            }
            97 => format!("{first} {last} Jr."),
            98 => format!("{first} van {last}"),
            _ => format!("{first} {} {last}", rng.word("de da von bin al del di van")),
        };
        let name = cased(&name, rng);
        self.span(&name, Kind::Person);
        self.person = Some((last, first));
    }

    fn job(&self, rng: &mut Rng) -> String {
        let job = capitalized(rng.pick(&self.lists.jobs));
        let lower_tail = |job: &str| {
            let (head, tail) = job.split_once(' ').unwrap_or((job, ""));
            format!("{head} {}", tail.to_lowercase()).trim_end().to_owned()
        };
        if rng.percent(30) { lower_tail(&job) } else { job }
    }

    pub fn place(&self, kind: &str, rng: &mut Rng) -> String {
        let lists = self.lists;
        let kind = if kind == "place" { rng.one(&["city", "city", "country", "country", "region"]) } else { kind };
        let from = match (kind, rng.below(100)) {
            ("country", _) => &lists.countries,
            ("region", _) => &lists.regions,
            (_, 0..35) => &lists.cities,
            (_, 35..60) => &lists.towns,
            (_, 60..90) => &lists.villages,
            _ => &lists.other_spellings,
        };
        let name = rng.pick(from).clone();
        match rng.below(100) {
            0..12 => name.to_uppercase(),
            12..16 => name.to_lowercase(),
            _ => name,
        }
    }

    fn nationality(&self, rng: &mut Rng) -> String {
        if rng.percent(75) {
            return rng.pick(&self.lists.nationalities).clone();
        }
        rng.word("Muslim Christian Jewish Buddhist Hindu Sikh Catholic Protestant Orthodox Sunni Shia Republican Democrat Communist Socialist Conservative Liberal Labour Arab Kurdish Roma Latino Hispanic Asian African European Mormon Methodist Lutheran Atheist").to_owned()
    }
}

fn cased(name: &str, rng: &mut Rng) -> String {
    match rng.below(100) {
        0..3 => name.to_uppercase(),
        3..9 => name.to_lowercase(),
        _ => name.to_owned(),
    }
}
