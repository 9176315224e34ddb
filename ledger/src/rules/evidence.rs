//! Bundles of evidence that leave the house.

use super::{Act, check};
use crate::refusal::Refusal;
use crate::state::{Effects, Exports, Models, Versions, View};
use attestune_proto::v1::{BundleKind, EvidenceExported, ExportPurpose, ExportRow};

/// Most entries that a slice discloses.
pub const POSITIONS_MAX: usize = 8192;
/// Most texts opened in a bundle.
pub const TEXTS_MAX: usize = 512;

/// Somebody takes a bundle out.
///
/// Refusals, in this order: malformed, no such version, a size or position that lies ahead, positions that do not suit
/// the kind of bundle.
pub fn export(view: &View<'_>, act: &Act<'_>, body: &EvidenceExported) -> Result<Effects, Refusal> {
    let kind = check::known::<BundleKind>("kind", body.kind)?;
    check::known::<ExportPurpose>("purpose", body.purpose)?;
    check::id("model", &body.model)?;
    check::digest("manifest", &body.manifest)?;
    let known = match body.version {
        0 => view.get(&Models::key(&body.model)).is_some(),
        version => view.get(&Versions::key(&body.model, version)).is_some(),
    };
    if !known {
        return Err(Refusal::UnknownVersion { model: body.model.clone(), version: body.version });
    }
    if body.size == 0 || body.size > act.position {
        return Err(Refusal::BadField { field: "size", rule: "must be at least 1 and not lie ahead" });
    }
    let wanted = match kind {
        BundleKind::Slice => 1..=POSITIONS_MAX,
        BundleKind::Complete | BundleKind::Unspecified => 0..=0,
    };
    if !wanted.contains(&body.positions.len()) {
        return Err(Refusal::BadField { field: "positions", rule: "must be 1 to 8,192 of a slice and none otherwise" });
    }
    check::ascending("positions", body.positions.iter())?;
    if body.positions.last().is_some_and(|last| *last >= body.size) {
        return Err(Refusal::BadField { field: "positions", rule: "must lie below the size" });
    }
    if body.texts.len() > TEXTS_MAX {
        return Err(Refusal::BadField { field: "texts", rule: "may have 512 items" });
    }
    body.texts.iter().try_for_each(|text| check::digest("texts", text))?;
    let row = ExportRow {
        position: act.position,
        signer: Some(act.signer()),
        kind: body.kind,
        purpose: body.purpose,
        model: body.model.clone(),
        version: body.version,
        size: body.size,
        manifest: body.manifest.clone(),
        disclosed: body.positions.len() as u32,
        texts: body.texts.clone(),
    };
    Ok(Effects::none().and(&Exports::key(act.position), &row))
}
