//! A whole tree in memory: the root of every earlier size, when it is asked for.

use super::{Hash, empty_root, node_hash};

/// The roots of all complete subtrees of a growing tree, by height.
///
/// Two hashes a leaf. [`Subtrees::push`] takes one node hash on average, [`Subtrees::root`] about half of log2(size).
#[derive(Debug, Clone, Default)]
pub struct Subtrees(Vec<Vec<Hash>>);

impl Subtrees {
    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for height in 0.. {
            if self.0.len() == height {
                self.0.push(Vec::new());
            }
            let row = &mut self.0[height];
            row.push(hash);
            match row.as_chunks::<2>() {
                // The last two have become a larger one.
                ([.., [left, right]], []) => hash = node_hash(*left, *right),
                _ => return,
            }
        }
    }

    /// The root of the tree's first leaves; none if it has fewer.
    pub fn root(&self, size: u64) -> Option<Hash> {
        let mut root: Option<Hash> = None;
        // The subtree of each one bit of the size, the smallest of which stands last.
        for height in (0..u64::BITS).filter(|height| size >> height & 1 == 1) {
            let index = usize::try_from((size >> height) - 1).ok()?;
            let subtree = *self.0.get(height as usize)?.get(index)?;
            root = Some(root.map_or(subtree, |right| node_hash(subtree, right)));
        }
        Some(root.unwrap_or_else(empty_root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Frontier, leaf_hash};

    #[test]
    fn every_earlier_root_is_the_frontiers_of_then() {
        let (mut tree, mut frontier, mut roots) = (Subtrees::default(), Frontier::new(), vec![empty_root()]);
        for leaf in 0..300u64 {
            let leaf = leaf_hash(&[&leaf.to_be_bytes()]);
            tree.push(leaf);
            frontier.push(leaf);
            roots.push(frontier.root());
        }
        for (size, root) in (0..).zip(roots) {
            assert_eq!(tree.root(size), Some(root), "{size}");
        }
        assert_eq!((tree.root(301), tree.root(512), tree.root(u64::MAX)), (None, None, None));
        assert_eq!((Subtrees::default().root(0), Subtrees::default().root(1)), (Some(empty_root()), None));
    }
}
