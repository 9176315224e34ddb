//! How much memory a scan takes: a stream of so many megabytes of made-up texts, and one text of so many.
//!
//! `cargo run -p attestune-pii --example memory [MEGABYTES [MEGABYTES ON ONE LINE]]`

use std::{env, fs, time::Instant};

use attestune_pii::Scanner;

const SENTENCES: [&str; 6] = [
    "The parcel came on Tuesday and nobody was at home. ",
    "Write to zoe.{}@example.org or call (212) 555-0{}. ",
    "My card 4111 1111 1111 1111 was charged {} twice. ",
    "Send it to 203.0.113.{} before 2024-02-29, please! ",
    "Order {} is late; see https://example.org/orders/{}. ",
    "Números, crème brûlée, Straße {} — all of it plain. ",
];

/// Nothing like a person wrote: sentence after sentence with a number of its own.
fn text(n: usize, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    for at in n.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&SENTENCES[at % SENTENCES.len()].replace("{}", &(at * 7919 % 1000).to_string()));
    }
    text
}

/// The most memory that this process has had, in megabytes, where the system tells it.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let digits = line.map(|line| line.chars().filter(char::is_ascii_digit).collect::<String>());
    digits.and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |n: usize| env::args().nth(n).map_or(Ok(100), |text| text.parse::<usize>());
    let (stream_mb, line_mb) = (argument(1)?, argument(2)?);
    let scanner = Scanner::default();
    let count = stream_mb * 1_000_000 / 400;
    let started = Instant::now();
    let found: usize = scanner.scan_stream((0..count).map(|n| text(n, 400))).map(|(_, found)| found.len()).sum();
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!("{stream_mb} MB in {count} texts: {found} findings, {rate:.0} texts/s, at most {} MB", peak_mb());

    let line = text(0, line_mb * 1_000_000);
    let started = Instant::now();
    let found = scanner.scan(&line).len();
    println!("{line_mb} MB on one line: {found} findings in {:?}, at most {} MB", started.elapsed(), peak_mb());
    Ok(())
}
