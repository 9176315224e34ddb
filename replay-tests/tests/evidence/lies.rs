//! Bundles altered by the exporter, who can sign a manifest of whatever is in them: what is wrong is found all the same,
//! and where.

use crate::altered::{packed, parts};
use crate::house::{House, company, told};
use attestune_ledger::evidence::{self, Anchors, Draft, Export, Exported, Manifest, PartName, Standing, verify};
use attestune_ledger::tree::TlogProof;
use attestune_proto::v1::{Decided, EvidenceExported, SliceEntry, WhyInForceResponse};
use prost::Message as _;
use std::io::Cursor;

pub type Parts = Vec<(String, Vec<u8>)>;

/// Signs altered parts as if they were the bundle: the manifest names them, and the officer's act the manifest.
pub fn signed(house: &mut House, draft: &Draft, alter: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let honest = house.take_out(draft);
    let mut parts = parts(&honest);
    let first = parts.remove(0);
    parts.truncate(parts.len() - 2);
    alter(&mut parts);
    let manifest: Manifest = String::from_utf8(first.1).unwrap().parse().unwrap();
    let manifest =
        Manifest { parts: parts.iter().map(|(name, bytes)| PartName::of(name, bytes)).collect(), ..manifest };
    let positions = parts.iter().filter_map(|(name, _)| name.strip_prefix("events/")?[..10].parse().ok());
    let body =
        EvidenceExported { manifest: manifest.digest().0.to_vec(), positions: positions.collect(), ..draft.event() };
    let exported = house.sign(body);
    parts.insert(0, ("manifest.txt".into(), manifest.to_string().into_bytes()));
    parts.extend(export_parts(draft, &exported));
    packed(&parts)
}

/// The exporter's act as parts.
pub fn export_parts(draft: &Draft, exported: &Exported) -> Parts {
    honest_part(&draft.finish(exported, Cursor::new(Vec::new())).unwrap().into_inner())
}

/// The last two parts: the exporter's act.
fn honest_part(bundle: &[u8]) -> Parts {
    let mut all = parts(bundle);
    all.split_off(all.len() - 2)
}

pub fn part<'a>(parts: &'a mut Parts, name: &str) -> &'a mut Vec<u8> {
    &mut parts.iter_mut().find(|(there, _)| there == name).unwrap_or_else(|| panic!("there is {name}")).1
}

/// What is told of a complete bundle whose entries were altered and that was signed all the same.
fn of_log(alter: impl FnOnce(&mut Vec<Decided>)) -> String {
    let mut house = House::of(company());
    let draft = house.complete(house.last());
    let bundle = signed(&mut house, &draft, |parts| {
        let log = part(parts, "log");
        let mut export = Export::read(log).unwrap();
        alter(&mut export.entries);
        *log = Export::write(&export.entries_note, &export.verdicts_note, &export.entries);
    });
    told(&verify(&bundle, &house.anchors()))
}

#[test]
fn signing_alone_does_not_spoil_a_bundle() {
    assert_eq!(of_log(|_| {}), "");
}

#[test]
fn an_altered_entry_is_found_where_it_stands() {
    for at in [3usize, 40, 60] {
        let told = of_log(|entries| entries[at].time_ms += 1);
        assert!(told.contains(&format!("log, position {at}: the entry is not the one that was signed")), "{told}");
        let told = of_log(|entries| {
            let byte = entries[at].envelope.len() / 2;
            entries[at].envelope[byte] ^= 1;
        });
        assert!(told.contains(&format!("log, position {at}: ")), "{told}");
    }
}

#[test]
fn an_entry_left_out_put_in_or_moved_is_found_where_it_was() {
    let numbered = |entries: &mut Vec<Decided>| (0..).zip(entries).for_each(|(at, entry)| entry.position = at);
    let told = of_log(|entries| drop(entries.remove(50)));
    assert!(told.contains("log, position 50: another position stands there"), "{told}");
    let told = of_log(|entries| {
        entries.remove(50);
        numbered(entries);
    });
    assert!(told.contains("log, position 50: the entry is not the one"), "{told}");
    let told = of_log(|entries| {
        entries.swap(50, 51);
        numbered(entries);
    });
    assert!(told.contains("log, position 50: "), "{told}");
    let told = of_log(|entries| {
        let again = entries[10].clone();
        entries.insert(60, again);
        numbered(entries);
    });
    assert!(told.contains("log, position 60: "), "{told}");
    let told = of_log(|entries| drop(entries.pop()));
    assert!(told.contains("entries, its checkpoint covers"), "{told}");
}

#[test]
fn a_verdict_that_is_not_the_rules_is_found_where_it_stands() {
    let refused = company().folded.iter().position(|f| f.code() == "wrong-stage").unwrap();
    let place = format!("log, position {refused}: the verdict that stands there is not the one of the rules");
    for field in ["verdict", "code", "figures", "digest"] {
        let told = of_log(|entries| {
            let entry = &mut entries[refused];
            match field {
                "verdict" => entry.verdict = 1,
                "code" => entry.refusal.as_mut().unwrap().code = "bad-field".into(),
                "figures" => entry.refusal.as_mut().unwrap().figures.clear(),
                _ => entry.effects_digest = vec![1; 32],
            }
        });
        assert!(told.contains(&place), "{field}: {told}");
    }
}

#[test]
fn an_older_checkpoint_is_told() {
    let mut house = House::of(company());
    let older = house.notes();
    let draft = house.complete(house.last());
    house.take_out(&draft); // the log grows by the officer's act
    let draft = house.complete(house.last());
    let bundle = signed(&mut house, &draft, |parts| {
        let log = part(parts, "log");
        let export = Export::read(log).unwrap();
        *log = Export::write(&older.0, &older.1, &export.entries);
    });
    let told = told(&verify(&bundle, &house.anchors()));
    assert!(told.contains("its entries' checkpoint: it covers") && told.contains("an older or newer one"), "{told}");
}

/// What is told of a bundle of either kind whose parts were altered and that was signed all the same.
fn of_parts(slice: bool, alter: impl FnOnce(&mut Parts)) -> String {
    let mut house = House::of(company());
    let draft = if slice { house.slice(house.last()) } else { house.complete(house.last()) };
    let bundle = signed(&mut house, &draft, alter);
    told(&verify(&bundle, &house.anchors()))
}

#[test]
fn what_people_read_is_held_against_what_is_proven() {
    for slice in [false, true] {
        assert_eq!(of_parts(slice, |_| {}), "");
        let replace = |name: &'static str, from: &'static str, to: &'static str| {
            of_parts(slice, |parts| {
                let bytes = part(parts, name);
                let text = String::from_utf8(bytes.clone()).unwrap();
                assert!(text.contains(from), "{name} says {from}");
                *bytes = text.replacen(from, to, 1).into_bytes();
            })
        };
        assert!(replace("index.html", "ALMA", "ALMO").contains("index.html: the page shows something else"));
        let told = replace("population.csv", ",0,", ",4,");
        assert!(told.contains("population.csv: "), "{told}");
        let told = replace("sample.csv", "\n", "\r\n");
        assert!(told.contains("sample.csv: the sample is not the one that the seed draws"), "{told}");
        let told = of_parts(slice, |parts| part(parts, "policy").push(0));
        assert!(told.contains("policy: "), "{told}");
    }
}

#[test]
fn a_page_that_tells_whoever_opens_it_that_all_is_well_is_told() {
    for slice in [false, true] {
        let mut house = House::of(company());
        let draft = if slice { house.slice(house.last()) } else { house.complete(house.last()) };
        let lying = b"<!doctype html><title>It holds</title>";
        let bundle = signed(&mut house, &draft, |parts| *part(parts, "check.html") = lying.to_vec());
        let told = told(&verify(&bundle, &house.anchors()));
        assert!(told.contains("check.html: it is not the page that this version"), "{told}");

        // Who does not have the page can say only that nobody has looked at it.
        let report = verify(&bundle, &Anchors { checker: None, ..house.anchors() });
        let page = report.claims.iter().find(|claim| claim.text.contains("held against nothing here"));
        assert!(page.is_some_and(|claim| matches!(claim.standing, Standing::Asserted(_))), "{:?}", report.claims);
    }
}

#[test]
fn nothing_travels_in_a_bundle_that_is_held_against_nothing() {
    let page = || b"<title>All is well</title>".to_vec();
    for (slice, name) in [
        (false, "report.html"),
        (false, "checkpoint"),
        (true, "report.html"),
        (true, "log"),
        (true, "effects/9999999999"),
        (true, "effects/1"),
    ] {
        let told = of_parts(slice, |parts| parts.push((name.into(), page())));
        assert!(told.contains(&format!("{name}: a bundle of this kind has no such part")), "{name}: {told}");
    }
}

/// Every field of the answer that an event of the bundle speaks of.
#[test]
fn an_answer_that_its_events_do_not_give_is_told() {
    type Change = fn(&mut WhyInForceResponse);
    let changes: [(&str, Change); 16] = [
        ("version", |a| a.version = 2),
        ("since", |a| a.since_position -= 1),
        ("moment", |a| a.as_of_position -= 1),
        ("approval's position", |a| a.approvals[0].position -= 1),
        ("approval's actor", |a| a.approvals[0].actor = "axel".into()),
        ("approval's meaning", |a| a.approvals[1].meaning = 2),
        ("an approval more", |a| a.approvals.push(a.approvals[0].clone())),
        ("an approval less", |a| drop(a.approvals.pop())),
        ("promotion", |a| a.promotion.as_mut().unwrap().approvals_needed = 1),
        ("results", |a| a.evaluations[0].evaluation.as_mut().unwrap().results[0].passed = 100),
        ("bar", |a| a.evaluations[0].suite.as_mut().unwrap().categories[0].bar_ppm = 1),
        ("verdict on it", |a| a.evaluations[0].verdicts[0].passed = 100),
        ("dataset's root", |a| a.dataset.as_mut().unwrap().root[0] ^= 1),
        ("run's dataset", |a| a.run.as_mut().unwrap().dataset = 1),
        ("policy", |a| a.policy.as_mut().unwrap().policy.as_mut().unwrap().sample_ppm = 7),
        ("adapter", |a| a.in_force.as_mut().unwrap().adapter_digest[0] ^= 1),
    ];
    for slice in [false, true] {
        for (field, change) in changes {
            let told = of_parts(slice, |parts| {
                let bytes = part(parts, "answer");
                let mut answer = WhyInForceResponse::decode(bytes.as_slice()).unwrap();
                change(&mut answer);
                *bytes = answer.encode_to_vec();
            });
            assert!(told.contains("answer: ") || told.contains("policy: "), "{field}, slice {slice}: {told}");
        }
    }
}

#[test]
fn a_slice_can_neither_hide_an_approval_nor_invent_a_verdict_or_a_change() {
    let house = House::of(company());
    let answer = house.answer(house.last());
    let approval = format!("{:010}", answer.approvals[0].position);
    let told = of_parts(true, |parts| parts.retain(|(name, _)| !name.contains(&approval)));
    assert!(told.contains("the approval at"), "{told}");

    // The verdict on another entry in the place of this one's.
    let (this, other) = (answer.approvals[0].position, answer.approvals[1].position);
    let told = of_parts(true, |parts| {
        let theirs = part(parts, &format!("judged/{other:010}.tlog-proof")).clone();
        *part(parts, &format!("judged/{this:010}.tlog-proof")) = theirs;
    });
    assert!(told.contains(&format!("judged/{this:010}.tlog-proof: it is a proof of position {other}")), "{told}");

    let refused = of_parts(true, |parts| {
        let bytes = part(parts, &format!("judged/{this:010}.tlog-proof"));
        let mut proof: TlogProof = String::from_utf8(bytes.clone()).unwrap().parse().unwrap();
        proof.extra[40] = 2;
        *bytes = proof.to_string().into_bytes();
    });
    assert!(refused.contains("the verdict does not stand in the tree of verdicts"), "{refused}");

    let effects = of_parts(true, |parts| {
        let bytes = part(parts, &format!("effects/{this:010}"));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    assert!(effects.contains("these are not the changes whose digest the verdict has"), "{effects}");

    let event = of_parts(true, |parts| {
        let bytes = part(parts, &format!("events/{this:010}.tlog-proof"));
        let mut proof: TlogProof = String::from_utf8(bytes.clone()).unwrap().parse().unwrap();
        let middle = proof.extra.len() / 2;
        proof.extra[middle] ^= 1;
        *bytes = proof.to_string().into_bytes();
    });
    assert!(event.contains(&format!("events/{this:010}.tlog-proof: the entry does not stand in the log")), "{event}");
}

/// What is told of a slice with this answer about a moment, whose exporter discloses what both versions rest on.
fn of_answer(house: &mut House, about: u64, answer: &WhyInForceResponse) -> String {
    let at = house.last().min(about);
    let mut disclosed = house.slice_entries(at);
    disclosed.extend(house.slice_entries(at - 1));
    let position = |entry: &SliceEntry| entry.decided.as_ref().unwrap().position;
    disclosed.sort_by_key(position);
    disclosed.dedup_by_key(|entry| position(entry));
    let (members, notes) = (house.members(at), house.notes());
    let draft = evidence::slice(&disclosed, &notes.0, &notes.1, answer, members, &house.request(about)).unwrap();
    let bundle = house.take_out(&draft);
    told(&verify(&bundle, &house.anchors()))
}

#[test]
fn an_answer_put_together_from_what_was_said_of_another_version_is_told() {
    type Change = fn(&mut WhyInForceResponse, WhyInForceResponse);
    let changes: [(&str, Change); 8] = [
        ("another promotion", |a, other| {
            (a.promotion, a.approvals, a.evaluations) = (other.promotion, other.approvals, other.evaluations);
        }),
        ("approvals of no promotion", |a, _| a.promotion = None),
        ("other evaluations", |a, other| a.evaluations = other.evaluations),
        ("another adapter", |a, other| a.in_force = other.in_force),
        ("no run, as if it were trained elsewhere", |a, _| (a.run, a.dataset) = (None, None)),
        ("no base model", |a, _| a.base = None),
        ("no rollback", |a, _| a.rollback = None),
        ("no policy", |a, _| a.policy = None),
    ];
    for (what, change) in changes {
        let mut house = House::of(company());
        let at = house.last();
        let (mut answer, other) = (house.answer(at), house.answer(at - 1));
        assert_eq!((answer.version, other.version), (1, 2), "the last event is a rollback");
        assert_eq!(of_answer(&mut house, at, &answer), "");
        change(&mut answer, other);
        let told = of_answer(&mut house, at, &answer);
        assert!(told.contains("answer: that its parts belong together is not"), "{what}: {told}");
    }
}

#[test]
fn a_slice_that_holds_what_ended_a_version_cannot_say_that_it_is_in_force() {
    let mut house = House::of(company());
    let at = house.last();
    let answer = WhyInForceResponse { as_of_position: at, ..house.answer(at - 1) };
    let told = of_answer(&mut house, at, &answer);
    assert!(told.contains("answer: that version 2 came into force at"), "{told}");
}

#[test]
fn a_slice_about_a_moment_that_its_checkpoint_does_not_cover_is_told() {
    let mut house = House::of(company());
    let at = house.last();
    let answer = WhyInForceResponse { as_of_position: at + 7, ..house.answer(at) };
    let told = of_answer(&mut house, at + 7, &answer);
    assert!(told.contains("manifest.txt: the position asked about lies beyond the log's end"), "{told}");
}

#[test]
fn a_bundle_that_nobody_signed_for_or_somebody_else_did_is_told() {
    let mut house = House::of(company());
    let (complete, slice) = (house.complete(house.last()), house.slice(house.last()));
    let (first, second) = (house.take_out(&complete), house.take_out(&slice));
    let mut mixed = parts(&first);
    mixed.truncate(mixed.len() - 2);
    mixed.extend(honest_part(&second));
    let report = verify(&packed(&mixed), &house.anchors());
    assert!(
        told(&report).contains("manifest.txt: it is not the manifest that the exporter signed"),
        "{}",
        told(&report)
    );
}
