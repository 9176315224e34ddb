//! The recognizers of this build, for manuals and for programs that ask.

use serde::Serialize;

use crate::{
    Entity,
    recognizers::TABLE,
    table::{self, Entry},
};

/// One recognizer of this build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it finds.
    pub entity: Entity,
    /// Its stable name; the names of a table's entry begin with the entity.
    pub name: &'static str,
    /// ISO 3166-1 alpha-2; nothing for what is of no country.
    pub country: Option<&'static str>,
    /// The language (ISO 639-1) of its context words beside English; nothing for what is of none.
    pub language: Option<&'static str>,
    /// What it checks, by whose rules.
    pub source: &'static str,
    /// Its checksums, in words; empty if it has none or its code is one.
    pub checksums: Vec<String>,
    /// The lowest and the highest score before context, in parts per million.
    pub scores_ppm: (u32, u32),
    /// The words nearby that make a finding likelier.
    pub context: Vec<&'static str>,
}

/// Every recognizer of this build: those of no country first.
pub fn recognizers() -> Vec<Listed> {
    let code = TABLE.iter().map(|r| Listed {
        entity: r.entity,
        name: r.name,
        country: r.country,
        language: None,
        source: r.source,
        checksums: Vec::new(),
        scores_ppm: r.scores_ppm,
        context: r.context.to_vec(),
    });
    let table = table::built_in().iter().filter_map(|entry| Some(of_entry(entry, Entity::named(&entry.entity)?)));
    code.chain(table).collect()
}

fn of_entry(entry: &'static Entry, entity: Entity) -> Listed {
    let scores = entry.patterns.iter().map(|pattern| (pattern.score * 1e6).round() as u32);
    // A telephone plan has no pattern of its own; its scores are those of `phone.plan`.
    let phone = TABLE.iter().find(|r| r.entity == Entity::PHONE).map(|r| r.scores_ppm).unwrap_or_default();
    let scores_ppm = scores.clone().min().zip(scores.max()).unwrap_or(phone);
    let own = entry.patterns.iter().map(|pattern| pattern.checksum.as_ref().or(entry.checksum.as_ref()));
    let mut checksums: Vec<String> = own.flatten().map(|checksum| checksum.describe()).collect();
    checksums.dedup();
    Listed {
        entity,
        name: entity.name(),
        country: entry.country.as_deref(),
        language: entry.language.as_deref(),
        source: &entry.source,
        checksums,
        scores_ppm,
        context: entry.context.iter().map(String::as_str).collect(),
    }
}
