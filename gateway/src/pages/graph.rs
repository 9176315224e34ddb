//! A lineage as a picture: sources on the left, what was made from them to the right; every node is a link.

use super::ask::Ask;
use attestune_proto::v1::{LineageResponse, Node, NodeKind};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

const WIDTH: u32 = 168;
const HEIGHT: u32 = 40;
const GAP_X: u32 = 44;
const GAP_Y: u32 = 14;
const MARGIN: u32 = 8;
/// Characters of a label that fit into a node.
const LABEL_CHARS: usize = 25;

/// Nodes and edges, each once.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<u64, Node>,
    /// From the source to what was made from it.
    edges: BTreeSet<(u64, u64)>,
    /// Whether there is more than is drawn.
    pub truncated: bool,
}

impl Graph {
    /// Takes in an answer about lineage.
    pub fn add(&mut self, answer: &LineageResponse) {
        self.truncated |= answer.truncated;
        self.nodes.extend(answer.nodes.iter().map(|node| (node.position, node.clone())));
        let position = |at: u32| answer.nodes.get(at as usize).map(|node| node.position);
        self.edges.extend(answer.edges.iter().filter_map(|e| Some((position(e.from)?, position(e.to)?))));
    }

    /// The node at a position.
    pub fn node(&self, position: u64) -> Option<&Node> {
        self.nodes.get(&position)
    }

    /// What a node was made from.
    pub fn above(&self, position: u64) -> impl Iterator<Item = &Node> {
        self.edges.iter().filter(move |(_, to)| *to == position).filter_map(|(from, _)| self.nodes.get(from))
    }

    /// What was made from a node.
    pub fn below(&self, position: u64) -> impl Iterator<Item = &Node> {
        self.edges.iter().filter(move |(from, _)| *from == position).filter_map(|(_, to)| self.nodes.get(to))
    }

    /// The picture, with one node in its middle.
    pub fn svg(&self, ask: &Ask, middle: u64) -> Markup {
        let places = self.places();
        let right = places.values().map(|(x, _)| x + WIDTH).max().unwrap_or(0) + MARGIN;
        let bottom = places.values().map(|(_, y)| y + HEIGHT).max().unwrap_or(0) + MARGIN;
        let link = |position: u64| ask.link(&format!("/lineage/{position}"));
        html! {
            svg.lineage xmlns="http://www.w3.org/2000/svg" width=(right) height=(bottom)
                viewBox={ "0 0 " (right) " " (bottom) } role="group" aria-label="Lineage: sources left, what was made from them right" {
                @for (from, to) in &self.edges {
                    @if let (Some(one), Some(other)) = (places.get(from), places.get(to)) { path d=(curve(*one, *other)) {} }
                }
                @for (position, (x, y)) in &places {
                    @if let Some(node) = self.nodes.get(position) {
                        a href=(link(*position)) class=[(*position == middle).then_some("middle")] {
                            title { (kind_of(node)) " @" (position) ": " (node.label) }
                            rect x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx="4" {}
                            text x=(x + 8) y=(y + 16) class="kind" { (kind_of(node)) " @" (position) }
                            text x=(x + 8) y=(y + 31) { (cut(&node.label)) }
                        }
                    }
                }
            }
        }
    }

    /// Where each node is: columns by kind, those without a node left out; in a column the oldest above.
    fn places(&self) -> BTreeMap<u64, (u32, u32)> {
        let mut columns: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (position, node) in &self.nodes {
            columns.entry(column(node)).or_default().push(*position);
        }
        let mut places = BTreeMap::new();
        for (x, column) in (0u32..).zip(columns.values()) {
            for (y, position) in (0u32..).zip(column) {
                places.insert(*position, (MARGIN + x * (WIDTH + GAP_X), MARGIN + y * (HEIGHT + GAP_Y)));
            }
        }
        places
    }
}

fn column(node: &Node) -> u32 {
    match node.kind() {
        NodeKind::Documents | NodeKind::Unspecified => 0,
        NodeKind::Examples => 1,
        NodeKind::Dataset | NodeKind::Base => 2,
        NodeKind::Run | NodeKind::Suite => 3,
        NodeKind::Version => 4,
        NodeKind::Evaluation => 5,
        NodeKind::Promotion => 6,
    }
}

fn curve((x1, y1): (u32, u32), (x2, y2): (u32, u32)) -> String {
    let (x1, y1, y2) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
    let middle = x1 / 2 + x2 / 2;
    format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")
}

fn cut(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS {
        return label.into();
    }
    label.chars().take(LABEL_CHARS - 1).chain(['…']).collect()
}

/// A node's kind in a word.
pub fn kind_of(node: &Node) -> &'static str {
    match node.kind() {
        NodeKind::Documents => "documents",
        NodeKind::Examples => "examples",
        NodeKind::Dataset => "dataset",
        NodeKind::Run => "run",
        NodeKind::Version => "version",
        NodeKind::Evaluation => "evaluation",
        NodeKind::Promotion => "promotion",
        NodeKind::Base => "base",
        NodeKind::Suite => "suite",
        NodeKind::Unspecified => "node",
    }
}

/// The page of a node's thing.
pub fn page_of(node: &Node) -> String {
    let position = node.position;
    match node.kind() {
        NodeKind::Documents | NodeKind::Examples => format!("/batches/{position}"),
        NodeKind::Dataset => format!("/datasets/{position}"),
        NodeKind::Run => format!("/runs/{position}"),
        NodeKind::Version => format!("/models/{}", node.label.replace('@', "/")),
        NodeKind::Evaluation => format!("/evaluations/{position}"),
        NodeKind::Promotion => format!("/promotions/{position}"),
        NodeKind::Suite => format!("/suites/{position}"),
        NodeKind::Base | NodeKind::Unspecified => format!("/events/{position}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::Edge;

    fn node(kind: NodeKind, position: u64, label: &str) -> Node {
        Node { kind: kind as i32, position, index: None, label: label.into() }
    }

    #[test]
    fn sources_stand_left_of_what_was_made_from_them_and_the_two_ways_join() {
        let mut graph = Graph::default();
        let version = node(NodeKind::Version, 30, "triage@1");
        graph.add(&LineageResponse {
            nodes: vec![version.clone(), node(NodeKind::Run, 20, "run"), node(NodeKind::Dataset, 10, "d@1")],
            edges: vec![Edge { from: 1, to: 0 }, Edge { from: 2, to: 1 }],
            ..Default::default()
        });
        graph.add(&LineageResponse {
            nodes: vec![version, node(NodeKind::Promotion, 40, "promotion")],
            edges: vec![Edge { from: 0, to: 1 }],
            truncated: true,
            ..Default::default()
        });
        let places = graph.places();
        let xs: Vec<_> = [10, 20, 30, 40].iter().map(|position| places[position].0).collect();
        assert!(xs.is_sorted() && xs[0] < xs[3], "{xs:?}");
        assert_eq!(graph.above(30).map(|n| n.position).collect::<Vec<_>>(), [20]);
        assert_eq!(graph.below(30).map(|n| n.position).collect::<Vec<_>>(), [40]);
        assert!(graph.truncated);
        assert_eq!(page_of(&node(NodeKind::Version, 30, "triage@1")), "/models/triage/1");
        assert_eq!(cut(&"x".repeat(40)).chars().count(), LABEL_CHARS);
    }
}
