use super::*;
use crate::rng::Rng;

/// A matrix of a kind, as bytes of a GGUF's tensor, and as the numbers that those bytes stand for.
fn quantised(kind: GgmlDType, rows: usize, cols: usize, seed: u64) -> (Vec<u8>, Matrix) {
    let mut rng = Rng::new(seed, 1);
    let numbers: Vec<f32> = (0..rows * cols).map(|_| rng.symmetric(0.2)).collect();
    let tensor = Tensor::from_vec(numbers, (rows, cols), &Device::Cpu).unwrap();
    let tensor = QTensor::quantize(&tensor, kind).unwrap();
    let numbers = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (tensor.data().unwrap().to_vec(), Matrix::new(rows, cols, numbers))
}

fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
    let mut rng = Rng::new(seed, 2);
    Matrix::new(rows, cols, (0..rows * cols).map(|_| rng.symmetric(3.0)).collect())
}

/// Products in f64.
fn exact(x: &Matrix, weights: &Matrix) -> Vec<f64> {
    let row = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
    (0..x.rows()).flat_map(|t| (0..weights.rows()).map(move |r| row(x.row(t), weights.row(r)))).collect()
}

const KINDS: [GgmlDType; 5] = [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q8_0, GgmlDType::Q6K, GgmlDType::F32];

#[test]
fn products_are_near_those_of_the_numbers_that_the_bytes_stand_for() {
    for kind in KINDS {
        // Neither a multiple of a tile's rows nor of the tokens that are computed together.
        let (bytes, weights) = quantised(kind, 40, 256, 7);
        let linear = Linear::new(vec![Part::read(kind, 256, &bytes, &(0..40).collect::<Vec<_>>()).unwrap()]);
        let x = random(7, 256, 9);
        let found = linear.product(&x).unwrap();
        let size = exact(&x, &weights).iter().map(|y| y * y).sum::<f64>().sqrt();
        let apart: f64 =
            found.data().iter().zip(exact(&x, &weights)).map(|(y, e)| (f64::from(*y) - e).powi(2)).sum::<f64>().sqrt();
        assert!(apart < 0.01 * size, "{kind:?}: {apart} of {size}");
    }
}

#[test]
fn a_tokens_product_does_not_depend_on_the_others() {
    for kind in KINDS {
        let (bytes, _) = quantised(kind, 64, 256, 3);
        let linear = Linear::new(vec![Part::read(kind, 256, &bytes, &(0..64).collect::<Vec<_>>()).unwrap()]);
        let x = random(9, 256, 4);
        let together = linear.product(&x).unwrap();
        for token in 0..9 {
            let alone = linear.product(&x.gather_rows([token].into_iter())).unwrap();
            if kind == GgmlDType::Q6K {
                // Candle's kernels add up in another order when there are several.
                assert!(alone.data().iter().zip(together.row(token)).all(|(a, b)| (a - b).abs() < 1e-4));
            } else {
                assert_eq!(alone.data(), together.row(token), "{kind:?}");
            }
        }
    }
}

#[test]
fn every_kernel_gives_the_same_bits() {
    for kind in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q8_0] {
        let (bytes, _) = quantised(kind, 32, 96, 11);
        let Part::Tiles(tiles) = Part::read(kind, 96, &bytes, &(0..32).collect::<Vec<_>>()).unwrap() else {
            panic!("{kind:?} has a kernel of ours")
        };
        let x = Activations::of(&random(6, 96, 5));
        for tile in 0..2 {
            let mut portable = [[0.0; ROWS]; 6];
            tiles.product_portable(tile, &x, &mut portable);
            let mut here = [[0.0; ROWS]; 6];
            tiles.product(tile, &x, &mut here);
            assert_eq!(here, portable, "{kind:?}");
            #[cfg(target_arch = "x86_64")]
            if x86::has_avx2() {
                let mut narrower = [[0.0; ROWS]; 6];
                x86::product_without_avx512(&tiles, tile, &x, &mut narrower);
                assert_eq!(narrower, portable, "{kind:?}");
            }
        }
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    // Every weight at its end, every activation at its.
    for byte in [0x00, 0x80, 0xFF] {
        let mut block = vec![0x00, 0x3C]; // 1.0
        block.extend([byte; 32]);
        let bytes = block.repeat(16);
        let Part::Tiles(tiles) = Part::read(GgmlDType::Q8_0, 32, &bytes, &(0..16).collect::<Vec<_>>()).unwrap() else {
            panic!("Q8_0 has a kernel of ours")
        };
        for sign in [1.0, -1.0] {
            let x = Activations::of(&Matrix::new(1, 32, vec![sign; 32]));
            let mut found = [[0.0; ROWS]; 1];
            tiles.product(0, &x, &mut found);
            let expected = 32.0 * sign * f32::from(byte as i8);
            assert!(found[0].iter().all(|y| (y - expected).abs() < 0.01), "{found:?} is not {expected}");
            #[cfg(target_arch = "x86_64")]
            if x86::has_avx2() {
                x86::product_without_avx512(&tiles, 0, &x, &mut found);
                assert!(found[0].iter().all(|y| (y - expected).abs() < 0.01), "{found:?} is not {expected}");
            }
        }
    }
}

#[test]
fn rows_are_put_in_order_and_read_back() {
    for kind in KINDS {
        let (bytes, weights) = quantised(kind, 32, 256, 2);
        let order: Vec<usize> = (0..32).rev().collect();
        let linear = Linear::new(vec![Part::read(kind, 256, &bytes, &order).unwrap()]);
        for row in [0, 17, 31] {
            let near = linear.row(row).unwrap().iter().zip(weights.row(31 - row)).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(near, "{kind:?} row {row}");
        }
        assert!(linear.row(32).is_err());
    }
    assert!(Part::read(GgmlDType::Q8_0, 48, &[0; 34], &[0]).is_err(), "48 is no multiple of 32");
    assert!(Part::read(GgmlDType::Q8_0, 32, &[0; 33], &[0]).is_err(), "too few bytes");
}
