//! Lineage: what something was made from, and what was made from it.

use super::{QueryError, answer, not_found};
use crate::replica::StoreView;
use crate::rules::eligibility;
use crate::state::{Bases, Datasets, Documents, Evaluations, Examples, Promotions, Runs, Suites, Versions, View};
use attestune_proto::v1::{Direction, Edge, LineageRequest, LineageResponse, Node, NodeKind, VersionRow, event::Body};
use std::collections::BTreeMap;

/// Most nodes returned unless asked otherwise.
const NODES: usize = 1000;

/// Nodes and edges reached from the node made at a position.
///
/// # Errors
/// If no node was made there, or the state can't be read.
pub fn lineage(store: &StoreView, request: &LineageRequest) -> Result<LineageResponse, QueryError> {
    let view = store.view();
    let start = node_at(&view, request.position).ok_or_else(|| not_found("node at position", request.position))?;
    let down = request.direction == Direction::Down as i32;
    let limit = if request.limit == 0 { NODES } else { request.limit as usize };
    let mut walk = Walk { nodes: vec![start.clone()], places: BTreeMap::new(), edges: Vec::new(), truncated: false };
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

struct Walk {
    nodes: Vec<Node>,
    places: BTreeMap<(i32, u64), u32>,
    edges: Vec<Edge>,
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
        let edge = if down { Edge { from: at, to: place } } else { Edge { from: place, to: at } };
        if !self.edges.contains(&edge) {
            self.edges.push(edge);
        }
    }
}

/// What a node was made from.
fn above(view: &View<'_>, node: &Node) -> Vec<Node> {
    let at = |position: u64| node_at(view, position);
    match NodeKind::try_from(node.kind).unwrap_or_default() {
        NodeKind::Examples => {
            view.get(&Examples::key(node.position)).and_then(|e| at(e.documents)).into_iter().collect()
        }
        NodeKind::Dataset => {
            let Some(dataset) = view.get(&Datasets::key(node.position)) else { return Vec::new() };
            let mut batches: Vec<u64> = super::members_of(view, &dataset).iter().map(|m| m.batch).collect();
            batches.dedup();
            batches.into_iter().filter_map(at).collect()
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
    let nodes = |positions: Vec<u64>| positions.into_iter().filter_map(|p| node_at(view, p)).collect();
    match NodeKind::try_from(node.kind).unwrap_or_default() {
        NodeKind::Documents => nodes(
            view.scan(&Examples::all()).iter().filter(|e| e.documents == node.position).map(|e| e.position).collect(),
        ),
        NodeKind::Examples => datasets_with(view, node.position),
        NodeKind::Dataset => {
            nodes(view.scan(&Runs::all()).iter().filter(|r| r.dataset == node.position).map(|r| r.position).collect())
        }
        NodeKind::Base => {
            nodes(view.scan(&Runs::all()).iter().filter(|r| r.base == node.position).map(|r| r.position).collect())
        }
        NodeKind::Run => {
            let run = view.get(&Runs::key(node.position)).unwrap_or_default();
            let version = view.get(&Versions::key(&run.model, run.version));
            nodes(version.map(|v| v.position).into_iter().collect())
        }
        NodeKind::Version => {
            let Some(version) = version_at(view, node.position) else { return Vec::new() };
            let fits = |model: &str, number: u32| model == version.model && number == version.version;
            let evaluations = view.scan(&Evaluations::all());
            let promotions = view.scan(&Promotions::all());
            let evaluations = evaluations.iter().filter(|e| fits(&e.model, e.version)).map(|e| e.position);
            nodes(
                evaluations
                    .chain(promotions.iter().filter(|p| fits(&p.model, p.version)).map(|p| p.position))
                    .collect(),
            )
        }
        NodeKind::Suite => nodes(
            view.scan(&Evaluations::all()).iter().filter(|e| e.suite == node.position).map(|e| e.position).collect(),
        ),
        NodeKind::Evaluation => nodes(
            view.scan(&Promotions::all())
                .iter()
                .filter(|p| p.evaluations.contains(&node.position))
                .map(|p| p.position)
                .collect(),
        ),
        NodeKind::Promotion | NodeKind::Unspecified => Vec::new(),
    }
}

fn datasets_with(view: &View<'_>, batch: u64) -> Vec<Node> {
    let Some(row) = view.get(&Examples::key(batch)) else { return Vec::new() };
    let mut found = Vec::new();
    for dataset in view.scan(&Datasets::all()) {
        if dataset.at < batch || !dataset.collections.contains(&row.collection) {
            continue;
        }
        let then = view.as_of(dataset.at + 1);
        let judge = view.as_of(dataset.position);
        let policy = crate::rules::policy::in_force(&judge);
        let members = eligibility::batch(&then, &judge, &policy, &row);
        view.absorb(&then);
        view.absorb(&judge);
        if members.iter().any(|m| m.status == attestune_proto::v1::ExampleStatus::Eligible) {
            found.extend(node_at(view, dataset.position));
        }
    }
    found
}

/// The version that the event at a position made.
fn version_at(view: &View<'_>, position: u64) -> Option<VersionRow> {
    let model = match view.body(position)? {
        Body::TrainingCompleted(body) => view.get(&Runs::key(body.run))?.model,
        Body::ModelRegistered(body) => body.model,
        _ => return None,
    };
    view.scan(&Versions::under(model.as_str())).into_iter().find(|v| v.position == position)
}

/// The node that the event at a position made.
fn node_at(view: &View<'_>, position: u64) -> Option<Node> {
    let node = |kind: NodeKind, label: String| Some(Node { kind: kind as i32, position, index: None, label });
    match view.body(position)? {
        Body::DocumentsIngested(_) => {
            let row = view.get(&Documents::key(position))?;
            node(NodeKind::Documents, format!("{} documents of {}", row.count, row.collection))
        }
        Body::ExamplesDerived(_) => {
            let row = view.get(&Examples::key(position))?;
            node(NodeKind::Examples, format!("{} examples of {}", row.count, row.collection))
        }
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
