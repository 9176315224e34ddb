//! Numbers that authorities and encyclopedias publish as examples: each passes its check, and no neighbour does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use attestune_pii::{Config, Entity, Scanner};

/// Kind, number. None is anybody's but an authority's or a company's.
const EXAMPLES: &str = "
    aba-routing-number         021000021
    medical-license            AB1234563
    us-npi                     1234567893
    ca-sin                     193 456 787
    au-abn                     51 824 753 556
    au-acn                     004 085 616
    au-medicare                2123 45670 1
    au-tfn                     123 456 782
    uk-nhs                     943 476 5919
    de-health-insurance        A123456780
    de-social-security         15070649C103
    de-tax-id                  86095742719
    de-vat-id                  DE136695976
    es-nif                     12345678Z
    es-nie                     X1234567L
    fi-personal-identity-code  131052-308T
    it-fiscal-code             RSSMRA85T10A562S
    it-vat-code                00743110157
    pl-pesel                   44051401359
    se-personnummer            811228-9874
    se-organisationsnummer     212000-0142
    tr-national-id             10000000146
    in-aadhaar                 2341 2341 2346
    in-gstin                   27AAPFU0939F1ZV
    kr-brn                     220-81-62517
    sg-nric-fin                S1234567D
    sg-nric-fin                T1234567J
    sg-nric-fin                F1234567N
    sg-nric-fin                G1234567X
    sg-uen                     197401143C
    za-id-number               8001015009087
";

fn examples() -> impl Iterator<Item = (Entity, &'static str)> {
    let lines = EXAMPLES.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| {
        let (entity, number) = line.split_once("  ").unwrap();
        (entity.parse().unwrap(), number.trim())
    })
}

/// The kinds of which a recognizer with a checksum finds the whole number.
fn checked(entity: Entity, number: &str) -> bool {
    let scanner = Scanner::new(&Config::only([entity])).unwrap();
    let found = scanner.scan(&format!("no. {number}, ok"));
    let whole = (4, 4 + number.chars().count() as u32);
    found.iter().any(|f| f.recognizer.ends_with(".checked") && (f.start, f.end) == whole)
}

#[test]
fn published_examples_pass_their_check() {
    let failed: Vec<_> = examples().filter(|(entity, number)| !checked(*entity, number)).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn another_character_in_any_place_seldom_does() {
    let (mut passed, mut tried) = (0, 0);
    for (entity, number) in examples() {
        for (at, old) in number.char_indices() {
            let others: &str = if old.is_ascii_digit() { "0123456789" } else { "ABCDEFGHIJKLMNOPQRSTUVWXYZ" };
            for new in others.chars().filter(|new| *new != old && old.is_ascii_alphanumeric()) {
                let other = format!("{}{new}{}", &number[..at], &number[at + 1..]);
                tried += 1;
                passed += usize::from(checked(entity, &other));
            }
        }
    }
    println!("{passed} of {tried} neighbours pass");
    // Luhn, the weighted sums and ISO 7064 find every wrong digit; DEA, TR and the letters of the others nearly every.
    assert!(passed * 50 < tried, "{passed} of {tried}");
}

#[test]
fn a_word_in_the_language_of_the_country_supports_a_number() {
    let cases = [
        ("Steuer-ID: 86095742719", "de-tax-id"),
        ("Meine Krankenversichertennummer lautet A123456780", "de-health-insurance"),
        ("el DNI 12345678Z es suyo", "es-nif"),
        ("codice fiscale RSSMRA85T10A562S", "it-fiscal-code"),
        ("henkilötunnus 131052-308T", "fi-personal-identity-code"),
        ("numer PESEL 44051401359", "pl-pesel"),
        ("personnummer 811228-9874", "se-personnummer"),
        ("TC kimlik numarası 10000000146", "tr-national-id"),
        ("사업자등록번호는 220-81-62517입니다", "kr-brn"),
        ("เลขประจำตัวประชาชน1101700230678", "th-tnin"),
        ("आधार 2341 2341 2346", "in-aadhaar"),
    ];
    let scanner = Scanner::patterns(&Config::default()).unwrap();
    for (text, entity) in cases {
        let found = scanner.scan(text);
        let told: Vec<_> = found.iter().map(|f| (f.entity.name(), f.score_ppm)).collect();
        assert!(told.iter().any(|(name, score)| *name == entity && *score >= 700_000), "{text}: {told:?}");
    }
    let mixed = "Mein Steuer-ID 86095742719 e il mio codice fiscale RSSMRA85T10A562S, numer PESEL 44051401359";
    let told: Vec<_> = scanner.scan(mixed).iter().map(|f| f.entity.name()).collect();
    assert_eq!(told, ["de-tax-id", "it-fiscal-code", "pl-pesel"], "three languages in one text");
}
