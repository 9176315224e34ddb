//! A text with its spans, as it is put together.

use std::ops::Range;

use attestune_pii::tagger::{Kind, label::Label, token};

#[derive(Default, Clone)]
pub struct Sample {
    pub text: String,
    pub spans: Vec<(Range<usize>, Kind)>,
    /// Where names are taken for ones that stand on no list.
    pub hidden: Vec<Range<usize>>,
}

impl Sample {
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub fn push_span(&mut self, text: &str, kind: Kind) {
        let start = self.text.len();
        self.text.push_str(text);
        self.spans.push((start..self.text.len(), kind));
    }

    pub fn hide(&mut self, from: usize) {
        self.hidden.push(from..self.text.len());
    }

    /// The label of each token.
    pub fn labels(&self) -> Vec<Label> {
        let mut last = None;
        let label = |token: token::Token<'_>| {
            let at = self.spans.iter().position(|(span, _)| span.start < token.end() && token.start < span.end);
            let label = match at {
                None => Label::Outside,
                Some(at) if last == Some(at) => Label::Inside(self.spans[at].1),
                Some(at) => Label::Begin(self.spans[at].1),
            };
            last = at;
            label
        };
        token::tokens(&self.text).map(label).collect()
    }

    /// Whether an occupation is named: in small letters it looks like any other words.
    pub fn has_occupation(&self) -> bool {
        self.spans.iter().any(|(span, kind)| *kind == Kind::Title && span.len() > 9)
    }

    /// The same text with every letter changed, where no letter changes its length.
    pub fn recased(&self, change: impl Fn(&str) -> String) -> Option<Self> {
        let text: String = self.text.split_inclusive(' ').map(change).collect();
        let same = text.chars().map(char::len_utf8).eq(self.text.chars().map(char::len_utf8));
        same.then(|| Self { text, ..self.clone() })
    }
}
