//! The tree against known vectors, a naive definition, and another implementation.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Tiles in memory, filled by [`Frontier::push_noting`].
#[derive(Default)]
pub(super) struct Memory {
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
    frontier: Frontier,
}

impl Memory {
    pub(super) fn of(size: u64) -> Self {
        let mut memory = Self::default();
        (0..size).for_each(|index| memory.push(leaf(index)));
        memory
    }

    fn push(&mut self, leaf: Hash) {
        let Self { tiles, frontier } = self;
        frontier.push_noting(leaf, |TileHash { level, index, hash }| {
            let tile = tiles.entry((level, index / 256)).or_default();
            assert_eq!(tile.len() as u64, index % 256, "hashes come in order");
            tile.push(hash);
        });
    }
}

impl TileReader for Memory {
    type Error = String;

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, String> {
        let tile = self.tiles.get(&(level, index)).ok_or("no such tile")?;
        Ok(tile[..usize::from(width).min(tile.len())].to_vec())
    }
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&[&index.to_be_bytes()])
}

/// RFC 6962 §2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let middle = leaves.len().next_power_of_two() / 2;
            node_hash(naive_root(&leaves[..middle]), naive_root(&leaves[middle..]))
        }
    }
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(leaf).collect()
}

/// The eight leaves that Certificate Transparency's implementations test with.
const CT_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Their roots, for sizes 1 to 8 (certificate-transparency `merkle_tree_test`).
const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn ct_tree() -> Memory {
    let mut memory = Memory::default();
    for data in CT_LEAVES {
        memory.push(leaf_hash(&[&hex::decode(data).unwrap()]));
    }
    memory
}

#[test]
fn roots_are_those_of_the_certificate_transparency_vectors() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(empty_root().to_string(), empty);
    let tree = ct_tree();
    for (size, root) in (1..).zip(CT_ROOTS) {
        assert_eq!(root_at(&tree, size).unwrap().to_string(), root);
    }
    assert_eq!(tree.frontier.root().to_string(), CT_ROOTS[7]);
}

/// certificate-transparency `merkle_tree_test`, the paths of leaf 5 of 8 and of leaf 2 of 5.
#[test]
fn inclusion_proofs_are_those_of_the_certificate_transparency_vectors() {
    let path = |index, size| {
        let proof = inclusion_proof(&ct_tree(), index, size).unwrap();
        proof.iter().map(Hash::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        path(5, 8),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        path(1, 5),
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

/// certificate-transparency `merkle_tree_test`, from 6 to 8 leaves.
#[test]
fn consistency_proofs_are_those_of_the_certificate_transparency_vectors() {
    let proof = consistency_proof(&ct_tree(), 6, 8).unwrap();
    assert_eq!(
        proof.iter().map(Hash::to_string).collect::<Vec<_>>(),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

#[test]
fn frontier_tiles_and_the_definition_agree_on_every_root() {
    let tree = Memory::of(700);
    let all = leaves(700);
    let mut frontier = Frontier::new();
    for size in 0..=700 {
        let root = naive_root(&all[..size as usize]);
        assert_eq!(frontier.root(), root);
        assert_eq!(root_at(&tree, size).unwrap(), root);
        assert_eq!(Frontier::read(&tree, size).unwrap(), frontier);
        frontier.push(leaf(size));
    }
}

#[test]
fn a_tree_of_three_levels_reads_back_at_any_size() {
    let tree = Memory::of(66_000);
    assert_eq!(tree_widths(&tree), [(0, 258), (1, 2), (2, 1)]);
    let all = leaves(66_000);
    for size in [255, 256, 257, 65_535, 65_536, 65_537, 66_000] {
        assert_eq!(root_at(&tree, size).unwrap(), naive_root(&all[..size as usize]));
        assert_eq!(Frontier::read(&tree, size).unwrap().root(), naive_root(&all[..size as usize]));
    }
}

fn tree_widths(tree: &Memory) -> Vec<(u8, usize)> {
    let count = |level| tree.tiles.keys().filter(|(of, _)| *of == level).count();
    (0..3).map(|level| (level, count(level))).collect()
}

/// C2SP tlog-tiles, "Partial Tiles": the example of a tree of 70,000 leaves.
#[test]
fn tile_widths_are_those_of_the_specifications_example() {
    assert_eq!(tile_width(0, 272, 70_000), 256);
    assert_eq!(tile_width(0, 273, 70_000), 112);
    assert_eq!(tile_width(0, 274, 70_000), 0);
    assert_eq!([0, 1, 2].map(|index| tile_width(1, index, 70_000)), [256, 17, 0]);
    assert_eq!([0, 1].map(|index| tile_width(2, index, 70_000)), [1, 0]);
    assert_eq!([tile_width(0, 0, 256), tile_width(1, 0, 256)], [256, 1]);
    assert_eq!([tile_width(63, 0, u64::MAX), tile_width(0, u64::MAX, u64::MAX)], [0, 0]);
}

#[test]
fn every_proof_of_the_small_trees_verifies_and_is_accepted_by_tlog_tiles() {
    let tree = Memory::of(70);
    let theirs = |hash: Hash| tlog_tiles::Hash(hash.0);
    for new in 1..=70 {
        let root = root_at(&tree, new).unwrap();
        for n in 0..new {
            let proof = inclusion_proof(&tree, n, new).unwrap();
            assert_eq!(verify_inclusion(leaf(n), n, new, &proof, root), Ok(()));
            let proof = proof.into_iter().map(theirs).collect();
            tlog_tiles::check_record(&proof, new, theirs(root), n, theirs(leaf(n))).unwrap();

            let old = n + 1;
            let old_root = root_at(&tree, old).unwrap();
            let proof = consistency_proof(&tree, old, new).unwrap();
            assert_eq!(verify_consistency(old, old_root, new, root, &proof), Ok(()));
            let proof = proof.into_iter().map(theirs).collect();
            tlog_tiles::check_tree(&proof, new, theirs(root), old, theirs(old_root)).unwrap();
        }
    }
}

#[test]
fn the_empty_tree_and_the_same_tree_need_no_proof_but_the_right_roots() {
    let (one, other) = (leaf(1), leaf(2));
    assert_eq!(verify_consistency(0, empty_root(), 0, empty_root(), &[]), Ok(()));
    assert_eq!(verify_consistency(0, empty_root(), 9, other, &[]), Ok(()));
    assert_eq!(verify_consistency(1, one, 1, one, &[]), Ok(()));
    for (old, old_root, new, new_root) in [(0, one, 9, other), (0, empty_root(), 0, one), (1, one, 1, other)] {
        let error = verify_consistency(old, old_root, new, new_root, &[]).unwrap_err();
        assert!(matches!(error, ProofError::WrongRoot { .. }), "{error}");
        let error = verify_consistency(old, old_root, new, old_root, &[one]).unwrap_err();
        assert_eq!(error, ProofError::Length { got: 1, too_long: true });
    }
    let shrunk = verify_consistency(2, one, 1, one, &[]);
    assert_eq!(shrunk, Err(ProofError::Shrunk { old: 2, new: 1 }));
}

#[test]
fn what_is_not_in_the_tree_has_no_proof() {
    let tree = Memory::of(5);
    let beyond = |asked, size| Err(TileError::OutOfRange { asked, size });
    assert_eq!(inclusion_proof(&tree, 5, 5), beyond(5, 5));
    assert_eq!(inclusion_proof(&tree, 0, 0), beyond(0, 0));
    assert_eq!(consistency_proof(&tree, 6, 5), beyond(6, 5));
    assert_eq!(verify_inclusion(leaf(5), 5, 5, &[], leaf(5)), Err(ProofError::OutOfRange { index: 5, size: 5 }));
}

#[test]
fn a_tile_that_is_missing_or_short_is_named() {
    let mut tree = Memory::of(300);
    tree.tiles.get_mut(&(0, 1)).unwrap().truncate(43);
    assert_eq!(root_at(&tree, 300), Err(TileError::Short { level: 0, index: 1, wanted: 44, got: 43 }));
    tree.tiles.remove(&(0, 1));
    assert_eq!(root_at(&tree, 300), Err(TileError::Read("no such tile".into())));
}

#[test]
fn hashes_print_and_parse_as_lowercase_hex_only() {
    let text = CT_ROOTS[0];
    let hash: Hash = text.parse().unwrap();
    assert_eq!(hash.to_string(), text);
    assert_eq!(format!("{hash:?}"), "6e340b9c…");
    for bad in ["", &text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace('6', "g")] {
        assert_eq!(bad.parse::<Hash>(), Err(ParseHashError { length: bad.len() }));
    }
}

/// One way to spoil a proof of `length` hashes.
#[derive(Debug, Clone)]
enum Spoil {
    Flip { at: prop::sample::Index, bit: u8 },
    Drop { at: prop::sample::Index },
    Repeat { at: prop::sample::Index },
    Add,
}

impl Spoil {
    /// None if it would leave the proof as it is.
    fn apply(&self, proof: &[Hash]) -> Option<Vec<Hash>> {
        let mut spoilt = proof.to_vec();
        if proof.is_empty() || matches!(self, Self::Add) {
            spoilt.push(leaf(0));
            return Some(spoilt);
        }
        match self {
            Self::Flip { at, bit } => {
                at.get_mut(&mut spoilt).0[usize::from(*bit / 8)] ^= 1 << (bit % 8);
            }
            Self::Drop { at } => drop(spoilt.remove(at.index(proof.len()))),
            Self::Repeat { at } => {
                let at = at.index(proof.len());
                spoilt.insert(at, proof[at]);
            }
            Self::Add => {}
        }
        (spoilt != proof).then_some(spoilt)
    }
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, bit)| Spoil::Flip { at, bit }),
        at().prop_map(|at| Spoil::Drop { at }),
        at().prop_map(|at| Spoil::Repeat { at }),
        Just(Spoil::Add),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn inclusion_proofs_verify_and_any_change_spoils_them(
        size in 1u64..620, pick in any::<u64>(), spoil in spoil(), elsewhere in any::<u64>(),
    ) {
        let tree = Memory::of(size);
        let (index, root) = (pick % size, tree.frontier.root());
        let proof = inclusion_proof(&tree, index, size).unwrap();
        prop_assert_eq!(verify_inclusion(leaf(index), index, size, &proof, root), Ok(()));

        let spoilt = spoil.apply(&proof).unwrap();
        prop_assert!(verify_inclusion(leaf(index), index, size, &spoilt, root).is_err());
        prop_assert!(verify_inclusion(leaf(index + 1), index, size, &proof, root).is_err());
        prop_assert!(verify_inclusion(leaf(index), index, size, &proof, leaf(0)).is_err() || size == 1);
        let elsewhere = elsewhere % size;
        if elsewhere != index {
            prop_assert!(verify_inclusion(leaf(index), elsewhere, size, &proof, root).is_err());
        }
    }

    #[test]
    fn consistency_proofs_verify_and_any_change_spoils_them(
        new in 1u64..620, pick in any::<u64>(), spoil in spoil(),
    ) {
        let tree = Memory::of(new);
        let old = pick % new + 1;
        let (old_root, new_root) = (root_at(&tree, old).unwrap(), tree.frontier.root());
        let proof = consistency_proof(&tree, old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, old_root, new, new_root, &proof), Ok(()));

        let spoilt = spoil.apply(&proof).unwrap();
        prop_assert!(verify_consistency(old, old_root, new, new_root, &spoilt).is_err());
        prop_assert!(verify_consistency(old, leaf(9_999), new, new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, old_root, new, leaf(9_999), &proof).is_err());
    }

    #[test]
    fn no_proof_however_wrong_makes_a_verifier_panic(
        (index, size, other) in any::<(u64, u64, u64)>(),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
    ) {
        let root = leaf(0);
        prop_assert!(verify_inclusion(leaf(1), index, size, &proof, root).is_err());
        let consistent = verify_consistency(size, root, other, leaf(2), &proof);
        prop_assert!(consistent.is_err() || size == 0);
    }
}
