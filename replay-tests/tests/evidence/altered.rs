//! Bundles altered by somebody who can sign nothing.

use crate::house::{House, company, salt, text, told};
use attestune_ledger::evidence::{OpenedText, verify};
use std::io::{Cursor, Read as _, Write as _};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The parts of an archive.
pub fn parts(bundle: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(bundle)).unwrap();
    let count = zip.len();
    let part = |number| {
        let mut file = zip.by_index(number).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        (file.name().unwrap().into_owned(), bytes)
    };
    (0..count).map(part).collect()
}

/// An archive of parts, in the form that bundles have.
pub fn packed(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        let options = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored);
        zip.start_file(name.as_str(), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The archive with some of its parts only.
pub fn repacked(bundle: &[u8], keep: impl Fn(&str, &[u8]) -> bool) -> Vec<u8> {
    let mut parts = parts(bundle);
    parts.retain(|(name, bytes)| keep(name, bytes));
    packed(&parts)
}

fn both() -> (House, [Vec<u8>; 2]) {
    let mut house = House::of(company());
    let mut complete = house.complete(house.last());
    complete.open(&OpenedText { salt: salt(0), content: text(0) });
    let slice = house.slice(house.last());
    let bundles = [house.take_out(&complete), house.take_out(&slice)];
    (house, bundles)
}

#[test]
fn no_byte_of_a_bundle_can_be_another() {
    let (house, bundles) = both();
    for bundle in bundles {
        assert_eq!(packed(&parts(&bundle)), bundle, "the test packs as bundles are packed");
        // Some 200 places all over the file, and every byte of its end, where the directory is.
        let step = (bundle.len() / 200).max(1);
        let places = (0..bundle.len()).step_by(step).chain(bundle.len() - 120..bundle.len());
        for at in places {
            let bit = at % 8;
            let mut other = bundle.clone();
            other[at] ^= 1 << bit;
            let report = verify(&other, &house.anchors());
            assert!(!report.holds(), "bit {bit} of byte {at} of {}", bundle.len());
            assert!(report.failures.iter().all(|failure| !failure.place.is_empty() && !failure.what.is_empty()));
        }
        for cut in [0, 1, 100, bundle.len() / 2, bundle.len() - 1] {
            assert!(!verify(&bundle[..cut], &house.anchors()).holds());
        }
        assert!(!verify(&[&bundle[..], b"\n"].concat(), &house.anchors()).holds());
    }
}

#[test]
fn every_part_is_missed_and_none_can_be_put_in_or_moved() {
    let (house, bundles) = both();
    for bundle in bundles {
        let all = parts(&bundle);
        for (number, (name, _)) in all.iter().enumerate().filter(|(_, (name, _))| !name.starts_with("texts/")) {
            let mut fewer = all.clone();
            fewer.remove(number);
            let report = verify(&packed(&fewer), &house.anchors());
            assert!(report.failures.iter().any(|f| f.place == *name), "without {name}: {}", told(&report));
        }
        let mut more = all.clone();
        more.push(("more".into(), b"text".to_vec()));
        assert!(told(&verify(&packed(&more), &house.anchors())).contains("more: the manifest names no such part"));
        let mut moved = all.clone();
        moved.swap(1, 2);
        assert!(!verify(&packed(&moved), &house.anchors()).holds());
    }
}

#[test]
fn another_ledgers_bundle_and_an_invented_one_are_told_by_the_id_that_is_known() {
    let (house, bundles) = both();
    // The same company once more, with another policy: another genesis, another ledger.
    let mut policy = attestune_replay_tests::policy();
    policy.browser_keys_approve = true;
    let mut other = attestune_replay_tests::World::with_policy(policy);
    let life = other.with_dataset();
    other.train(&life);
    other.evaluate(&life, 1, 99);
    other.promote(1, None);
    let mut invented = House::of(other);
    for draft in [invented.complete(invented.last()), invented.slice(invented.last())] {
        let bundle = invented.take_out(&draft);
        assert_eq!(told(&verify(&bundle, &invented.anchors())), "", "it is sound in itself");
        let report = verify(&bundle, &house.anchors());
        assert!(told(&report).contains("not of the one that you named"), "{}", told(&report));
    }
    for bundle in bundles {
        assert!(!verify(&bundle, &invented.anchors()).holds());
    }
}
