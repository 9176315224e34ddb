//! Tokens to text while they come: whole characters only, and nothing that a stop string may yet take back.

use super::Token;

/// The text of an answer under way.
pub(super) struct TextStream {
    stops: Vec<String>,
    /// Bytes that are no whole character yet.
    bytes: Vec<u8>,
    /// Text that is not given out yet.
    held: String,
    /// Tokens whose text is not given out yet, and where the text of each begins, counted from the answer's start.
    tokens: Vec<(usize, Token)>,
    /// How much text was given out.
    given: usize,
}

/// What can be given out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
    /// Whether a stop string ended the answer.
    pub(super) stopped: bool,
}

impl TextStream {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self { stops, bytes: Vec::new(), held: String::new(), tokens: Vec::new(), given: 0 }
    }

    /// Takes a token with the bytes that it adds to the text.
    pub(super) fn push(&mut self, token: Token, bytes: &[u8]) -> Given {
        self.tokens.push((self.given + self.held.len() + self.bytes.len(), token));
        self.bytes.extend_from_slice(bytes);
        self.held.push_str(&whole_characters(&mut self.bytes));
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            self.bytes.clear();
            return Given { stopped: true, ..self.rest() };
        }
        self.give(self.held.len() - self.may_begin_a_stop())
    }

    /// All that is left, at the answer's end. Bytes that never became a character stand as U+FFFD.
    pub(super) fn rest(&mut self) -> Given {
        self.held.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.bytes)));
        let end = self.given + self.held.len();
        // A token that begins where a stop string cut belongs to what was cut off; an end token has no text at all.
        self.tokens.retain(|(start, token)| *start < end || token.piece.special);
        Given {
            text: std::mem::take(&mut self.held),
            tokens: self.tokens.drain(..).map(|(_, token)| token).collect(),
            stopped: false,
        }
    }

    fn give(&mut self, length: usize) -> Given {
        let text: String = self.held.drain(..length).collect();
        self.given += text.len();
        let given = self.given;
        // A token is given with the first of its text; one without text yet waits.
        let ready = self.tokens.iter().take_while(|(start, _)| *start < given).count();
        Given { text, tokens: self.tokens.drain(..ready).map(|(_, token)| token).collect(), stopped: false }
    }

    /// The length of the longest end of the text that is the beginning of a stop string.
    fn may_begin_a_stop(&self) -> usize {
        let of = |stop: &String| {
            let lengths = (1..stop.len().min(self.held.len() + 1)).rev();
            lengths.filter(|length| stop.is_char_boundary(*length)).find(|length| self.held.ends_with(&stop[..*length]))
        };
        self.stops.iter().filter_map(of).max().unwrap_or(0)
    }
}

/// Takes the whole characters off the front. Bytes that can't begin any become U+FFFD.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        match std::str::from_utf8(bytes) {
            Ok(whole) => {
                text.push_str(whole);
                bytes.clear();
                return text;
            }
            Err(error) => {
                let valid = error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&bytes[..valid]));
                let Some(bad) = error.error_len() else {
                    bytes.drain(..valid);
                    return text;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                bytes.drain(..valid + bad);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TokenPiece;

    fn token(id: u32) -> Token {
        Token { id, piece: TokenPiece { bytes: Vec::new(), special: false }, thought: None, top_pieces: Vec::new() }
    }

    /// What comes out for each piece, and the rest.
    fn streamed(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, Vec<u32>, bool) {
        let mut stream = TextStream::new(stops.iter().map(|stop| stop.to_string()).collect());
        let (mut texts, mut ids) = (Vec::new(), Vec::new());
        for (id, piece) in pieces.iter().enumerate() {
            let given = stream.push(token(id as u32), piece);
            texts.push(given.text);
            ids.extend(given.tokens.iter().map(|token| token.id));
            if given.stopped {
                return (texts, ids, true);
            }
        }
        let rest = stream.rest();
        texts.push(rest.text);
        ids.extend(rest.tokens.iter().map(|token| token.id));
        (texts, ids, false)
    }

    #[test]
    fn characters_come_whole() {
        let euro = "€".as_bytes();
        let (texts, ids, _) = streamed(&[], &[b"a", &euro[..1], &euro[1..], b"b"]);
        assert_eq!(texts, ["a", "", "€", "b", ""]);
        assert_eq!(ids, [0, 1, 2, 3]);
        assert_eq!(streamed(&[], &[b"\xFF", b"a", &euro[..2]]).0, ["\u{FFFD}", "a", "", "\u{FFFD}"]);
    }

    #[test]
    fn what_may_begin_a_stop_string_waits_and_is_cut_or_given() {
        assert_eq!(
            streamed(&["END"], &[b"a", b"EN", b"D", b"x"]),
            (vec!["a".into(), "".into(), "".into()], vec![0], true)
        );
        assert_eq!(streamed(&["END"], &[b"aE", b"N", b"E"]).0, ["a", "", "EN", "E"]);
        assert_eq!(streamed(&["\n", "b"], &[b"ab\n"]), (vec!["a".into()], vec![0], true));
        assert_eq!(streamed(&["aab"], &[b"a", b"a", b"a", b"b"]).0.concat(), "a");
    }
}
