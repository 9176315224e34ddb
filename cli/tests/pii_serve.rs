//! `attestune pii serve` as a client of Presidio's REST services sees it: the requests of Presidio's API documentation
//! and of its own end-to-end tests, over HTTP, and the documented fields of the answers.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Ledger,
    process::{PATIENCE, Running},
};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// The service, on a port of its own.
struct Service {
    address: String,
    running: Running,
    _folder: Ledger,
}

impl Service {
    fn start(args: &[&str]) -> Self {
        let folder = Ledger::none();
        let said = folder.path("said");
        let running =
            Running::noting(folder.command(&[&["pii", "serve", "--listen", "127.0.0.1:0"], args].concat()), &said);
        let until = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&said).unwrap_or_default();
            if let Some((_, address)) = text.lines().find_map(|line| line.split_once("http://")) {
                return Self { address: address.trim().to_owned(), running, _folder: folder };
            }
            assert!(Instant::now() < until, "it comes up: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.ask("POST", path, &body.to_string());
        (status, serde_json::from_str(&body).unwrap())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.ask("GET", path, "");
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn error(status: u16, message: &str) -> (u16, Value) {
    (status, json!({ "error": message }))
}

const TEXT: &str = "John Smith drivers license is AC432223";

#[test]
fn the_documented_requests_to_the_analyzer_have_answers_of_the_documented_form() {
    let service = Service::start(&[]);
    let (status, answer) = service.post("/analyze", &json!({ "text": TEXT, "language": "en" }));
    assert_eq!(status, 200);
    let places: Vec<_> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            let fields: Vec<&String> = found.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["analysis_explanation", "end", "entity_type", "score", "start"]);
            assert!(found["analysis_explanation"].is_null() && found["score"].is_f64(), "{found}");
            (found["entity_type"].as_str().unwrap(), found["start"].as_u64().unwrap(), found["end"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(places, [("PERSON", 0, 10), ("US_DRIVER_LICENSE", 30, 38)]);

    let one = json!({ "text": TEXT, "language": "en", "entities": ["PERSON"], "return_decision_process": true,
                      "correlation_id": "123e4567-e89b-12d3-a456-426614174000", "trace": false });
    let (status, answer) = service.post("/analyze", &one);
    assert_eq!((status, answer.as_array().unwrap().len()), (200, 1));
    let fields: Vec<&String> = answer[0]["analysis_explanation"].as_object().unwrap().keys().collect();
    let documented = [
        "original_score",
        "pattern",
        "pattern_name",
        "recognizer",
        "score",
        "score_context_improvement",
        "supportive_context_word",
        "textual_explanation",
        "validation_result",
    ];
    assert_eq!(fields, documented);
    assert_eq!(answer[0]["analysis_explanation"]["recognizer"], "tagger");

    let zip = json!({
        "name": "Zip code Recognizer", "supported_language": "en", "supported_entity": "ZIP", "context": ["zip", "code"],
        "patterns": [{ "name": "zip code (weak)", "regex": "(\\b\\d{5}(?:\\-\\d{4})?\\b)", "score": 0.01 }],
    });
    let text = format!("{TEXT} and the zip code is 12345");
    let request = json!({ "text": text, "language": "en", "entities": ["US_DRIVER_LICENSE", "ZIP"],
                          "ad_hoc_recognizers": [zip] });
    let (status, answer) = service.post("/analyze", &request);
    let kinds: Vec<_> = answer.as_array().unwrap().iter().map(|found| found["entity_type"].as_str().unwrap()).collect();
    assert_eq!((status, kinds), (200, vec!["US_DRIVER_LICENSE", "ZIP"]));

    let (status, names) = service.get("/recognizers?language=en");
    assert!(status == 200 && names.as_array().unwrap().iter().all(Value::is_string), "{names}");
    let (status, entities) = service.get("/supportedentities?language=en");
    assert_eq!(status, 200);
    for theirs in [
        "PHONE_NUMBER",
        "US_DRIVER_LICENSE",
        "US_PASSPORT",
        "LOCATION",
        "CREDIT_CARD",
        "CRYPTO",
        "UK_NHS",
        "US_SSN",
        "US_BANK_NUMBER",
        "EMAIL_ADDRESS",
        "DATE_TIME",
        "IP_ADDRESS",
        "PERSON",
        "IBAN_CODE",
        "NRP",
        "US_ITIN",
        "MEDICAL_LICENSE",
        "AU_ABN",
        "AU_ACN",
        "AU_TFN",
        "AU_MEDICARE",
        "URL",
        "SG_NRIC_FIN",
    ] {
        assert!(entities.as_array().unwrap().contains(&json!(theirs)), "{theirs} in {entities}");
    }
    assert_eq!(service.ask("GET", "/health", ""), (200, "Presidio Analyzer service is up".into()));
    service.running.terminate();
}

#[test]
fn what_the_analyzer_finds_the_anonymizer_takes_as_it_is() {
    let service = Service::start(&[]);
    let (_, found) = service.post("/analyze", &json!({ "text": TEXT, "language": "en" }));
    let (status, answer) = service.post("/anonymize", &json!({ "text": TEXT, "analyzer_results": found }));
    assert_eq!((status, answer["text"].as_str()), (200, Some("<PERSON> drivers license is <US_DRIVER_LICENSE>")));

    let documented = json!({
        "text": "hello world, my name is Jane Doe. My number is: 034453334",
        "anonymizers": {
            "DEFAULT": { "type": "replace", "new_value": "ANONYMIZED" },
            "PHONE_NUMBER": { "type": "mask", "masking_char": "*", "chars_to_mask": 4, "from_end": true },
        },
        "analyzer_results": [
            { "start": 24, "end": 32, "score": 0.8, "entity_type": "NAME" },
            { "start": 24, "end": 28, "score": 0.8, "entity_type": "FIRST_NAME" },
            { "start": 29, "end": 32, "score": 0.6, "entity_type": "LAST_NAME" },
            { "start": 48, "end": 57, "score": 0.95, "entity_type": "PHONE_NUMBER" },
        ],
    });
    let (status, answer) = service.post("/anonymize", &documented);
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({
            "text": "hello world, my name is ANONYMIZED. My number is: 03445****",
            "items": [
                { "operator": "mask", "entity_type": "PHONE_NUMBER", "start": 50, "end": 59, "text": "03445****" },
                { "operator": "replace", "entity_type": "NAME", "start": 24, "end": 34, "text": "ANONYMIZED" },
            ],
        })
    );

    let decrypt = json!({
        "text": "e6HnOMnIxbd4a8Qea44LshQDnjvxwzBIaAz+YqHNnMW2mC5r3AWoay8Spsoajyyy",
        "deanonymizers": { "DEFAULT": { "type": "decrypt", "key": "1111111111111111" } },
        "anonymizer_results": [{ "start": 0, "end": 64, "entity_type": "NUMBER" }],
    });
    let item =
        json!({ "start": 0, "end": 19, "operator": "decrypt", "text": "text_for_encryption", "entity_type": "NUMBER" });
    let expected = json!({ "text": "text_for_encryption", "items": [item] });
    assert_eq!(service.post("/deanonymize", &decrypt), (200, expected));
    for operator in ["hash", "mask", "redact", "replace", "encrypt"] {
        assert!(service.get("/anonymizers").1.as_array().unwrap().contains(&json!(operator)));
    }
    assert!(service.get("/deanonymizers").1.as_array().unwrap().contains(&json!("decrypt")));
}

#[test]
fn errors_have_presidios_form_and_status() {
    let service = Service::start(&[]);
    let analyze = |body: Value| service.post("/analyze", &body);
    assert_eq!(analyze(json!({})), error(500, "No text provided"));
    assert_eq!(analyze(json!({ "text": TEXT })), error(500, "No language provided"));
    let none = "No matching recognizers were found to serve the request.";
    assert_eq!(analyze(json!({ "text": TEXT, "language": "zz" })), error(500, none));
    assert_eq!(service.get("/supportedentities?language=he"), error(500, none));
    let wrong = json!({ "text": TEXT, "language": "en", "ad_hoc_recognizers": [{ "supported_entity": "ZIP",
                        "patterns": [{ "type": "zip code (weak)", "bebex": "a", "confidence": 0.01 }] }] });
    let (status, answer) = analyze(wrong);
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().starts_with("Failed to parse /analyze request"), "{answer}");

    let (status, body) = service.ask("POST", "/anonymize", "{ \"text\": ");
    assert_eq!((status, body.as_str()), (400, "{\"error\":\"Invalid request json\"}"));
    let past =
        json!({ "text": "", "analyzer_results": [{ "start": 24, "end": 32, "score": 0.8, "entity_type": "NAME" }] });
    let message = "Invalid analyzer result, start: 24 and end: 32, while text length is only 0.";
    assert_eq!(service.post("/anonymize", &past), error(422, message));
    assert_eq!(service.get("/no/such").0, 404);
    assert_eq!(service.get("/analyze").0, 405);
    let nested = "[".repeat(1_000_000);
    assert_eq!(service.ask("POST", "/analyze", &nested).0, 400, "it answers, and goes on");
    assert_eq!(service.get("/anonymizers").0, 200);
}

#[test]
fn it_serves_loopback_only_and_by_a_configuration_of_ones_own() {
    let folder = Ledger::none();
    let error = folder.fails(2, &["pii", "serve", "--listen", "0.0.0.0:0"]);
    assert!(error.contains("not a loopback address"), "{error}");
    let config = folder.file("config.yaml", b"entities: [email]\nthreshold_ppm: 990000\n");
    let service = Service::start(&["--config", &config]);
    let request = json!({ "text": "zoe@example.org, 203.0.113.9", "language": "en" });
    assert_eq!(service.post("/analyze", &request), (200, json!([])), "its threshold is the configuration's");
    assert_eq!(service.get("/supportedentities").1, json!(["EMAIL_ADDRESS"]));
}
