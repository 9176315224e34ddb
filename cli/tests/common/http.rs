//! A client of OpenAI's API that says exactly what it means, also what no real client would.

use super::process::PATIENCE;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The code of an error in OpenAI's form.
    pub fn code(&self) -> String {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{}", self.body);
        error["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The events of a stream; it must have come to its end.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let mut lines: Vec<&str> = self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(lines.pop(), Some("[DONE]"), "{}", self.body);
        lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A client with a token.
#[derive(Clone)]
pub struct Client {
    pub address: String,
    pub token: String,
}

/// A request whose answer is read later, or never.
pub struct Sent(BufReader<TcpStream>);

impl Client {
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body.as_bytes()).answer()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"").answer()
    }

    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Sent {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let token =
            if self.token.is_empty() { String::new() } else { format!("authorization: Bearer {}\r\n", self.token) };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{token}content-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        Sent(BufReader::new(stream))
    }
}

impl Sent {
    /// Reads the answer to its end.
    pub fn answer(mut self) -> Answer {
        let (status, headers) = self.head();
        let mut body = Vec::new();
        let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        if !chunked {
            self.0.read_to_end(&mut body).unwrap();
        } else {
            while let Some(chunk) = self.chunk() {
                body.extend(chunk);
            }
        }
        Answer { status, headers, body: String::from_utf8(body).unwrap() }
    }

    /// Waits for the first of a stream.
    pub fn begun(mut self) -> Self {
        let (status, _) = self.head();
        assert_eq!(status, 200);
        assert!(self.chunk().is_some());
        self
    }

    fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let first = self.line();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {first:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { return (status, headers) };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk).unwrap();
        self.line();
        (size > 0).then_some(chunk)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
