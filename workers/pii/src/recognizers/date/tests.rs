//! Texts written for these tests, in the forms that the standards name.

use super::super::{check, score};
use super::*;
use crate::Entity;

fn finds(cases: &[(&str, &[&str])]) {
    check(Entity::DATE, cases);
}

/// What the scanner tells by default.
fn told(text: &str) -> Vec<String> {
    let config = crate::Config { entities: [Entity::DATE].into(), ..crate::Config::default() };
    let found = crate::Scanner::patterns(&config).unwrap().scan(text);
    let characters: Vec<char> = text.chars().collect();
    found.iter().map(|f| characters[f.start as usize..f.end as usize].iter().collect()).collect()
}

#[test]
fn dates_in_digits_are_found() {
    finds(&[
        ("am 2024-02-29.", &["2024-02-29"]),
        ("2023-07-01T08:15:00.5+02:00 ok", &["2023-07-01T08:15:00.5+02:00"]),
        ("2023-07-01 08:15 ü", &["2023-07-01 08:15"]),
        ("2023-07-01 08:15 PM, 2023-07-01 08:15:59 +0200", &["2023-07-01 08:15 PM", "2023-07-01 08:15:59 +0200"]),
        ("2023/7/1", &["2023/7/1"]),
        ("31.12.1999", &["31.12.1999"]),
        ("12/31/1999", &["12/31/1999"]),
        ("3-4-21", &["3-4-21"]),
        ("03.04.21", &["03.04.21"]),
        ("11/2027", &["11/2027"]),
        ("on 5/21,", &["5/21"]),
    ]);
}

#[test]
fn so_are_the_other_forms_of_iso_8601() {
    finds(&[
        ("in 2024-W09-4 or 2024-W53", &["2024-W09-4", "2024-W53"]),
        ("20240229T101500Z, 20240229T1015+0200", &["20240229T101500Z", "20240229T1015+0200"]),
        ("on 20240229 and 2024-060 and 2024-02", &["20240229", "2024-060", "2024-02"]),
        ("taken 2024:02:29 10:15:30", &["2024:02:29 10:15:30"]),
        ("2024-W54", &[]),
        ("2024-367, 20240230", &[]),
    ]);
    assert_eq!(told("20240229T101500Z and 2024-W09 but 20240229 or 2024-060"), ["20240229T101500Z", "2024-W09"]);
}

#[test]
fn digits_stand_with_spaces_and_times_where_languages_have_them() {
    finds(&[
        ("12 / 31 / 1999", &["12 / 31 / 1999"]),
        ("dnia 5. 2. 2021 r.", &["5. 2. 2021"]),
        ("2021. 2. 5. 오후", &["2021. 2. 5"]),
        ("05.02.2021, 14:03:09", &["05.02.2021, 14:03:09"]),
        ("2/5/21, 2:03:09 PM", &["2/5/21, 2:03:09 PM"]),
        ("5.2.2021 klo 14.03.09", &["5.2.2021 klo 14.03.09"]),
        ("Freitag, 05.02.2021", &["Freitag, 05.02.2021"]),
        ("am 5.2.2021 12.50 EUR", &["5.2.2021"]),
        ("1. 2. 33", &[]),
        ("4 / 5 / 6", &[]),
    ]);
}

#[test]
fn days_that_no_calendar_has_are_not() {
    finds(&[
        ("2023-02-29", &[]),
        ("31.04.1999", &[]),
        ("13/13/1999", &[]),
        ("1.2.33", &[]),
        ("1-2/2020", &[]),
        ("1/2/3/2020", &[]),
        ("x2023-07-01", &[]),
        ("2023-07-011", &[]),
        ("99/99", &[]),
    ]);
}

#[test]
fn names_of_months_are_found_in_several_languages() {
    finds(&[
        ("on 5 May 2021.", &["5 May 2021"]),
        ("the 3rd of March, 1999", &["3rd of March, 1999"]),
        ("March 3rd, 1999", &["March 3rd, 1999"]),
        ("Sept. 2020", &["Sept. 2020"]),
        ("May-2021", &["May-2021"]),
        ("12. März 1980", &["12. März 1980"]),
        ("1 août 2019", &["1 août 2019"]),
        ("le 1er janv. 2019", &["1er janv. 2019"]),
        ("4 de julio de 2018", &["4 de julio de 2018"]),
        ("5 de fev. de 2021", &["5 de fev. de 2021"]),
        ("5 lutego 2021, 3 maja 1980", &["5 lutego 2021", "3 maja 1980"]),
        ("5 augusti 1974", &["5 augusti 1974"]),
        ("5. helmikuuta 2021", &["5. helmikuuta 2021"]),
        ("5 Şubat 2021", &["5 Şubat 2021"]),
        ("5 กุมภาพันธ์ 2564, 5 ก.พ. 2564", &["5 กุมภาพันธ์ 2564", "5 ก.พ. 2564"]),
        ("2021년 2월 5일에", &["2021년 2월 5일"]),
        ("2021年2月5日", &["2021年2月5日"]),
        ("Dec 25", &["Dec 25"]),
        ("25 Dec.", &["25 Dec"]),
    ]);
}

#[test]
fn years_may_lack_their_century_and_dates_have_weekday_and_time() {
    finds(&[
        ("25-DEC-99", &["25-DEC-99"]),
        ("May '99 or 5 May ’80", &["May '99", "5 May ’80"]),
        ("[05/May/2019:10:15:30 +0000]", &["05/May/2019:10:15:30 +0000"]),
        ("Date: Fri, 21 Nov 1997 09:55:06 -0600", &["Fri, 21 Nov 1997 09:55:06 -0600"]),
        ("on Friday, February 5, 2021 at 2:03:09 PM", &["Friday, February 5, 2021 at 2:03:09 PM"]),
        ("viernes, 5 de febrero de 2021", &["viernes, 5 de febrero de 2021"]),
        ("the twenty-first of May 1980", &["twenty-first of May 1980"]),
        ("on the Fourth of July", &["Fourth of July"]),
        ("August the tenth, 1999", &["August the tenth, 1999"]),
    ]);
}

#[test]
fn parts_of_dates_are_told_at_lower_scores() {
    finds(&[
        ("since August, in mid-March", &["August", "March"]),
        ("im Mai und en août", &["Mai", "août"]),
        ("(1977), the 1980s, 1990–1995", &["1977", "1980s", "1990–1995"]),
        ("at 10:15:30 or 3 p.m. or 14:05", &["10:15:30", "3 p.m.", "14:05"]),
        ("um 10.15 Uhr", &["10.15 Uhr"]),
    ]);
    finds(&[("we may march on", &[]), ("$1977 or 1987 74", &[]), ("10.15 or 3:2", &[]), ("by march", &[])]);
    assert_eq!(score(Entity::DATE, "since August"), 150_000);
    assert_eq!(score(Entity::DATE, "a time of 10:15:30"), 150_000);
    assert_eq!(score(Entity::DATE, "room 1977"), 50_000);
    assert!(told("since August 1977 people came at 3 pm, date 14:05").len() == 1, "August 1977");
}

#[test]
fn words_that_hold_a_month_are_not_dates() {
    finds(&[
        ("mayor 21", &[]),
        ("32 May", &[]),
        ("Dismay 21", &[]),
        ("5 marches", &[]),
        ("May 20212", &[]),
        ("maybe", &[]),
        ("10 out, 3 set", &[]),
    ]);
    assert_eq!(told("you may first ask; the second march; 3 mars; two years ago, yesterday"), [""; 0]);
}

#[test]
fn a_month_is_no_beginning_of_another_that_stands_behind_it() {
    let names = &MONTH_DAY[MONTH_DAY.find("października").unwrap()..];
    let names: Vec<&str> = names[..names.find(')').unwrap()].split('|').collect();
    for (at, name) in names.iter().enumerate() {
        assert!(!names[at + 1..].iter().any(|later| later.starts_with(name)), "{name} hides a longer name");
    }
}

#[test]
fn years_and_days_of_the_week_need_context_or_a_low_threshold() {
    finds(&[("founded in 1977.", &["1977"]), ("on Tuesday, Mittwoch", &["Tuesday", "Mittwoch"])]);
    finds(&[("in 19771", &[]), ("of 1977-1", &[]), ("Sundays", &[])]);
    assert_eq!(score(Entity::DATE, "founded in 1977"), 200_000);
    assert_eq!(score(Entity::DATE, "born in 1977"), 550_000);
    assert_eq!(score(Entity::DATE, "see you on Monday"), 200_000);
}

#[test]
fn a_partial_date_needs_context() {
    assert_eq!(score(Entity::DATE, "about 5/21"), 100_000);
    assert_eq!(score(Entity::DATE, "birth: 5/21"), 450_000);
    assert_eq!(score(Entity::DATE, "we may 5"), 100_000);
    assert_eq!(score(Entity::DATE, "born 5 May 1980"), 1_000_000);
    assert_eq!(score(Entity::DATE, "le 5 février"), 400_000);
}
