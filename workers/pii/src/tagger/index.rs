//! Sorted 32-bit hashes and where each stands.

/// A feature's or word's hash: FNV-1a with a last mix, the same everywhere.
pub fn hash(bytes: &[u8]) -> u32 {
    mix(bytes.iter().fold(0x811c_9dc5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
}

/// One hash of several.
pub fn join(parts: &[u32]) -> u32 {
    parts.iter().fold(0x9e37_79b9, |sum, &part| mix(sum.rotate_left(5) ^ part).wrapping_mul(0x85eb_ca6b))
}

fn mix(mut sum: u32) -> u32 {
    sum = (sum ^ (sum >> 16)).wrapping_mul(0x7feb_352d);
    sum = (sum ^ (sum >> 15)).wrapping_mul(0x846c_a68b);
    sum ^ (sum >> 16)
}

const BUCKET_BITS: u32 = 16;

/// A set of hashes that gives each its rank. One step to a bucket of a few, then those in turn.
#[derive(Debug, Default)]
pub struct Index {
    hashes: Vec<u32>,
    buckets: Vec<u32>,
}

impl Index {
    /// An index of hashes that ascend; none if they don't.
    pub fn new(hashes: Vec<u32>) -> Option<Self> {
        if !hashes.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let mut buckets = vec![0; (1 << BUCKET_BITS) + 1];
        for &hash in &hashes {
            buckets[bucket(hash) + 1] += 1;
        }
        let mut sum = 0;
        for bucket in &mut buckets {
            sum += *bucket;
            *bucket = sum;
        }
        Some(Self { hashes, buckets })
    }

    /// The rank of a hash, if it is in the set.
    pub fn rank(&self, hash: u32) -> Option<usize> {
        let at = bucket(hash);
        let (from, to) = (*self.buckets.get(at)? as usize, *self.buckets.get(at + 1)? as usize);
        self.hashes[from..to].iter().position(|&other| other == hash).map(|place| from + place)
    }

    /// The hashes, ascending.
    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }
}

fn bucket(hash: u32) -> usize {
    (hash >> (32 - BUCKET_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_sorted_set() {
        let mut hashes: Vec<u32> = (0..5000u32).map(|n| hash(&n.to_le_bytes())).chain([0, u32::MAX]).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let index = Index::new(hashes.clone()).unwrap();
        for (rank, &hash) in hashes.iter().enumerate() {
            assert_eq!(index.rank(hash), Some(rank));
        }
        let absent = (0..5000u32).map(|n| hash(&n.to_be_bytes())).find(|hash| hashes.binary_search(hash).is_err());
        assert_eq!(index.rank(absent.unwrap()), None);
        assert_eq!(Index::default().rank(7), None);
        assert!(Index::new(vec![2, 1]).is_none() && Index::new(vec![1, 1]).is_none());
    }
}
