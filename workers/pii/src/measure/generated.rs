//! Made-up text of any length.

const SENTENCES: [&str; 8] = [
    "The parcel came on Tuesday and nobody was at home. ",
    "Write to zoe.{}@example.org or call (212) 555-0{}. ",
    "Ingrid Solberg of Brightwater Holdings asked about it in Leeds. ",
    "My card 4111 1111 1111 1111 was charged {} twice. ",
    "Send it to 203.0.113.{} before 2024-02-29, please! ",
    "Order {} is late; see https://example.org/orders/{}. ",
    "Números, crème brûlée, Straße {} — all of it plain. ",
    "Nothing else is to be said about the matter at hand today. ",
];

/// A text of at least so many bytes: sentence after sentence, nearly each with a number of its own, the first of them
/// the sentence `n`.
pub fn generated(n: usize, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    for at in n.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&SENTENCES[at % SENTENCES.len()].replace("{}", &(at * 7919 % 1000).to_string()));
    }
    text
}

/// Texts of about 400 bytes, one after another, that are together so long.
pub fn generated_stream(bytes: usize) -> impl Iterator<Item = String> {
    const TEXT_BYTES: usize = 400;
    (0..bytes / TEXT_BYTES).map(|n| generated(n, TEXT_BYTES))
}
