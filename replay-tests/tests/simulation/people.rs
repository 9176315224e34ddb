//! People: each looks at the state, does what is next for somebody in that role, and sends it again until it is there.

use crate::company::company_policy;
use crate::course::Fault;
use crate::process::{Me, second_key};
use attestune_ledger::rules::eligibility::{batch, batches, examples, members_root};
use attestune_ledger::rules::policy::in_force;
use attestune_ledger::state::{
    Actors, Bases, Datasets, Documents, Evaluations, Examples, Keys, Ledgers, Models, Promotions, Runs, Suites,
    Versions, View,
};
use attestune_proto::v1::{
    ActorKind, Approval, BatchReview, ClockCorrected, DatasetFrozen, Decision, DocumentsIngested, EvaluationRequested,
    EvaluationRow, ExampleStatus, ExamplesDerived, ExamplesReviewed, KeyRevoked, PolicyAdopted, PromotionRejected,
    PromotionRequested, PromotionStatus, PromotionWithdrawn, RejectionReason, ReviewReason, ReviewReopened,
    ReviewVerdict, RevocationReason, Role, RoleWithdrawn, RollbackReason, RolledBack, Stage, VersionRow, WorkStatus,
    event::Body,
};
use attestune_replay_tests::{approved, grant, register, sealed, training};

/// The models, each trained on the collection of its name.
const MODELS: [&str; 2] = ["router", "triage"];
/// Batches of documents in a run, at most.
const DOCUMENTS_MAX: usize = 10;
/// Datasets, at most.
const DATASETS_MAX: usize = 6;
/// Runs, at most, where nobody needs one more.
const RUNS_MAX: usize = 8;
/// How often the same bytes are sent.
const SENDS: u32 = 3;
const ROLES: [Role; 6] = [Role::Admin, Role::Steward, Role::Reviewer, Role::Engineer, Role::Approver, Role::Officer];

/// Somebody with some roles.
pub async fn person(me: Me, roles: &'static [Role]) {
    loop {
        for _ in 0..=me.below(5) {
            me.turn().await;
        }
        let mistaken = me.fails(Fault::Mistake, 12);
        let role = if mistaken { ROLES[me.below(6) as usize] } else { roles[me.below(roles.len() as u64) as usize] };
        let mut acts = acts(&me, role);
        if acts.is_empty() {
            continue;
        }
        let body = acts.swap_remove(me.below(acts.len() as u64) as usize);
        let id = me.bytes(16).try_into().expect("16 bytes");
        let with: &[&str] = if me.name == "ada" && takes_two(&body) { &["omar"] } else { &[] };
        let value = me.sign(id, None, body, with);
        let mut from = None;
        for _ in 0..SENDS {
            me.turn().await;
            let sent = me.send(&value);
            if me.receipt(&value, *from.get_or_insert(sent)).await.is_some() {
                break;
            }
        }
    }
}

fn takes_two(body: &Body) -> bool {
    let root = matches!(body, Body::PolicyAdopted(_) | Body::ClockCorrected(_));
    root || matches!(body, Body::RoleGranted(_) | Body::KeyRegistered(_))
}

/// What somebody in a role might do now.
fn acts(me: &Me, role: Role) -> Vec<Body> {
    match role {
        Role::Admin => upheavals(me),
        Role::Steward => data(me),
        Role::Reviewer => reviews(me),
        Role::Engineer => requests(me),
        Role::Approver => approvals(me),
        Role::Officer => objections(me),
        _ => Vec::new(),
    }
}

fn data(me: &Me) -> Vec<Body> {
    let collection = MODELS[me.below(2) as usize].to_owned();
    let (room, raw, datasets) = me.look(|view| {
        let documents = view.scan(&Documents::all());
        let derived: Vec<u64> = view.scan(&Examples::all()).iter().map(|batch| batch.documents).collect();
        let raw: Vec<_> = documents.iter().filter(|d| !derived.contains(&d.position)).cloned().collect();
        let datasets = view.scan(&Datasets::all()).len();
        (documents.len() < DOCUMENTS_MAX, raw, datasets)
    });
    let mut bodies = Vec::new();
    if room {
        let commitments = (0..=me.below(5)).map(|_| me.bytes(32)).collect();
        let body = DocumentsIngested { collection: collection.clone(), pack: me.bytes(16), commitments };
        bodies.push(Body::DocumentsIngested(body));
    }
    for documents in raw {
        bodies.push(Body::ExamplesDerived(ExamplesDerived {
            documents: documents.position,
            pack: me.bytes(16),
            commitments: (0..documents.count).map(|_| me.bytes(32)).collect(),
            rows: (0..documents.count).collect(),
            template: sealed(9),
        }));
    }
    let freeze = me.look(|view| freeze(view, &collection));
    bodies.extend(freeze.filter(|_| datasets < DATASETS_MAX));
    bodies
}

fn freeze(view: &View<'_>, collection: &str) -> Option<Body> {
    let collections = vec![collection.to_owned()];
    let all = examples(view, view, &in_force(view), &collections);
    let (root, count) = members_root(all.iter().filter(|e| e.status == ExampleStatus::Eligible));
    let at = view.size() - 1;
    let dataset = collection.to_owned();
    let body = DatasetFrozen { dataset, collections, at, root: root.0.to_vec(), count };
    (count > 0).then_some(Body::DatasetFrozen(body))
}

fn reviews(me: &Me) -> Vec<Body> {
    let collections = MODELS.map(str::to_owned);
    let all = me.look(|view| {
        let known = batches(view, &collections);
        let policy = in_force(view);
        let of = |row| batch(view, view, &policy, row);
        known.iter().flat_map(of).collect::<Vec<_>>()
    });
    let mut bodies = Vec::new();
    for example in all.iter().filter(|e| e.status == ExampleStatus::AwaitingReview) {
        let verdicts = [ReviewVerdict::Approve, ReviewVerdict::Reject, ReviewVerdict::Redact];
        let verdict = verdicts[me.below(3) as usize];
        let redact = verdict == ReviewVerdict::Redact;
        let decision = Decision {
            index: example.index,
            verdict: verdict.into(),
            reason: ReviewReason::PersonalData.into(),
            redacted: if redact { me.bytes(32) } else { Vec::new() },
            hidden: Vec::new(),
        };
        let pack = if redact { me.bytes(16) } else { Vec::new() };
        let review = BatchReview { batch: example.batch, decisions: vec![decision], pack };
        bodies.push(Body::ExamplesReviewed(ExamplesReviewed { batches: vec![review] }));
    }
    if me.one_in(8) {
        let decided = all.iter().filter(|e| e.reviewed);
        let reopen = |batch, index| Body::ReviewReopened(ReviewReopened { batch, indices: vec![index] });
        bodies.extend(decided.map(|e| reopen(e.batch, e.index)));
    }
    bodies
}

fn requests(me: &Me) -> Vec<Body> {
    let eager = me.one_in(8);
    me.look(|view| {
        let base = view.scan(&Bases::all()).first().map_or(0, |base| base.position);
        let suite = view.scan(&Suites::all()).first().map_or(0, |suite| suite.position);
        let (runs, evaluations) = (view.scan(&Runs::all()), view.scan(&Evaluations::all()));
        let mut bodies = Vec::new();
        for dataset in view.scan(&Datasets::all()) {
            let gone_on = runs.iter().any(|r| r.dataset == dataset.position && r.status != WorkStatus::Failed as i32);
            if !gone_on || eager && runs.len() < RUNS_MAX {
                let mut body = training(dataset.position, base);
                body.model = dataset.dataset;
                bodies.push(Body::TrainingRequested(body));
            }
        }
        for version in view.scan(&Versions::all()) {
            let (model, number) = (version.model.clone(), version.version);
            let of = |e: &&EvaluationRow| e.model == model && e.version == number;
            let newest = evaluations.iter().rfind(of);
            let failed = |status: i32| status == WorkStatus::Failed as i32;
            let short = newest.is_none_or(|e| failed(e.status) || e.results.iter().any(|r| r.passed < 95));
            let going_on = newest.is_some_and(|e| e.results.is_empty() && !failed(e.status));
            if short || eager {
                bodies.push(Body::EvaluationRequested(EvaluationRequested { model, version: number, suite }));
            }
            bodies.extend(promotion(view, &version, eager).filter(|_| eager || !short && !going_on));
        }
        bodies
    })
}

fn promotion(view: &View<'_>, version: &VersionRow, eager: bool) -> Option<Body> {
    let model = view.get(&Models::key(&version.model))?;
    let open = model.open_promotion.and_then(|at| view.get(&Promotions::key(at)));
    if open.is_some_and(|p| p.status == PromotionStatus::Open as i32) && !eager {
        return None;
    }
    let (to, in_force) = match Stage::try_from(version.stage).ok()? {
        // Who is eager would leave out a step, or replaces what is not in force.
        Stage::Dev if eager && version.version.is_multiple_of(2) => (Stage::Production, model.in_force),
        Stage::Staging if eager && version.version.is_multiple_of(2) => (Stage::Production, model.in_force + 1),
        Stage::Dev => (Stage::Staging, 0),
        Stage::Staging => (Stage::Production, model.in_force),
        Stage::Production | Stage::Unspecified => return None,
    };
    let replaces = (in_force > 0).then_some(in_force);
    let body = PromotionRequested {
        model: model.model,
        version: version.version,
        to: to.into(),
        replaces,
        ..Default::default()
    };
    Some(Body::PromotionRequested(body))
}

fn approvals(me: &Me) -> Vec<Body> {
    let (again, rejects) = (me.one_in(10), me.one_in(12));
    let open = me.look(|view| {
        let mut all = view.scan(&Promotions::all());
        all.retain(|p| p.status == PromotionStatus::Open as i32 || again);
        all
    });
    let mut bodies = Vec::new();
    for promotion in open {
        let mine = |a: &Approval| a.signer.as_ref().is_some_and(|s| s.actor == me.name);
        if rejects {
            let reason = RejectionReason::Evidence.into();
            bodies.push(Body::PromotionRejected(PromotionRejected { promotion: promotion.position, reason }));
            bodies.push(Body::PromotionWithdrawn(PromotionWithdrawn { promotion: promotion.position }));
        } else if again || !promotion.approvals.iter().any(mine) {
            bodies.push(approved(promotion.position));
        }
    }
    bodies
}

fn objections(me: &Me) -> Vec<Body> {
    if !me.one_in(6) {
        return Vec::new();
    }
    me.look(|view| {
        let mut bodies = Vec::new();
        for model in view.scan(&Models::all()) {
            for to in view.scan(&Versions::under(model.model.as_str())) {
                let (name, from, reason) = (model.model.clone(), model.in_force, RollbackReason::Quality.into());
                bodies.push(Body::RolledBack(RolledBack { model: name, from, to: to.version, reason }));
            }
        }
        bodies
    })
}

/// Policies, the clock, roles, keys; what was taken from somebody is given back.
fn upheavals(me: &Me) -> Vec<Body> {
    if !me.fails(Fault::Upheaval, 8) {
        return Vec::new();
    }
    let time_ms = me.now_ms();
    let mut policy = company_policy();
    policy.gates[1].approvals = 1 + me.below(2) as u32;
    let mut bodies = vec![
        Body::PolicyAdopted(PolicyAdopted { policy: Some(policy) }),
        Body::ClockCorrected(ClockCorrected { time_ms }),
    ];
    let taken = [
        ("rita", Role::Reviewer),
        ("axel", Role::Approver),
        ("checker-2", Role::Checker),
        ("evaluator-2", Role::Evaluator),
    ];
    for (actor, role) in taken {
        let holds = me.look(|view| view.get(&Actors::key(actor)).is_some_and(|a| a.roles.contains(&(role as i32))));
        let withdraw = Body::RoleWithdrawn(RoleWithdrawn { actor: actor.into(), role: role.into() });
        bodies.push(if holds { withdraw } else { grant(actor, role) });
    }
    for (actor, kind) in [("rolf", ActorKind::Person), ("anja", ActorKind::Person), ("scanner-2", ActorKind::Worker)] {
        bodies.extend(me.look(|view| change_of_key(view, actor, kind)));
    }
    bodies
}

/// The first key is revoked; then a second one is registered.
fn change_of_key(view: &View<'_>, actor: &str, kind: ActorKind) -> Option<Body> {
    let key = |name: &str| attestune_replay_tests::key(name).keyid();
    let first = view.get(&Keys::key(&key(actor)))?;
    let ledger = view.get(&Ledgers::key())?.ledger_id;
    if first.revoked_at.is_none() {
        let reason = RevocationReason::Lost.into();
        return Some(Body::KeyRevoked(KeyRevoked { keyid: first.keyid, reason }));
    }
    let second = second_key(actor);
    view.get(&Keys::key(&key(&second))).is_none().then(|| register(&ledger, actor, &second, kind))
}
