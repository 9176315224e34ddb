//! Roots, checkpoints and proofs over a replica's two trees.

use super::reader::{StoredTiles, Tree, stored_hash};
use super::{Replica, ReplicaError};
use crate::tree::{Checkpoint, Hash, Origin, TlogProof, VerifierKey, consistency_proof, inclusion_proof, root_at};
use attestune_proto::v1::{ConsistencyProofRequest, HeadResponse, InclusionProofRequest, Proof, SignedCheckpoint};

impl Replica {
    pub(super) fn tile_hash(&self, tree: Tree, position: u64) -> Result<Hash, ReplicaError> {
        let hash = stored_hash(&self.store, tree, 0, position)?;
        hash.ok_or(ReplicaError::Read { position, cause: "its leaf hash is missing".into() })
    }

    fn tiles(&self, verdicts: bool) -> StoredTiles<'_> {
        StoredTiles { store: &self.store, tree: if verdicts { Tree::Verdicts } else { Tree::Entries } }
    }

    /// The root of one of the trees at a size.
    ///
    /// # Errors
    /// If the size is beyond the end, or the tree can't be read.
    pub fn root_at(&self, verdicts: bool, size: u64) -> Result<Hash, ReplicaError> {
        let folded = self.position();
        if size > folded {
            return Err(ReplicaError::Beyond { asked: size, size: folded });
        }
        root_at(&self.tiles(verdicts), size).map_err(ReplicaError::damaged)
    }

    /// A signed note over a tree as it is now. The verdict tree's origin ends in `/verdicts`.
    ///
    /// # Errors
    /// If there is no ledger or no checkpoint key.
    pub fn checkpoint(&self, verdicts: bool) -> Result<SignedCheckpoint, ReplicaError> {
        self.signed_checkpoint(verdicts).map(|(_, checkpoint)| checkpoint)
    }

    /// The same with the size of its tree.
    fn signed_checkpoint(&self, verdicts: bool) -> Result<(u64, SignedCheckpoint), ReplicaError> {
        let key = self.options.checkpoint_key.as_ref().ok_or(ReplicaError::NoCheckpointKey)?;
        let head = self.head()?;
        let origin = origin(&head, verdicts)?;
        let root = if verdicts { head.verdict_root } else { head.entry_root };
        let root = Hash(root.try_into().unwrap_or([0; 32]));
        let checkpoint = Checkpoint { origin: origin.clone(), size: head.size, root };
        let verifier = VerifierKey::new(origin, key.inner().verifying_key())
            .map_err(|error| ReplicaError::Damaged { what: error.to_string() })?;
        let signed = SignedCheckpoint { note: checkpoint.sign(key.inner()), verifier_key: verifier.to_string() };
        Ok((head.size, signed))
    }

    /// A proof that an entry, or a verdict, stands at its position.
    ///
    /// # Errors
    /// If position or size lie beyond the end.
    pub fn inclusion_proof(&self, request: &InclusionProofRequest) -> Result<Proof, ReplicaError> {
        let size = if request.size == 0 { self.position() } else { request.size };
        let root = self.root_at(request.verdicts, size)?;
        if request.position >= size {
            return Err(ReplicaError::Beyond { asked: request.position, size });
        }
        let path =
            inclusion_proof(&self.tiles(request.verdicts), request.position, size).map_err(ReplicaError::damaged)?;
        let tree = if request.verdicts { Tree::Verdicts } else { Tree::Entries };
        let leaf = self.tile_hash(tree, request.position)?;
        let mut tlog_proof = String::new();
        if !request.verdicts && self.options.checkpoint_key.is_some() && request.size == 0 {
            tlog_proof = self.tlog_proof(request.position)?;
        }
        Ok(Proof {
            size,
            root: root.0.to_vec(),
            leaf_hash: leaf.0.to_vec(),
            hashes: path.iter().map(|h| h.0.to_vec()).collect(),
            tlog_proof,
        })
    }

    fn tlog_proof(&self, position: u64) -> Result<String, ReplicaError> {
        let (size, checkpoint) = self.signed_checkpoint(false)?;
        let path = inclusion_proof(&self.tiles(false), position, size).map_err(ReplicaError::damaged)?;
        Ok(TlogProof { extra: Vec::new(), index: position, path, checkpoint: checkpoint.note }.to_string())
    }

    /// A proof that an older tree is the beginning of a newer one.
    ///
    /// # Errors
    /// If a size lies beyond the end.
    pub fn consistency_proof(&self, request: &ConsistencyProofRequest) -> Result<Proof, ReplicaError> {
        let size = if request.new_size == 0 { self.position() } else { request.new_size };
        let root = self.root_at(request.verdicts, size)?;
        if request.old_size > size {
            return Err(ReplicaError::Beyond { asked: request.old_size, size });
        }
        let path =
            consistency_proof(&self.tiles(request.verdicts), request.old_size, size).map_err(ReplicaError::damaged)?;
        Ok(Proof {
            size,
            root: root.0.to_vec(),
            leaf_hash: Vec::new(),
            hashes: path.iter().map(|h| h.0.to_vec()).collect(),
            tlog_proof: String::new(),
        })
    }
}

/// The origin line of a ledger's checkpoints: `attestune/NAME/ID`, with the first 16 hex digits of the ledger's id.
///
/// # Errors
/// If the ledger's name can't be one, which its rules exclude.
pub fn origin(head: &HeadResponse, verdicts: bool) -> Result<Origin, ReplicaError> {
    let id = hex::encode(&head.ledger[..head.ledger.len().min(8)]);
    let suffix = if verdicts { "/verdicts" } else { "" };
    let text = format!("attestune/{}/{id}{suffix}", head.name);
    text.parse().map_err(|error: crate::tree::NoteError| ReplicaError::Damaged { what: error.to_string() })
}
