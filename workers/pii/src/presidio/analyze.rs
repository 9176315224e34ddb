//! The analyzer: `/analyze`, `/recognizers`, `/supportedentities`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use rayon::prelude::*;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use crate::operator::places;
use crate::{Asked, CERTAIN_PPM, Config, ConfigError, Entity, Explained, Recognizers, Scanner, table};

/// What a pattern of an allow list may take, compiled.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// How many recognizers a request may bring.
const AD_HOC_MAX: usize = 64;
const NO_RECOGNIZERS: &str = "No matching recognizers were found to serve the request.";

/// What a client asks for. Fields that are not here are ignored, as Presidio does.
#[derive(Deserialize)]
struct Request {
    text: Option<Text>,
    language: Option<String>,
    entities: Option<Vec<String>>,
    score_threshold: Option<f64>,
    /// A boolean, or a number that stands for one.
    return_decision_process: Option<Value>,
    ad_hoc_recognizers: Option<Vec<Value>>,
    context: Option<Vec<String>>,
    allow_list: Option<Vec<String>>,
    allow_list_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Many(Vec<String>),
}

/// Answers requests, with one scanner for each language that is asked for.
pub struct Analyzer {
    config: Config,
    own: Recognizers,
    /// For every language.
    all: Scanner,
    by_language: BTreeMap<&'static str, OnceLock<Scanner>>,
}

/// A recognizer that came with a request.
struct AdHoc {
    /// The name by which the client knows it, and that of what it finds.
    name: String,
    entity: String,
    scanner: Scanner,
}

/// One request, ready.
struct Question<'a> {
    scanner: Option<&'a Scanner>,
    ad_hoc: Vec<AdHoc>,
    asked: Asked,
    never: Option<Regex>,
    explains: bool,
}

impl Analyzer {
    /// For this configuration; the user's own recognizers run beside it.
    ///
    /// # Errors
    /// The configuration can't be used.
    pub fn new(config: Config, own: Recognizers) -> Result<Self, ConfigError> {
        let all = Scanner::with(&config, &own, Scanner::detectors())?;
        let of_table = table::built_in().iter().filter_map(|entry| entry.language.as_deref());
        let of_own = own.rules.iter().filter_map(|rule| rule.language);
        let of_detectors = Scanner::detectors();
        let of_detectors = of_detectors.iter().flat_map(|detector| detector.languages());
        let wanted = |language: &&str| config.languages.as_ref().is_none_or(|wanted| wanted.contains(*language));
        let languages = of_table.chain(of_own).chain(of_detectors.copied()).filter(wanted);
        let by_language = languages.map(|language| (language, OnceLock::new())).collect();
        Ok(Self { config, own, all, by_language })
    }

    /// `POST /analyze`: the findings in a text, or a list of them for a list of texts.
    ///
    /// # Errors
    /// As Presidio has them: 400 for what is no such request, 500 for what it can't serve.
    pub fn analyze(&self, body: &[u8]) -> Result<Value, ApiError> {
        let request: Request = serde_json::from_slice(body).map_err(|error| unparsed(&error))?;
        let (text, language) = (request.text.as_ref(), request.language.as_deref().unwrap_or_default());
        let text = text.filter(|text| !text.is_empty()).ok_or_else(|| ApiError::cannot_serve("No text provided"))?;
        if language.is_empty() {
            return Err(ApiError::cannot_serve("No language provided"));
        }
        let question = self.question(&request, language)?;
        Ok(match text {
            Text::One(text) => question.answer(text),
            Text::Many(texts) => texts.par_iter().map(|text| question.answer(text)).collect::<Vec<_>>().into(),
        })
    }

    /// `GET /recognizers`: their names, of one language or of all.
    ///
    /// # Errors
    /// 500 for a language that none is for.
    pub fn recognizers(&self, language: Option<&str>) -> Result<Value, ApiError> {
        Ok(json!(self.of(language)?.coverage().recognizers))
    }

    /// `GET /supportedentities`: the kinds, by Presidio's names.
    ///
    /// # Errors
    /// 500 for a language that no recognizer is for.
    pub fn supported_entities(&self, language: Option<&str>) -> Result<Value, ApiError> {
        let entities = self.of(language)?.coverage().entities.iter();
        Ok(json!(entities.map(|entity| entity.presidio_name()).collect::<BTreeSet<String>>()))
    }

    /// The scanner for a language: recognizers of that language and of none.
    fn of(&self, language: Option<&str>) -> Result<&Scanner, ApiError> {
        let Some(language) = language else { return Ok(&self.all) };
        let cannot = || ApiError::cannot_serve(NO_RECOGNIZERS);
        let (language, cell) = self.by_language.get_key_value(language).ok_or_else(cannot)?;
        if let Some(scanner) = cell.get() {
            return Ok(scanner);
        }
        let config = Config { languages: Some([(*language).to_owned()].into()), ..self.config.clone() };
        let scanner = Scanner::with(&config, &self.own, Scanner::detectors()).map_err(|_| cannot())?;
        Ok(cell.get_or_init(|| scanner))
    }

    fn question(&self, request: &Request, language: &str) -> Result<Question<'_>, ApiError> {
        let scanner = self.of(Some(language))?;
        let names: Option<BTreeSet<&str>> = request
            .entities
            .as_ref()
            .filter(|names| !names.is_empty())
            .map(|names| names.iter().map(String::as_str).collect());
        let wanted = |name: &str| names.as_ref().is_none_or(|names| names.contains(name));
        let mut ad_hoc = Vec::new();
        for recognizer in self::ad_hoc(request.ad_hoc_recognizers.as_deref().unwrap_or_default(), language)? {
            if wanted(&recognizer.entity) {
                ad_hoc.push(recognizer);
            }
        }
        let looked_for = &scanner.coverage().entities;
        let entities: Option<BTreeSet<Entity>> = names
            .as_ref()
            .map(|_| looked_for.iter().copied().filter(|entity| wanted(&entity.presidio_name())).collect());
        if ad_hoc.is_empty() && entities.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(ApiError::cannot_serve(NO_RECOGNIZERS));
        }
        let is_pattern = request.allow_list_match.as_deref() == Some("regex");
        let allowed = request.allow_list.clone().unwrap_or_default();
        let never = (is_pattern && !allowed.is_empty()).then(|| pattern(&allowed.join("|"))).transpose()?;
        let ppm = |score: f64| (score.clamp(0.0, 1.0) * f64::from(CERTAIN_PPM)).round() as u32;
        Ok(Question {
            // Nothing of the scanner's own is asked for.
            scanner: (!entities.as_ref().is_some_and(BTreeSet::is_empty)).then_some(scanner),
            ad_hoc,
            asked: Asked {
                entities,
                threshold_ppm: request.score_threshold.map(ppm),
                allow: if is_pattern { BTreeSet::new() } else { allowed.into_iter().collect() },
                around: request.context.clone().unwrap_or_default().join(" "),
            },
            never,
            explains: request.return_decision_process.as_ref().is_some_and(is_true),
        })
    }
}

impl Question<'_> {
    fn answer(&self, text: &str) -> Value {
        let own = self.scanner.into_iter().flat_map(|scanner| {
            let found = scanner.explain(text, &self.asked).into_iter();
            found.map(|found| (found.finding.entity.presidio_name(), found.finding.recognizer.to_owned(), found))
        });
        let asked = Asked { entities: None, ..self.asked.clone() };
        let ad_hoc = self.ad_hoc.iter().flat_map(|recognizer| {
            let found = recognizer.scanner.explain(text, &asked).into_iter();
            found.map(|found| (recognizer.entity.clone(), recognizer.name.clone(), found))
        });
        let told = own.chain(ad_hoc).filter(|(.., found)| found.finding.score_ppm > 0);
        let mut all: Vec<(String, String, Explained<'_>)> = told.collect();
        if let Some(never) = &self.never {
            let bytes = places(text, all.iter().map(|(.., found)| &found.finding));
            all.retain(|(.., Explained { finding, .. })| {
                !never.is_match(&text[bytes[&finding.start]..bytes[&finding.end]])
            });
        }
        all.sort_by_key(|(entity, _, found)| (found.finding.start, found.finding.end, entity.clone()));
        all.iter().map(|(entity, recognizer, found)| self.result(entity, recognizer, found)).collect::<Vec<_>>().into()
    }

    fn result(&self, entity: &str, recognizer: &str, found: &Explained<'_>) -> Value {
        let score = |ppm: u32| f64::from(ppm) / f64::from(CERTAIN_PPM);
        let finding = &found.finding;
        let explanation = || {
            json!({
                "recognizer": recognizer,
                "pattern_name": finding.recognizer,
                "pattern": null,
                "original_score": score(found.original_ppm),
                "score": score(finding.score_ppm),
                "textual_explanation": null,
                "score_context_improvement": score(finding.score_ppm.saturating_sub(found.original_ppm)),
                "supportive_context_word": found.word.unwrap_or_default(),
                "validation_result": null,
            })
        };
        json!({
            "entity_type": entity,
            "start": finding.start,
            "end": finding.end,
            "score": score(finding.score_ppm),
            "analysis_explanation": self.explains.then(explanation),
        })
    }
}

impl Text {
    fn is_empty(&self) -> bool {
        match self {
            Self::One(text) => text.is_empty(),
            Self::Many(texts) => texts.is_empty(),
        }
    }
}

/// The recognizers that a request brings for its language. Each gets a name of a small stock, so that requests leave
/// nothing behind; the client's names are put back into the answer.
fn ad_hoc(recognizers: &[Value], language: &str) -> Result<Vec<AdHoc>, ApiError> {
    if recognizers.len() > AD_HOC_MAX {
        return Err(unparsed(&format!("{} ad-hoc recognizers are over the limit of {AD_HOC_MAX}", recognizers.len())));
    }
    let mut all = Vec::new();
    for (at, value) in recognizers.iter().enumerate() {
        let mut fields = value.as_object().cloned().ok_or_else(|| unparsed(&"a recognizer is an object"))?;
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let kinds = fields.remove("supported_entities").and_then(|kinds| kinds.as_array()?.first().cloned());
        let entity = text(fields.remove("supported_entity").or(kinds)).filter(|entity| !entity.is_empty());
        let entity = entity.ok_or_else(|| unparsed(&"a recognizer needs a supported_entity"))?;
        let name = text(fields.remove("name")).unwrap_or_else(|| "PatternRecognizer".to_owned());
        let own_language = fields.get("supported_language").and_then(Value::as_str).unwrap_or("en");
        if own_language != language {
            continue;
        }
        fields.insert("entity".to_owned(), format!("ad-hoc-{at}").into());
        fields.insert("name".to_owned(), format!("ad-hoc-{at}").into());
        for pattern in fields.get_mut("patterns").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(pattern) = pattern.as_object_mut() else { continue };
            // As Presidio compiles them: a dot takes the end of a line, ^ and $ are at lines' ends, nothing is added.
            if let Some(regex) = pattern.get("regex").and_then(Value::as_str) {
                let regex = format!("(?ms:{regex})");
                pattern.insert("regex".to_owned(), regex.into());
                pattern.insert("whole".to_owned(), false.into());
            }
        }
        let yaml = json!({ "recognizers": [fields] }).to_string();
        let own = Recognizers::from_yaml(&yaml).map_err(|error| unparsed(&error))?;
        let config = Config { threshold_ppm: 0, ..Config::only([]) };
        let scanner = Scanner::with(&config, &own, Vec::new()).map_err(|error| unparsed(&error))?;
        all.push(AdHoc { name, entity, scanner });
    }
    Ok(all)
}

fn pattern(text: &str) -> Result<Regex, ApiError> {
    let mut builder = RegexBuilder::new(text);
    let builder = builder.case_insensitive(true).multi_line(true).dot_matches_new_line(true);
    builder.size_limit(COMPILED_BYTES_MAX).build().map_err(|error| unparsed(&error))
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_f64().is_some_and(|number| number != 0.0))
}

fn unparsed(error: &impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("Failed to parse /analyze request for AnalyzerEngine.analyze(). {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analyzer() -> Analyzer {
        Analyzer::new(Config { threshold_ppm: 0, ..Config::default() }, Recognizers::default()).unwrap()
    }

    fn asked(request: &Value) -> Result<Value, (u16, String)> {
        analyzer().analyze(request.to_string().as_bytes()).map_err(|error| (error.status, error.message))
    }

    fn kinds(answer: &Value) -> Vec<&str> {
        answer.as_array().unwrap().iter().map(|found| found["entity_type"].as_str().unwrap()).collect()
    }

    #[test]
    fn entities_threshold_and_allow_list_narrow_the_answer() {
        let text = "zoe@example.org, 203.0.113.9, seen on Monday";
        let all = asked(&json!({ "text": text, "language": "en" })).unwrap();
        assert!(kinds(&all).starts_with(&["EMAIL_ADDRESS", "IP_ADDRESS"]) && kinds(&all).contains(&"DATE_TIME"));
        let one = asked(&json!({ "text": text, "language": "en", "entities": ["IP_ADDRESS", "NO_SUCH"] })).unwrap();
        assert_eq!(kinds(&one), ["IP_ADDRESS"]);
        let sure = asked(&json!({ "text": text, "language": "en", "score_threshold": 0.9 })).unwrap();
        assert_eq!(kinds(&sure), ["EMAIL_ADDRESS"]);
        let exact =
            json!({ "text": text, "language": "en", "allow_list": ["zoe@example.org"], "score_threshold": 0.5 });
        assert_eq!(kinds(&asked(&exact).unwrap()), ["IP_ADDRESS"]);
        let matched = json!({ "text": text, "language": "en", "allow_list": ["^203\\.", "@"], "allow_list_match": "regex", "score_threshold": 0.5 });
        assert_eq!(kinds(&asked(&matched).unwrap()), [""; 0]);
    }

    #[test]
    fn a_pattern_of_an_allow_list_is_held_against_each_finding_by_itself() {
        // However much stands before it, in however many bytes.
        let text = "zoe@example.org, ".repeat(200) + "é ana@example.org";
        let request = json!({ "text": text, "language": "en", "entities": ["EMAIL_ADDRESS"],
                              "allow_list": ["^zoe@example\\.org$"], "allow_list_match": "regex" });
        let answer = asked(&request).unwrap();
        let places: Vec<_> = answer.as_array().unwrap().iter().map(|found| (&found["start"], &found["end"])).collect();
        assert_eq!(places, [(&json!(3402), &json!(3417))]);
    }

    #[test]
    fn context_raises_a_score_and_the_explanation_says_by_how_much() {
        let request = json!({ "text": "it is 536228726", "language": "en", "entities": ["US_SSN"],
                              "return_decision_process": 1, "context": ["social security"] });
        let answer = asked(&request).unwrap();
        let why = &answer[0]["analysis_explanation"];
        let (score, original) = (why["score"].as_f64().unwrap(), why["original_score"].as_f64().unwrap());
        let gain = why["score_context_improvement"].as_f64().unwrap();
        assert!(gain > 0.3 && (score - original - gain).abs() < 1e-9, "{why}");
        assert_eq!(why["supportive_context_word"], "security");
    }

    #[test]
    fn what_cannot_be_served_is_answered_as_presidio_does() {
        let error = |request: Value| asked(&request).unwrap_err();
        assert_eq!(error(json!({})), (500, "No text provided".into()));
        assert_eq!(error(json!({ "text": "", "language": "en" })), (500, "No text provided".into()));
        assert_eq!(error(json!({ "text": "a" })), (500, "No language provided".into()));
        assert_eq!(error(json!({ "text": "a", "language": "zz" })), (500, NO_RECOGNIZERS.into()));
        assert_eq!(
            error(json!({ "text": "a", "language": "en", "entities": ["NO_SUCH"] })),
            (500, NO_RECOGNIZERS.into())
        );
        let bad = json!({ "text": "a", "language": "en", "ad_hoc_recognizers":
            [{ "name": "Zip", "supported_entity": "ZIP", "patterns": [{ "type": "zip", "bebex": "a", "score": 0.1 }] }] });
        let (status, message) = error(bad);
        assert_eq!(status, 400);
        assert!(
            message.starts_with("Failed to parse /analyze request") && message.contains("unknown field"),
            "{message}"
        );
        let endless = json!({ "text": "a", "language": "en", "ad_hoc_recognizers":
            [{ "supported_entity": "ZIP", "patterns": [{ "name": "zip", "regex": "(a+)+$", "score": 0.1 }] }] });
        assert!(error(endless).1.contains("no longest match"));
    }

    #[test]
    fn recognizers_of_the_request_run_under_the_names_that_the_client_gave() {
        let request = json!({ "text": "Mr. Plod, zip code: 10023", "language": "en", "ad_hoc_recognizers": [
            { "name": "Zip code Recognizer", "supported_language": "en", "supported_entity": "ZIP", "context": ["zip"],
              "patterns": [{ "name": "zip code (weak)", "regex": "(\\b\\d{5}(?:\\-\\d{4})?\\b)", "score": 0.01 }] },
            { "supported_entity": "MR_TITLE", "deny_list": ["Mr.", "Mister"] },
            { "supported_entity": "ANREDE", "supported_language": "de", "deny_list": ["Plod"] },
        ]});
        let answer = asked(&request).unwrap();
        let found = |kind: &str| answer.as_array().unwrap().iter().find(|f| f["entity_type"] == kind).cloned();
        let zip = found("ZIP").unwrap();
        assert_eq!(
            (zip["start"].as_u64(), zip["end"].as_u64(), zip["score"].as_f64()),
            (Some(20), Some(25), Some(0.4))
        );
        assert_eq!(found("MR_TITLE").unwrap()["end"], 3);
        assert_eq!(found("ANREDE"), None, "it is for another language");
        let only = json!({ "entities": ["ZIP"] });
        let mut request = request;
        request.as_object_mut().unwrap().extend(only.as_object().unwrap().clone());
        assert_eq!(kinds(&asked(&request).unwrap()), ["ZIP"]);
    }

    #[test]
    fn a_language_has_its_own_recognizers_and_those_of_none() {
        let analyzer = analyzer();
        let entities = |language: Option<&str>| analyzer.supported_entities(language).unwrap().to_string();
        assert!(entities(Some("es")).contains("ES_NIF") && entities(Some("es")).contains("EMAIL_ADDRESS"));
        assert!(!entities(Some("en")).contains("ES_NIF") && entities(None).contains("ES_NIF"));
        assert_eq!(analyzer.recognizers(Some("he")).unwrap_err().status, 500);
        assert!(analyzer.recognizers(Some("en")).unwrap().as_array().unwrap().contains(&json!("tagger")));
    }

    #[test]
    fn a_list_of_texts_is_answered_by_a_list() {
        let answer = asked(&json!({ "text": ["zoe@example.org", "nothing"], "language": "en" })).unwrap();
        assert_eq!((kinds(&answer[0]), kinds(&answer[1])), (vec!["EMAIL_ADDRESS"], vec![]));
    }
}
