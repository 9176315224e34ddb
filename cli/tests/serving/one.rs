//! One server.

use crate::{
    Served, ask,
    common::{
        Ledger, flip,
        http::{Answer, Client},
        life::TRAINING,
    },
    completion, confirmations, events_of, events_of_alerts, in_production, until, until_confirmed,
};
use serde_json::{Value, json};
use std::{io::Read as _, process::Stdio, time::Duration};

#[test]
fn it_answers_with_what_is_in_force_and_says_so() {
    let ledger = in_production();
    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");

    let answer = ask(&mina, "triage", json!({}));
    assert_eq!((answer.status, answer.header("x-attestune-version")), (200, Some("triage@1")), "{}", answer.body);
    let position: u64 = answer.header("x-attestune-position").unwrap().parse().unwrap();
    assert_eq!(ledger.json(&["in-force", "triage", "--at-position", &position.to_string()])["version"], 1);
    let whole = answer.json();
    assert_eq!(whole["model"], "triage@1");
    assert_eq!(whole["usage"]["prompt_tokens"], "lost my card".len());
    assert_eq!(whole["usage"]["completion_tokens"], 4);
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    let text = whole["choices"][0]["text"].as_str().unwrap();

    // Streamed, together and by its number it is the same.
    let streamed = ask(&mina, "triage@1", json!({ "stream": true, "stream_options": { "include_usage": true } }));
    assert_eq!(streamed.header("content-type"), Some("text/event-stream"));
    let events = streamed.events();
    let pieces: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(pieces, text);
    assert_eq!(events.last().unwrap()["usage"], whole["usage"]);
    let several = ask(&mina, "triage", json!({ "prompt": ["lost my card", "close"] })).json();
    assert_eq!((&several["choices"][0]["text"], several["choices"].as_array().unwrap().len()), (&json!(text), 2));

    // Echo with log-probabilities: a first token without, an entry for each.
    let echoed = ask(&mina, "triage", json!({ "echo": true, "logprobs": 2 })).json();
    let logprobs = &echoed["choices"][0]["logprobs"];
    assert_eq!(echoed["choices"][0]["text"], format!("lost my card{text}"));
    let (tokens, logs) = (logprobs["tokens"].as_array().unwrap(), logprobs["token_logprobs"].as_array().unwrap());
    assert_eq!((tokens.len(), logs.len(), &logs[0]), (16, 16, &Value::Null));
    assert!(logs[1..].iter().all(|log| log.as_f64().unwrap() <= 0.0));
    assert!(logprobs["top_logprobs"][3].as_object().unwrap().len() <= 2);
    let tokens: Vec<u32> = "lost my card".bytes().map(token_of).collect();
    assert_eq!(ask(&mina, "triage", json!({ "prompt": tokens })).json()["choices"][0]["text"], text);

    // A conversation goes through the model's template.
    let chat = json!({ "model": "triage", "max_tokens": 3, "temperature": 0, "logprobs": true, "top_logprobs": 1,
        "messages": [{ "role": "user", "content": "hi" }] });
    let chat = mina.post("/v1/chat/completions", &chat.to_string()).json();
    assert_eq!(chat["object"], "chat.completion");
    assert_eq!(chat["usage"]["prompt_tokens"], "user: hi\nassistant:".len());
    assert_eq!(chat["choices"][0]["message"]["role"], "assistant");
    assert_eq!(chat["choices"][0]["logprobs"]["content"].as_array().unwrap().len(), 3);

    let models: Vec<String> = mina.get("/v1/models").json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(models, ["triage", "triage@1"]);
    assert_eq!(mina.get("/v1/models/triage%401").json()["id"], "triage@1");

    let confirmed = until_confirmed(&ledger, 1);
    assert_eq!((&confirmed["server"], &confirmed["occasion"]), (&json!("one"), &json!("SERVING_OCCASION_CHANGED")));
    let version = ledger.json(&["provenance", "triage@1"]);
    assert_eq!(confirmed["adapter_digest"], version["version"]["adapter_digest"]);
    assert_eq!(confirmed["weights_digest"], version["base"]["weights_digest"]);
    assert!(events_of_alerts(&ledger).is_empty(), "nothing differs");

    // What was asked is on the log as a root, and the server says that it stops.
    served.up.terminate();
    let windows = events_of(&ledger, "window-observed");
    assert_eq!(windows.iter().map(|window| window["requests"].as_u64().unwrap()).sum::<u64>(), 6);
    assert!(
        windows
            .iter()
            .all(|window| window["requests_root"].is_string() && !window["packs"].as_array().unwrap().is_empty())
    );
    assert_eq!(confirmations(&ledger).last().unwrap()["occasion"], "SERVING_OCCASION_STOPPED");
}

/// The tiny model's number of a byte of plain ASCII: its alphabet begins after the end token.
fn token_of(byte: u8) -> u32 {
    let printable = (0..=byte).filter(|byte| matches!(byte, 0x21..=0x7E)).count() as u32;
    // A space is the 33rd of those bytes that don't stand for themselves, which come after the 188 that do.
    if byte == b' ' { 1 + 188 + 32 } else { printable }
}

#[test]
fn every_bad_request_gets_its_status_and_the_server_goes_on() {
    let ledger = in_production();
    ledger.train_and_evaluate("2", "triage@2");
    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    let stella = served.client(&ledger, "stella");
    let good = ask(&mina, "triage", json!({}));
    assert_eq!(good.status, 200, "{}", good.body);

    let refused = |answer: Answer, status: u16, code: &str| {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.body);
    };
    let post = |body: &str| mina.post("/v1/completions", body);
    refused(post("{\"model\": "), 400, "invalid_json");
    refused(post(""), 400, "invalid_json");
    refused(mina.send("POST", "/v1/chat/completions", b"\xFF\x00{").answer(), 400, "invalid_json");
    refused(post(r#"{"model": "triage"}"#), 400, "invalid_value");
    refused(ask(&mina, "triage", json!({ "prompt": "" })), 400, "invalid_value");
    refused(ask(&mina, "triage", json!({ "prompt": [99999] })), 400, "invalid_value");
    refused(ask(&mina, "triage", json!({ "prompt": "x".repeat(300) })), 400, "context_length_exceeded");
    refused(ask(&mina, "triage", json!({ "max_tokens": 1_000_000_000_000_u64 })), 400, "context_length_exceeded");
    refused(ask(&mina, "triage", json!({ "temperature": 9 })), 400, "invalid_value");
    refused(ask(&mina, "triage", json!({ "n": 3 })), 400, "unsupported_parameter");
    refused(post(&large()), 413, "request_too_large");
    refused(ask(&mina, "nothing", json!({})), 404, "model_not_found");
    refused(ask(&mina, "", json!({})), 404, "model_not_found");
    refused(ask(&mina, "triage@9", json!({})), 404, "model_not_found");
    // In dev: trained, but promoted to nowhere.
    refused(ask(&mina, "triage@2", json!({})), 404, "model_not_found");
    refused(ask(&stella, "triage@1", json!({})), 403, "forbidden");
    assert_eq!(ask(&stella, "triage", json!({})).status, 200, "by its name it is for everyone with a role");
    refused(ask(&Client { token: String::new(), ..mina.clone() }, "triage", json!({})), 401, "invalid_api_key");
    refused(ask(&Client { token: "sk-nonsense".into(), ..mina.clone() }, "triage", json!({})), 401, "invalid_api_key");
    refused(mina.post("/v1/embeddings", "{}"), 404, "not_found");
    let tool = json!({ "model": "triage", "messages": [{ "role": "tool", "content": "x" }] });
    let answer = mina.post("/v1/chat/completions", &tool.to_string());
    assert!(answer.body.contains("no tools"), "{}", answer.body);
    refused(answer, 400, "invalid_value");

    let again = ask(&mina, "triage", json!({}));
    assert_eq!(again.json()["choices"], good.json()["choices"]);
}

/// A request that is one byte larger than the largest.
fn large() -> String {
    let request = |prompt: &str| json!({ "model": "triage", "prompt": prompt }).to_string();
    request(&"x".repeat((4 << 20) + 1 - request("").len()))
}

#[test]
fn two_hundred_streams_and_clients_that_hang_up_are_borne() {
    let ledger = in_production();
    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    let expected = ask(&mina, "triage", json!({ "max_tokens": 40 })).json()["choices"][0]["text"].clone();

    let request = completion("triage", json!({ "max_tokens": 40, "stream": true }));
    let streams: Vec<_> = (0..200).map(|_| mina.send("POST", "/v1/completions", request.as_bytes())).collect();
    // As many others begin and leave.
    let leaving: Vec<_> = (0..20).map(|_| mina.send("POST", "/v1/completions", request.as_bytes())).collect();
    drop(leaving);
    for stream in streams {
        let answer = stream.answer();
        assert!(answer.status == 200 || answer.status == 429, "{}", answer.body);
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
            continue;
        }
        let text: String = answer
            .events()
            .iter()
            .filter_map(|event| event["choices"][0]["text"].as_str())
            .map(str::to_owned)
            .collect();
        assert_eq!(json!(text), expected);
    }

    // Room for one long answer: whoever leaves makes it for the next.
    served.up.terminate();
    let served = Served::with(&ledger, &["--serve-cache", "1"]);
    let mina = served.client(&ledger, "mina");
    let long = completion("triage", json!({ "max_tokens": 240, "stream": true }));
    let left: Vec<_> = (0..30).map(|_| mina.send("POST", "/v1/completions", long.as_bytes()).begun()).collect();
    drop(left);
    assert_eq!(ask(&mina, "triage", json!({})).status, 200);
}

#[test]
fn a_promotion_a_rollback_and_a_halt_hold_from_their_position_on() {
    let ledger = in_production();
    ledger.train_and_evaluate("2", "triage@2");
    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    let version = |client: &Client| ask(client, "triage", json!({})).header("x-attestune-version").map(str::to_owned);
    assert_eq!(version(&mina).as_deref(), Some("triage@1"));
    until_confirmed(&ledger, 1);

    ledger.promote("triage@2");
    // No wait: what the log says when the request comes is what answers.
    assert_eq!(version(&mina).as_deref(), Some("triage@2"));
    let confirmed = until_confirmed(&ledger, 2);
    assert_ne!(confirmed["adapter_digest"], confirmations(&ledger)[0]["adapter_digest"]);

    ledger.ok(&["rollback", "triage", "--to", "1", "--reason", "drill", "--wait", "--as", "omar"]);
    assert_eq!(version(&mina).as_deref(), Some("triage@1"));
    assert_eq!(confirmations(&ledger).last().unwrap()["version"], 1);

    ledger.ok(&["halt", "triage", "--reason", "safety", "--wait", "--as", "mina"]);
    let halted = ask(&mina, "triage", json!({}));
    assert_eq!((halted.status, halted.code().as_str()), (503, "model_halted"), "{}", halted.body);
    assert!(halted.body.contains("safety"), "{}", halted.body);
    assert_eq!(ask(&mina, "triage@1", json!({})).status, 503);
    assert_eq!(confirmations(&ledger).last().unwrap()["version"], 0);
    assert!(mina.get("/v1/models").json()["data"].as_array().unwrap().iter().all(|model| model["id"] != "triage"));
}

#[test]
fn killed_in_the_middle_of_a_switch_it_serves_what_is_in_force_when_it_is_back() {
    let ledger = in_production();
    ledger.train_and_evaluate("2", "triage@2");
    ledger.promote("triage@2");
    let mut expected = 2;
    let mut unconfirmed = 0;
    for later_ms in [0, 0, 0, 0, 2, 5] {
        let mut served = Served::start(&ledger);
        let mina = served.client(&ledger, "mina");
        assert_eq!(ask(&mina, "triage", json!({})).header("x-attestune-version"), Some(&*format!("triage@{expected}")));
        let back = ["rollback", "triage", "--to", "1", "--reason", "drill", "--as", "omar"];
        let last_approval = ["promote", "approve", "triage@2", "--meaning", "responsible-for-release", "--as", "pia"];
        let decision: &[&str] = if expected == 2 { &back } else { &last_approval };
        if expected == 1 {
            ledger.ok(&["promote", "request", "triage@2", "--to", "production", "--as", "mina"]);
            ledger.ok(&["promote", "approve", "triage@2", "--as", "omar"]);
        }
        let decided = decide_and_kill(&ledger, decision, &mut served, Duration::from_millis(later_ms));
        expected = 3 - expected;
        let as_of = |confirmed: &Value| confirmed["as_of"].as_u64().unwrap_or(0);
        unconfirmed += usize::from(confirmations(&ledger).iter().all(|confirmed| as_of(confirmed) < decided));
        assert_eq!(ledger.json(&["in-force", "triage"])["version"], expected, "what was decided stands");
    }
    assert!(unconfirmed > 0, "no server was killed before it had confirmed: this shows nothing");
    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    assert_eq!(ask(&mina, "triage", json!({})).header("x-attestune-version"), Some("triage@2"));
    until_confirmed(&ledger, 2);
    assert!(events_of_alerts(&ledger).is_empty(), "nothing that was served differed");
}

/// Has something decided, and kills the server as soon as the receipt is there, or a moment later: it is changing over
/// then. Answers the position of what was decided.
fn decide_and_kill(ledger: &Ledger, decision: &[&str], served: &mut Served, later: Duration) -> u64 {
    let mut command = ledger.command(&[decision, &["--json"]].concat());
    let mut command = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = command.stdout.take().unwrap();
    let mut text = vec![0];
    said.read_exact(&mut text).unwrap();
    std::thread::sleep(later);
    assert!(served.up.kill());
    said.read_to_end(&mut text).unwrap();
    command.wait().unwrap();
    let receipt: Value = serde_json::Deserializer::from_slice(&text).into_iter().next().unwrap().unwrap();
    receipt["position"].as_u64().unwrap()
}

#[test]
fn an_adapter_that_is_not_what_the_log_names_is_not_served_and_the_others_are() {
    let ledger = in_production();
    ledger.train_and_evaluate("2", "triage@2");
    ledger.ok(&["promote", "request", "triage@2", "--to", "staging", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@2", "--as", "omar"]);
    let version = ledger.json(&["provenance", "triage@2"]);
    let pack = version["version"]["adapter"]["pack"].as_str().unwrap().to_owned();
    damage(&ledger, &pack);

    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    let spoilt = ask(&mina, "triage@2", json!({}));
    assert_eq!(spoilt.status, 503, "{}", spoilt.body);
    assert!(spoilt.header("retry-after").is_some() && spoilt.body.contains("triage@2"), "{}", spoilt.body);
    assert_eq!(ask(&mina, "triage", json!({})).status, 200);

    // In force it can't be served either: no other version takes its place, and an alert says so.
    ledger.ok(&["promote", "request", "triage@2", "--to", "production", "--replaces", "1", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@2", "--as", "omar"]);
    ledger.ok(&["promote", "approve", "triage@2", "--meaning", "responsible-for-release", "--as", "pia"]);
    assert_eq!(ask(&mina, "triage", json!({})).status, 503);
    let alert = until("an alert is raised", || events_of_alerts(&ledger).pop());
    assert_eq!((&alert["kind"], &alert["subject"]), (&json!("ALERT_KIND_SERVING_MISMATCH"), &json!("one")));
    assert_eq!(ask(&mina, "triage@1", json!({})).status, 200);
}

#[test]
fn a_server_without_the_base_of_what_comes_into_force_says_that_it_answers_no_longer() {
    let ledger = in_production();
    ledger.register_tiny_base("other", 8);
    let training = TRAINING.map(|word| if word == "tiny" { "other" } else { word });
    let request = ["train", "request", "triage", "--dataset", "triage", "--epochs", "1", "--seed", "2", "--wait"];
    ledger.ok(&[&request[..], &training].concat());
    ledger.ok(&["eval", "request", "triage@2", "--suite", "acceptance", "--as", "mina", "--wait"]);
    std::fs::rename(ledger.path("other"), ledger.path("elsewhere")).unwrap();

    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    assert_eq!(ask(&mina, "triage", json!({})).status, 200);
    until_confirmed(&ledger, 1);
    ledger.promote("triage@2");
    let stopped = until("the server says that it stopped", || {
        confirmations(&ledger).pop().filter(|last| last["occasion"] == "SERVING_OCCASION_STOPPED")
    });
    assert_eq!(stopped["version"], 1);
    let answer = ask(&mina, "triage", json!({}));
    assert_eq!((answer.status, answer.code().as_str()), (503, "model_not_here"), "{}", answer.body);
    assert_eq!(ask(&mina, "triage@1", json!({})).status, 200);
    assert!(events_of_alerts(&ledger).is_empty(), "another server may answer");
}

/// Flips a bit of a pack's content, wherever the vault keeps it.
fn damage(ledger: &Ledger, pack: &str) {
    let mut folders = vec![ledger.folder().join("vault/contents")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().replace('/', "").contains(pack) {
                flip(&path, 40);
                found += 1;
            }
        }
    }
    assert_eq!(found, 1, "the pack {pack}");
}
