//! What a thing was made from, and what was made from it, as a picture and as words.

use super::ask::Ask;
use super::error::PageError;
use super::graph::{Graph, kind_of, page_of};
use super::layout;
use super::text::shown;
use attestune_proto::v1::{Direction, Node};
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};

/// Most nodes drawn each way.
const NODES: u32 = 40;

/// The lineage of the thing that the event at a position made.
pub async fn page(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let mut graph = Graph::default();
    for direction in [Direction::Up, Direction::Down] {
        graph.add(&ask.lineage(position, direction, NODES).await?);
    }
    let title = graph.node(position).map_or_else(String::new, |node| format!("Lineage of {}", node.label));
    let body = html! {
        @if let Some(node) = graph.node(position) {
            p { (kind_of(node)) " @" (position) ": " a href=(ask.link(&page_of(node))) { "its page" } }
        }
        div.wide role="region" aria-label="The picture" tabindex="0" { (graph.svg(&ask, position)) }
        @if graph.truncated {
            p { "Not all is drawn: at most " (NODES) " each way. Go to a node nearer to what you look for." }
        }
        div.two {
            (list(&ask, "Made from", graph.above(position), "This is a source: it was made from nothing on the ledger."))
            (list(&ask, "Made into", graph.below(position), "Nothing had been made from it by then."))
        }
    };
    Ok(layout::page(&ask, &title, body))
}

fn list<'a>(ask: &Ask, title: &str, nodes: impl Iterator<Item = &'a Node>, empty: &str) -> Markup {
    let nodes: Vec<_> = nodes.collect();
    html! {
        section aria-label=(title) {
            h2 { (title) }
            @if nodes.is_empty() { p.empty { (empty) } }
            ul { @for node in nodes {
                li {
                    (kind_of(node)) " " a href=(ask.link(&page_of(node))) { (shown(&node.label)) }
                    " (" a href=(ask.link(&format!("/lineage/{}", node.position))) { "lineage of @" (node.position) } ")"
                }
            } }
        }
    }
}
