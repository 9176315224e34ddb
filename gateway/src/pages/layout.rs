//! The shell of every page: where one can go, as of when it is, who is signed in.

use super::ask::{Ask, LISTED};
use super::assets::address;
use super::moment::picker;
use super::text::{shown, time};
use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

/// Where one can go.
const NAV: [(&str, &str); 11] = [
    ("/", "Models"),
    ("/timeline", "Timeline"),
    ("/datasets", "Data"),
    ("/runs", "Runs"),
    ("/suites", "Suites"),
    ("/promotions", "Promotions"),
    ("/review", "Review"),
    ("/work", "Gaps"),
    ("/comply", "Compliance"),
    ("/people", "People"),
    ("/health", "Health"),
];

/// A page for somebody who is signed in.
pub fn page(ask: &Ask, title: &str, body: Markup) -> Html<String> {
    let past = ask.moment.position < ask.moment.newest;
    let inner = html! {
        header {
            nav aria-label="Pages" {
                a.brand href=(ask.link("/")) { "Attestune" }
                @for (path, name) in NAV {
                    a href=(ask.link(path)) aria-current=[is_here(path, &ask.path).then_some("true")] { (name) }
                }
            }
            (moment_bar(ask, past))
        }
        main id="main" data-past[past] {
            h1 { (shown(title)) }
            (body)
        }
        footer {
            form method="post" action="/sign-out" {
                "Signed in as " strong { (shown(&ask.reader.printed_name)) } " (" (ask.reader.actor) ") "
                button.quiet { "Sign out" }
            }
        }
    };
    shell(title, Some((&ask.reader.actor, &ask.ledger)), inner)
}

/// A page for anybody, of a ledger.
pub fn open(title: &str, ledger: &[u8], body: Markup) -> Html<String> {
    let inner = html! {
        header { nav aria-label="Pages" { a.brand href="/" { "Attestune" } } }
        main id="main" { h1 { (title) } (body) }
    };
    shell(title, Some(("", &hex::encode(ledger))), inner)
}

/// A page for when nothing is known.
pub fn bare(title: &str, body: Markup) -> Html<String> {
    let inner = html! {
        header { nav aria-label="Pages" { a.brand href="/" { "Attestune" } } }
        main id="main" { h1 { (title) } (body) }
    };
    shell(title, None, inner)
}

fn shell(title: &str, who: Option<(&str, &str)>, inner: Markup) -> Html<String> {
    let (actor, ledger) = who.unwrap_or_default();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Attestune" }
                link rel="stylesheet" href=(address("style.css"));
                link rel="icon" href=(address("icon.svg")) type="image/svg+xml";
                script type="module" src=(address("pages.js")) {}
            }
            body data-actor=(actor) data-ledger=(ledger) {
                a.skip href="#main" { "To the page" }
                (inner)
            }
        }
    };
    Html(page.into_string())
}

fn is_here(path: &str, here: &str) -> bool {
    match path {
        "/" => here == "/" || here.starts_with("/models"),
        "/datasets" => ["/datasets", "/collections", "/batches", "/examples", "/documents"]
            .iter()
            .any(|section| here.starts_with(section)),
        "/suites" => here.starts_with("/suites") || here.starts_with("/evaluations"),
        _ => here.starts_with(path),
    }
}

/// As of when the page is, and the way to another moment.
fn moment_bar(ask: &Ask, past: bool) -> Markup {
    let moment = &ask.moment;
    let position = moment.position;
    html! {
        form.moment method="get" action=(ask.path) aria-label="Moment" {
            p {
                @if past { strong.past { "⏱ The past: " } }
                "as of position " b.number { (position) } ", " (time(moment.time_ms)) " UTC, asserted by the log’s clock"
            }
            @for (key, value) in ask.queries() {
                input type="hidden" name=(key) value=(value);
            }
            label { "Time (UTC) " input type="datetime-local" name="at" step="1" value=(picker(moment.time_ms)); }
            label { "or position " input.short type="text" inputmode="numeric" pattern="[0-9]*" name="position"; }
            button { "Go there" }
            span.steps {
                @if position > 0 {
                    a href=(ask.here_at(Some(&(position - 1).to_string()))) rel="prev" { "← one event back" }
                }
                @if past {
                    " " a href=(ask.here_at(Some(&(position + 1).to_string()))) rel="next" { "one event on →" }
                    " " a href=(ask.here_at(None)) { "now" }
                }
            }
        }
    }
}

/// A table with its caption; says so if there is nothing.
pub fn table(caption: &str, heads: &[&str], rows: Vec<Vec<Markup>>, empty: &str) -> Markup {
    if rows.is_empty() {
        return html! { p.empty { (empty) } };
    }
    html! {
        div.wide role="region" aria-label=(caption) tabindex="0" {
            table {
                caption { (caption) }
                thead { tr { @for head in heads { th scope="col" class=[head.starts_with('#').then_some("number")] {
                    (head.trim_start_matches('#'))
                } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.into_iter().enumerate() {
                                @let numeric = heads.get(at).is_some_and(|head| head.starts_with('#'));
                                @if at == 0 { th scope="row" class=[numeric.then_some("number")] { (cell) } }
                                @else { td class=[numeric.then_some("number")] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The way to what is older than a page of lists shows, where one of them is full. Each is how many rows it has, and the
/// position of its last one.
pub fn older(ask: &Ask, lists: &[(usize, Option<u64>)]) -> Markup {
    let full = lists.iter().filter(|(listed, _)| *listed >= LISTED as usize);
    html! { @if let Some(last) = full.filter_map(|(_, last)| *last).max() {
        p { a href=(ask.older(last)) rel="next" { "Older than these" } }
    } }
}

/// Names and what they are, one under the other.
pub fn facts(pairs: Vec<(&str, Markup)>) -> Markup {
    html! { dl { @for (name, value) in pairs { div { dt { (name) } dd { (value) } } } } }
}
