//! Texts in the vault: sealing, and opening with the read on the record first.

use super::Services;
use crate::access::{caller, may_open, may_seal, reader, refuse, release};
use crate::convert::{query_failed, vault_failed};
use crate::reason::{Reason, status};
use attestune_ledger::query;
use attestune_ledger::replica::StoreView;
use attestune_ledger::state::ErasedDocuments;
use attestune_ledger::vault::{Vault, VaultError};
use attestune_proto::v1::content_server::Content;
use attestune_proto::v1::{OpenRequest, OpenResponse, SealRequest, SealResponse, Sealed, event::Body};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

/// Most contents of one call.
const CONTENTS_MAX: usize = 4096;

/// Fingerprints of documents that are on the ledger, by batch and the newest erasure in it.
#[derive(Default)]
pub struct Known(Mutex<HashMap<(u64, u64), Fingerprints>>);

type Fingerprints = HashSet<[u8; 16]>;

impl Services {
    pub(super) fn vault(&self) -> Result<Arc<Vault>, Status> {
        self.gateway.vault.clone().ok_or_else(|| status(Reason::NoVault, "this gateway has no vault"))
    }

    /// Fingerprints of all documents that a collection holds, as far as this vault has them: a pack that is not here
    /// (sealed elsewhere, or only claimed) hides its own duplicates, but holds nobody up.
    async fn fingerprints(&self, vault: &Vault, collection: &str) -> Result<Fingerprints, Status> {
        let view = self.gateway.replica.view();
        let batches = query::list_batches(&view, collection).map_err(query_failed)?.documents;
        let mut known = self.known.0.lock().await;
        let mut all = HashSet::new();
        for batch in batches {
            let erased = view.view().get(&ErasedDocuments::key(batch.position)).map_or(0, |row| row.position);
            let name = (batch.position, erased);
            if let Some(prints) = known.get(&name) {
                all.extend(prints.iter().copied());
                continue;
            }
            let Some(pack) = pack_of(&view, batch.position) else { continue };
            let prints: HashSet<_> = match vault.fingerprints(&pack).await {
                Ok(prints) => prints.into_iter().collect(),
                Err(VaultError::Unknown { pack, .. }) => {
                    tracing::warn!(pack, position = batch.position, "a batch's pack is not in the vault");
                    continue;
                }
                Err(error) => return Err(vault_failed(error)),
            };
            all.extend(prints.iter().copied());
            known.insert(name, prints);
        }
        Ok(all)
    }
}

fn pack_of(view: &StoreView, position: u64) -> Option<Vec<u8>> {
    match query::event_of(view, position).ok()??.body? {
        Body::DocumentsIngested(body) => Some(body.pack),
        _ => None,
    }
}

#[tonic::async_trait]
impl Content for Services {
    async fn seal(&self, request: Request<SealRequest>) -> Result<Response<SealResponse>, Status> {
        may_seal(&self.gateway, &reader(&self.gateway, &request)?)?;
        let SealRequest { contents, collection, subjects } = request.into_inner();
        if !subjects.is_empty() && subjects.len() != contents.len() {
            return Err(status(Reason::BadRequest, "subjects, if any, are as many as contents"));
        }
        if contents.len() > CONTENTS_MAX {
            let message = format!("{} contents, {CONTENTS_MAX} are allowed", contents.len());
            return Err(status(Reason::BadRequest, message));
        }
        let vault = self.vault()?;
        let mut response = SealResponse::default();
        let mut fresh = Vec::with_capacity(contents.len());
        let mut owners = Vec::with_capacity(subjects.len());
        if collection.is_empty() {
            (fresh, owners) = (contents, subjects);
        } else {
            let mut known = self.fingerprints(&vault, &collection).await?;
            for (index, content) in contents.into_iter().enumerate() {
                if known.insert(vault.fingerprint(&content)) {
                    fresh.push(content);
                    owners.extend(subjects.get(index).cloned());
                } else {
                    response.known.push(index as u32);
                }
            }
        }
        if !fresh.is_empty() {
            let sealed = vault.seal(&fresh).await.map_err(vault_failed)?;
            response.pack = sealed.pack.to_vec();
            response.commitments = sealed.items.iter().map(|i| i.commitment.to_vec()).collect();
            response.salts = sealed.items.iter().map(|i| i.salt.to_vec()).collect();
            let texts = response
                .commitments
                .iter()
                .map(|commitment| Sealed { pack: response.pack.clone(), commitment: commitment.clone() });
            let owned = owners.into_iter().zip(texts).filter(|(subject, _)| !subject.trim().is_empty());
            vault.index_subjects(owned).await.map_err(vault_failed)?;
        }
        Ok(Response::new(response))
    }

    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        // Whoever may not open texts is put on the record below, also without any role.
        let caller = caller(&self.gateway, &request)?;
        let OpenRequest { contents: mut wanted, pack, with_salts } = request.into_inner();
        if pack.len() == 16 && wanted.is_empty() {
            let commitments = self.vault()?.commitments(&pack).await;
            // Whoever may not open texts is not told either whether there are any.
            if !may_open(&caller) {
                return Err(refuse(&self.gateway, &self.denials, &caller, commitments.unwrap_or_default()).await);
            }
            let commitments = commitments.map_err(vault_failed)?;
            wanted = commitments.into_iter().map(|commitment| Sealed { pack: pack.clone(), commitment }).collect();
        } else if !pack.is_empty() {
            return Err(status(Reason::BadRequest, "a pack of 16 bytes or contents are asked for, not both"));
        }
        if wanted.is_empty() || wanted.len() > CONTENTS_MAX {
            return Err(status(Reason::BadRequest, format!("1 to {CONTENTS_MAX} contents may be opened at once")));
        }
        if wanted.iter().any(|s| s.commitment.len() != 32 || s.pack.len() != 16) {
            return Err(status(Reason::BadRequest, "a pack has 16 bytes, a commitment 32"));
        }
        let vault = self.vault()?;
        let commitments = wanted.iter().map(|s| s.commitment.clone()).collect();
        release(&self.gateway, &self.denials, &caller, commitments).await?;
        let contents = vault.open_all(&wanted).await.map_err(vault_failed)?;
        let salts = if with_salts { vault.salts(&wanted).await.map_err(vault_failed)? } else { Vec::new() };
        let commitments = match pack.is_empty() {
            true => Vec::new(),
            false => wanted.into_iter().map(|sealed| sealed.commitment).collect(),
        };
        Ok(Response::new(OpenResponse { contents, commitments, salts }))
    }
}
