//! Lineage: what something was made from, and what was made from it.

use super::{QueryError, answer, not_found};
use crate::replica::StoreView;
use crate::state::{
    Bases, DatasetBatches, Datasets, Documents, Evaluations, Examples, Models, Promotions, Runs, Suites, Uses,
    Versions, View,
};
use attestune_proto::v1::{Direction, Edge, LineageRequest, LineageResponse, Node, NodeKind, VersionRow, event::Body};
use std::collections::{BTreeMap, BTreeSet};

/// Most nodes returned unless asked otherwise.
const NODES: usize = 1000;

/// Nodes and edges reached from the node made at a position.
///
/// # Errors
/// If no node was made there, or the state can't be read.
pub fn lineage(store: &StoreView, request: &LineageRequest) -> Result<LineageResponse, QueryError> {
    let cursor = store.cursor();
    let view = cursor.view();
    let start = node_at(&view, request.position).ok_or_else(|| not_found("node at position", request.position))?;
    let down = request.direction == Direction::Down as i32;
    let limit = if request.limit == 0 { NODES } else { request.limit as usize };
    let mut walk = Walk { nodes: vec![start.clone()], ..Walk::default() };
    walk.places.insert((start.kind, start.position), 0);
    let mut next = 0;
    while let Some(node) = walk.nodes.get(next).cloned() {
        let neighbours = if down { below(&view, &node) } else { above(&view, &node) };
        for neighbour in neighbours {
            walk.add(next as u32, neighbour, down, limit);
        }
        next += 1;
    }
    let response = LineageResponse {
        nodes: walk.nodes,
        edges: walk.edges,
        truncated: walk.truncated,
        as_of_position: store.size().saturating_sub(1),
    };
    answer(&view, response)
}

#[derive(Default)]
struct Walk {
    nodes: Vec<Node>,
    places: BTreeMap<(i32, u64), u32>,
    edges: Vec<Edge>,
    /// The edges as pairs, each noted once.
    known: BTreeSet<(u32, u32)>,
    truncated: bool,
}

impl Walk {
    fn add(&mut self, at: u32, neighbour: Node, down: bool, limit: usize) {
        let key = (neighbour.kind, neighbour.position);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.nodes.len() >= limit => {
                self.truncated = true;
                return;
            }
            None => {
                let place = self.nodes.len() as u32;
                self.places.insert(key, place);
                self.nodes.push(neighbour);
                place
            }
        };
        let (from, to) = if down { (at, place) } else { (place, at) };
        if self.known.insert((from, to)) {
            self.edges.push(Edge { from, to });
        }
    }
}

/// What a node was made from.
fn above(view: &View<'_>, node: &Node) -> Vec<Node> {
    let at = |position: u64| node_at(view, position);
    match NodeKind::try_from(node.kind).unwrap_or_default() {
        NodeKind::Examples => {
            let batch = view.get(&Examples::key(node.position));
            batch.and_then(|e| documents_node(view, e.documents)).into_iter().collect()
        }
        NodeKind::Dataset => {
            let batches = view.scan(&DatasetBatches::under(node.position));
            batches.iter().filter_map(|batch| examples_node(view, batch.position)).collect()
        }
        NodeKind::Run => {
            let Some(run) = view.get(&Runs::key(node.position)) else { return Vec::new() };
            [run.dataset, run.base].into_iter().filter_map(at).collect()
        }
        NodeKind::Version => {
            let Some(version) = version_at(view, node.position) else { return Vec::new() };
            [version.run.unwrap_or(version.base)].into_iter().filter_map(at).collect()
        }
        NodeKind::Evaluation => {
            let Some(evaluation) = view.get(&Evaluations::key(node.position)) else { return Vec::new() };
            let version = view.get(&Versions::key(&evaluation.model, evaluation.version));
            version.map(|v| v.position).into_iter().chain([evaluation.suite]).filter_map(at).collect()
        }
        NodeKind::Promotion => {
            let Some(promotion) = view.get(&Promotions::key(node.position)) else { return Vec::new() };
            let version = view.get(&Versions::key(&promotion.model, promotion.version));
            version.map(|v| v.position).into_iter().chain(promotion.evaluations).filter_map(at).collect()
        }
        NodeKind::Documents | NodeKind::Base | NodeKind::Suite | NodeKind::Unspecified => Vec::new(),
    }
}

/// What was made from a node.
fn below(view: &View<'_>, node: &Node) -> Vec<Node> {
    view.scan(&Uses::under(node.position)).iter().filter_map(|made| node_at(view, made.position)).collect()
}

/// The version that the event at a position made.
fn version_at(view: &View<'_>, position: u64) -> Option<VersionRow> {
    let version = |model: &str, number: u32| view.get(&Versions::key(model, number));
    match view.body(position)? {
        Body::TrainingCompleted(body) => {
            let run = view.get(&Runs::key(body.run))?;
            version(&run.model, run.version)
        }
        Body::ModelRegistered(body) => {
            let versions = view.get(&Models::key(&body.model))?.versions;
            // Numbers ascend with positions.
            let (mut low, mut high) = (1, versions);
            while low < high {
                let middle = low + (high - low) / 2;
                if version(&body.model, middle)?.position < position { low = middle + 1 } else { high = middle }
            }
            version(&body.model, low)
        }
        _ => None,
    }
    .filter(|version| version.position == position)
}

fn node(kind: NodeKind, position: u64, label: String) -> Option<Node> {
    Some(Node { kind: kind as i32, position, index: None, label })
}

fn documents_node(view: &View<'_>, position: u64) -> Option<Node> {
    let row = view.get(&Documents::key(position))?;
    node(NodeKind::Documents, position, format!("{} documents of {}", row.count, row.collection))
}

fn examples_node(view: &View<'_>, position: u64) -> Option<Node> {
    let row = view.get(&Examples::key(position))?;
    node(NodeKind::Examples, position, format!("{} examples of {}", row.count, row.collection))
}

/// The node that the event at a position made.
fn node_at(view: &View<'_>, position: u64) -> Option<Node> {
    let node = |kind: NodeKind, label: String| node(kind, position, label);
    match view.body(position)? {
        Body::DocumentsIngested(_) => documents_node(view, position),
        Body::ExamplesDerived(_) => examples_node(view, position),
        Body::DatasetFrozen(_) => {
            let row = view.get(&Datasets::key(position))?;
            node(NodeKind::Dataset, format!("{}@{}", row.dataset, row.number))
        }
        Body::BaseModelRegistered(_) => node(NodeKind::Base, view.get(&Bases::key(position))?.base),
        Body::TrainingRequested(_) => {
            node(NodeKind::Run, format!("run {position} of {}", view.get(&Runs::key(position))?.model))
        }
        Body::SuiteRegistered(_) => {
            let row = view.get(&Suites::key(position))?;
            node(NodeKind::Suite, format!("{}@{}", row.suite, row.number))
        }
        Body::EvaluationRequested(_) => {
            let row = view.get(&Evaluations::key(position))?;
            node(NodeKind::Evaluation, format!("evaluation of {}@{}", row.model, row.version))
        }
        Body::PromotionRequested(_) => {
            let row = view.get(&Promotions::key(position))?;
            let stage = attestune_proto::v1::Stage::try_from(row.to).unwrap_or_default();
            let stage = crate::draft::plain(stage.as_str_name(), "STAGE_");
            node(NodeKind::Promotion, format!("promotion of {}@{} to {stage}", row.model, row.version))
        }
        Body::TrainingCompleted(_) | Body::ModelRegistered(_) => {
            let row = version_at(view, position)?;
            node(NodeKind::Version, format!("{}@{}", row.model, row.version))
        }
        _ => None,
    }
}
