//! How dates and times are written: ISO 8601, RFC 2822 and the patterns and names that CLDR 48 has for English, German,
//! French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish, Finnish, Turkish, Korean and Thai.

/// Months as CLDR writes them beside a day and alone, with the short names that are no other words. The longest first, as
/// the first alternative that fits is taken.
macro_rules! months {
    () => {
        concat!(
            "(?:października|maaliskuuta|marraskuuta|październik|heinäkuuta|helmikuuta|huhtikuuta|joulukuuta|",
            "septiembre|tammikuuta|toukokuuta|กุมภาพันธ์|diciembre|fevereiro|kesäkuuta|listopada|lokakuuta|",
            "maaliskuu|marraskuu|noviembre|september|septembre|settembre|syyskuuta|พฤศจิกายน|augustus|czerwiec|",
            "december|dezember|dezembro|dicembre|décembre|elokuuta|febbraio|februari|february|grudzień|heinäkuu|",
            "helmikuu|huhtikuu|joulukuu|kwiecień|kwietnia|listopad|november|novembre|novembro|setembro|sierpień|",
            "sierpnia|stycznia|tammikuu|toukokuu|wrzesień|września|มิถุนายน|augusti|ağustos|czerwca|febrero|",
            "februar|février|gennaio|grudnia|haziran|janeiro|januari|january|janvier|juillet|kesäkuu|lokakuu|",
            "october|octobre|octubre|oktober|ottobre|outubro|styczeń|syyskuu|กรกฎาคม|กันยายน|ธันวาคม|พฤษภาคม|",
            "สิงหาคม|agosto|aprile|aralık|august|elokuu|giugno|januar|lipiec|luglio|lutego|maggio|marzec|temmuz|",
            "ตุลาคม|มกราคม|มีนาคม|เมษายน|abril|april|avril|enero|eylül|julho|julio|junho|junio|kasım|lipca|maart|",
            "marca|march|marzo|março|mayıs|nisan|şubat|août|ekim|juin|juli|july|june|juni|luty|maio|maja|mars|",
            "mart|mayo|märz|ocak|sept|apr|aug|dec|dez|feb|jan|jul|jun|mai|maj|mar|may|mei|nov|oct|okt|sep)",
        )
    };
}

/// The other short names, many of which are words: for dates with day and year only.
macro_rules! short_months {
    () => {
        concat!(
            r"(?:มิ\.ย|มี\.ค|เม\.ย|févr|janv|juil|ก\.ค|ก\.พ|ก\.ย|ต\.ค|ธ\.ค|พ\.ค|พ\.ย|ม\.ค|ส\.ค|abr|ago|ara|avr|ağu|",
            "cze|dic|déc|eki|ene|eyl|fev|gen|giu|gru|haz|kas|kwi|lip|lis|lug|lut|mag|mrt|nis|oca|ott|out|paź|set|sie|",
            "sty|tem|wrz|şub)",
        )
    };
}

/// The year after day and month, its century left out after an apostrophe.
macro_rules! year {
    () => {
        r"[ ,\-/]{1,2}(?:de |del |พ\.ศ\. ?|ค\.ศ\. ?)?(?:[0-9]{4}|['’][0-9]{2})"
    };
}

/// A day of the month in English words.
macro_rules! ordinals {
    () => {
        concat!(
            "(?:(?:twenty|thirty)[ -])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|tenth|eleventh|",
            "twelfth|(?:thir|four|fif|six|seven|eigh|nine)teenth|twentieth|thirtieth",
        )
    };
}

/// A day of the calendar, with a time.
pub(in super::super) const ISO: &str = concat!(
    r"[12][0-9]{3}-[01][0-9]-[0-3][0-9]",
    r"(?:(?:[T ]|, )[0-2][0-9]:[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]{1,9})?)?(?: ?[AaPp][Mm])?",
    r"(?:Z| ?[+\-][0-2][0-9]:?[0-5][0-9])?)?",
);

/// The other forms of ISO 8601: without hyphens, week, day of the year, month; and EXIF's with colons.
pub(in super::super) const ISO_OTHER: &str = concat!(
    r"[12][0-9]{3}(?:[01][0-9][0-3][0-9](?:T[0-2][0-9](?:[0-5][0-9](?:[0-6][0-9])?)?(?:Z|[+\-][0-2][0-9](?:[0-5][0-9])?)?)?",
    r"|-W[0-5][0-9](?:-[1-7])?|-[0-3][0-9]{2}|-[01][0-9]|:[01][0-9]:[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9])",
);

/// Three numbers; the year has four digits where spaces stand between them.
pub(in super::super) const NUMERIC: &str =
    r"[0-9]{1,4}(?:[\-/.][0-9]{1,2}[\-/.][0-9]{1,4}|(?: [/.\-] ?|[.] )[0-9]{1,2}(?: ?[/.\-] ?)[0-9]{1,4})";

/// Two numbers.
pub(in super::super) const PARTIAL: &str = r"[0-9]{1,2}(?:/[0-9]{1,4}|[.\-][0-9]{4})";

/// A day and a month, with or without a year.
pub(in super::super) const DAY_MONTH: &str = concat!(
    r"(?i)[0-9]{1,2}(?-u:st|nd|rd|th|er|\.)?[º°]?[ \-/]{0,2}(?:of |de |di )?(?:",
    short_months!(),
    r"\.?",
    year!(),
    "|",
    months!(),
    r"\.?(?:",
    year!(),
    r"|[\-/][0-9]{2})?)",
);

/// A month with a day, a year, or both.
pub(in super::super) const MONTH_DAY: &str = concat!(
    "(?i)",
    months!(),
    r"\.?(?:[ \-]{1,2}[0-9]{1,2}(?-u:st|nd|rd|th)?[ ,\-]{1,2}(?:[0-9]{4}|['’][0-9]{2})",
    r"|[ ,\-/]{1,2}(?:de |del |of |พ\.ศ\. ?)?(?:[0-9]{4}|['’][0-9]{2})|[ \-]{1,2}[0-9]{1,2}(?-u:st|nd|rd|th)?)",
);

/// A day in words, with its month.
pub(in super::super) const ORDINAL: &str = concat!(
    "(?i)(?:(?:",
    ordinals!(),
    ")(?: day)?(?: of)? ",
    months!(),
    "|",
    months!(),
    " (?:the )?(?:",
    ordinals!(),
    "))(?:,? [0-9]{4})?",
);

/// Numbers with the signs for year, month and day; three of them, or two, or the year.
pub(in super::super) const SIGNS: &str =
    "[0-9]{4} ?[年년](?: ?[0-9]{1,2} ?[月월](?: ?[0-9]{1,2} ?[日일])?)?|[0-9]{1,2} ?[月월] ?[0-9]{1,2} ?[日일]";

/// A month after a word that leads to one.
pub(in super::super) const MONTH: &str = concat!(
    "(?i)(?-u:\\b)(?:in|since|during|until|till|by|of|from|to|through|before|after|last|next|this|every|early|late|mid|",
    "im|seit|ab|bis|anfang|mitte|ende|en|depuis|desde|em|nel|dal|sinds|sedan|od|do|w|i)[ -]",
    months!(),
);

/// A year after a word that leads to one.
pub(in super::super) const YEAR: &str = concat!(
    r"(?i-u:\b(?:in|since|during|until|till|by|of|from|to|before|after|year|around|circa|an?|the|through|between|",
    r"founded|established|est\.|born|died|copyright|early|late|mid|spring|summer|autumn|fall|winter|season|class of|",
    r"im|jahr|seit|von|bis|nel|del|dal|anno|en|depuis|desde|de|em|ano|sinds|sedan|rok|roku|w|od) (?:1[89]|20)[0-9]{2}\b)",
);

/// Four digits that may be a year, in brackets, as one end of a range, or as a decade.
pub(in super::super) const YEAR_ALONE: &str = "(?:(?:1[89]|20)[0-9]{2} ?[-–—] ?)?(?:1[89]|20)[0-9]{2}(?:s|['’]s)?";

/// A time of day, or an hour with a word that makes it one.
pub(in super::super) const TIME: &str = concat!(
    "[0-2]?[0-9](?:[:.h][0-5][0-9](?::[0-6][0-9](?:[.,][0-9]{1,3})?)?",
    r"(?: ?(?i-u:[ap]\.?m\b\.?|uhr|uur|o'clock))?| ?(?i-u:[ap]\.?m\b\.?|uhr|uur|o'clock))",
);

/// A time that its date is written with.
pub(in super::super) const TIME_AFTER: &str = concat!(
    "^(?:(?:,? |, ?|T|:)(?:at |um |à |a las |alle ore |às |om |เวลา )?[0-2]?[0-9][:h]|,? klo? ?[0-2]?[0-9][.:]|",
    r",? kl\. [0-2]?[0-9][.:])[0-5][0-9](?:[.:][0-6][0-9](?:[.,][0-9]{1,3})?)?(?: ?(?i-u:[ap]\.?m\b|uhr|uur))?",
    r"(?: ?(?-u:Z\b|(?:GMT|UTC)?[+\-][0-2][0-9]:?[0-5][0-9]\b|(?:GMT|UTC|UT)\b))?",
);

/// Days of the week, in full.
pub(in super::super) const WEEKDAY: &str = concat!(
    r"(?-u:\b)(?:(?i-u:monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
    "|Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonnabend|Sonntag",
    "|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche",
    "|lunes|martes|miércoles|jueves|viernes|sábado|domingo",
    "|lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica",
    "|segunda-feira|terça-feira|quarta-feira|quinta-feira|sexta-feira",
    "|maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag",
    "|poniedziałek|wtorek|środa|środę|czwartek|piątek|sobota|sobotę|niedziela|niedzielę",
    "|måndag|tisdag|onsdag|torsdag|fredag|lördag|söndag",
    "|maanantai|tiistai|keskiviikko|torstai|perjantai|lauantai|sunnuntai",
    "|Pazartesi|Salı|Çarşamba|Perşembe|Cumartesi|Cuma|Pazar",
    "|[월화수목금토일]요일|วัน(?:จันทร์|อังคาร|พุธ|พฤหัสบดี|ศุกร์|เสาร์|อาทิตย์))",
);

/// A day of the week that ends where its date begins.
pub(in super::super) const WEEKDAY_BEFORE: &str = concat!(
    r"(?-u:\b)(?:(?i-u:(?:mon|tues|wednes|thurs|fri|satur|sun)day),? (?:the )?",
    r"|(?:Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)\.?,? ",
    "|(?:(?:Mon|Diens|Donners|Frei|Sams|Sonn)tag|Mittwoch|Sonnabend),? (?:den |dem |der )?|(?:Mo|Di|Mi|Do|Fr|Sa|So)[.,],? ",
    "|(?:lun|mar|mercre|jeu|vendre|same)di,? (?:le )?|dimanche,? (?:le )?",
    "|(?:lunes|martes|miércoles|jueves|viernes|sábado|domingo),? (?:el )?",
    "|(?:lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica),? |(?:segunda|terça|quarta|quinta|sexta)-feira, ",
    "|(?:maan|dins|woens|donder|vrij|zater|zon|mån|tis|ons|tors|fre|lör|sön)dag,? (?:den )?",
    "|(?:poniedziałek|wtorek|środa|czwartek|piątek|sobota|niedziela), ",
    "|(?:maanantai|tiistai|keskiviikko|torstai|perjantai|lauantai|sunnuntai)(?:na)? )$",
);
