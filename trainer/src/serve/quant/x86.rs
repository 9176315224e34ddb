//! The kernels for processors with AVX2 and FMA, and with AVX-512 and its VNNI. Both give the bits of the portable one.
//!
//! The workspace denies `unsafe`. It is needed here for two things: calling a function that asks for instructions which
//! were looked for at run time, and reading a vector from an array of its very size.

use std::{arch::x86_64::*, sync::LazyLock};

use super::{
    activations::{Activations, Row},
    dots_here,
    tiles::{BLOCK, Bits, Block, ROWS, Tiles, VECTOR},
};

/// Rows of x that are computed together: what is read of the weights serves them all.
const TOGETHER: usize = 4;

static AVX2: LazyLock<bool> = LazyLock::new(|| {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
});
static AVX512: LazyLock<bool> = LazyLock::new(|| {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
});

pub(super) fn has_avx2() -> bool {
    *AVX2
}

pub(super) fn has_avx512() -> bool {
    *AVX512 && *AVX2
}

/// See [`Tiles::product`].
pub(super) fn product(tiles: &Tiles, tile: usize, x: &Activations, out: &mut [[f32; ROWS]]) {
    let avx512 = has_avx512();
    let mut first = 0;
    let mut rest = out;
    while !rest.is_empty() {
        let (now, later) = rest.split_at_mut(rest.len().min(TOGETHER));
        match now {
            [a, b, c, d] => some(avx512, tiles, tile, x, first, [a, b, c, d]),
            [a, b, c] => some(avx512, tiles, tile, x, first, [a, b, c]),
            [a, b] => some(avx512, tiles, tile, x, first, [a, b]),
            [a] => some(avx512, tiles, tile, x, first, [a]),
            _ => unreachable!("at most {TOGETHER} are taken"),
        }
        first += TOGETHER;
        rest = later;
    }
}

fn some<const N: usize>(
    avx512: bool,
    tiles: &Tiles,
    tile: usize,
    x: &Activations,
    first: usize,
    out: [&mut [f32; ROWS]; N],
) {
    let x: [Row<'_>; N] = std::array::from_fn(|i| x.row(first + i));
    #[expect(unsafe_code, reason = "the instructions were looked for on this processor")]
    unsafe {
        match (avx512, tiles.bits) {
            (true, Bits::Four) => product_512::<false, N>(tiles, tile, x, out),
            (true, Bits::Eight) => product_512::<true, N>(tiles, tile, x, out),
            (false, Bits::Four) => product_256::<false, N>(tiles, tile, x, out),
            (false, Bits::Eight) => product_256::<true, N>(tiles, tile, x, out),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn product_512<const EIGHT: bool, const N: usize>(
    tiles: &Tiles,
    tile: usize,
    x: [Row<'_>; N],
    out: [&mut [f32; ROWS]; N],
) {
    let low_half = _mm512_set1_epi8(0x0F);
    let mut all = [_mm512_setzero_ps(); N];
    for (b, block) in tiles.blocks(tile).enumerate() {
        let mut sums: [__m512i; N] = std::array::from_fn(|t| _mm512_set1_epi32(tiles.bias * x[t].sums[b]));
        let mut others = [_mm512_setzero_si512(); N];
        if EIGHT {
            for (v, pair) in block.vectors.as_chunks::<2>().0.iter().enumerate() {
                let [even, odd] = [load_512(&pair[0]), load_512(&pair[1])];
                for t in 0..N {
                    let words = &x[t].words[b];
                    sums[t] = _mm512_dpbusd_epi32(sums[t], even, _mm512_set1_epi32(words[2 * v]));
                    others[t] = _mm512_dpbusd_epi32(others[t], odd, _mm512_set1_epi32(words[2 * v + 1]));
                }
            }
        } else {
            for (v, vector) in block.vectors.iter().enumerate() {
                let both = load_512(vector);
                let low = _mm512_and_si512(both, low_half);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low_half);
                for t in 0..N {
                    let words = &x[t].words[b];
                    sums[t] = _mm512_dpbusd_epi32(sums[t], low, _mm512_set1_epi32(words[v]));
                    others[t] = _mm512_dpbusd_epi32(others[t], high, _mm512_set1_epi32(words[v + 4]));
                }
            }
        }
        let scales = _mm512_cvtph_ps(load_halves(block.scales));
        for t in 0..N {
            let scale = _mm512_mul_ps(scales, _mm512_set1_ps(x[t].scales[b]));
            let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(sums[t], others[t]));
            all[t] = _mm512_fmadd_ps(sum, scale, all[t]);
        }
        if let Some(mins) = block.mins {
            let mins = _mm512_cvtph_ps(load_halves(mins));
            for t in 0..N {
                let sum = _mm512_set1_ps(x[t].scales[b] * x[t].sums[b] as f32);
                all[t] = _mm512_fmadd_ps(mins, sum, all[t]);
            }
        }
    }
    for (out, all) in out.into_iter().zip(all) {
        #[expect(unsafe_code, reason = "the array has the vector's 16 numbers")]
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), all);
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn product_256<const EIGHT: bool, const N: usize>(
    tiles: &Tiles,
    tile: usize,
    x: [Row<'_>; N],
    mut out: [&mut [f32; ROWS]; N],
) {
    for half in 0..2 {
        let mut all = [_mm256_setzero_ps(); N];
        for (b, block) in tiles.blocks(tile).enumerate() {
            let sums: [__m256i; N] = std::array::from_fn(|t| half_block::<EIGHT>(&block, half, tiles.bias, x[t], b));
            let scales = _mm256_cvtph_ps(load_eight_halves(block.scales, half));
            for t in 0..N {
                let scale = _mm256_mul_ps(scales, _mm256_set1_ps(x[t].scales[b]));
                all[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), scale, all[t]);
            }
            if let Some(mins) = block.mins {
                let mins = _mm256_cvtph_ps(load_eight_halves(mins, half));
                for t in 0..N {
                    let sum = _mm256_set1_ps(x[t].scales[b] * x[t].sums[b] as f32);
                    all[t] = _mm256_fmadd_ps(mins, sum, all[t]);
                }
            }
        }
        for (out, all) in out.iter_mut().zip(all) {
            let out = &mut out.as_chunks_mut::<8>().0[half];
            #[expect(unsafe_code, reason = "the array has the vector's 8 numbers")]
            unsafe {
                _mm256_storeu_ps(out.as_mut_ptr(), all);
            }
        }
    }
}

/// The whole-number sums of eight rows of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn half_block<const EIGHT: bool>(block: &Block<'_>, half: usize, bias: i32, x: Row<'_>, b: usize) -> __m256i {
    let words = &x.words[b];
    if EIGHT {
        // Bytes moved up by 128 would overflow 16 bits in pairs, so here they are signed again.
        let moved = _mm256_set1_epi8(-128);
        let mut sum = _mm256_setzero_si256();
        for (v, vector) in block.vectors.iter().enumerate() {
            let weights = _mm256_xor_si256(load_256(vector, half), moved);
            let x = _mm256_sign_epi8(_mm256_set1_epi32(words[v]), weights);
            sum = _mm256_add_epi32(sum, four_products(_mm256_abs_epi8(weights), x));
        }
        return sum;
    }
    let low_half = _mm256_set1_epi8(0x0F);
    let mut sum = _mm256_set1_epi32(bias * x.sums[b]);
    for (v, vector) in block.vectors.iter().enumerate() {
        let both = load_256(vector, half);
        let low = _mm256_and_si256(both, low_half);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low_half);
        sum = _mm256_add_epi32(sum, four_products(low, _mm256_set1_epi32(words[v])));
        sum = _mm256_add_epi32(sum, four_products(high, _mm256_set1_epi32(words[v + 4])));
    }
    sum
}

/// Sums of four products of unsigned and signed bytes each. Pairs must fit 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn four_products(unsigned: __m256i, signed: __m256i) -> __m256i {
    _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned, signed), _mm256_set1_epi16(1))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(vector: &[u8; VECTOR]) -> __m512i {
    #[expect(unsafe_code, reason = "the array has the vector's 64 bytes")]
    unsafe {
        _mm512_loadu_si512(vector.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(vector: &[u8; VECTOR], half: usize) -> __m256i {
    let half: &[u8; BLOCK] = &vector.as_chunks().0[half];
    #[expect(unsafe_code, reason = "the array has the vector's 32 bytes")]
    unsafe {
        _mm256_loadu_si256(half.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_halves(halves: &[u16; ROWS]) -> __m256i {
    #[expect(unsafe_code, reason = "the array has the vector's 32 bytes")]
    unsafe {
        _mm256_loadu_si256(halves.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_eight_halves(halves: &[u16; ROWS], half: usize) -> __m128i {
    let halves: &[u16; 8] = &halves.as_chunks().0[half];
    #[expect(unsafe_code, reason = "the array has the vector's 16 bytes")]
    unsafe {
        _mm_loadu_si128(halves.as_ptr().cast())
    }
}

/// See [`super::dots`].
pub(super) fn dots(rows: &[f32], x: &[f32], out: &mut [f32]) {
    #[target_feature(enable = "avx2")]
    fn dots_256(rows: &[f32], x: &[f32], out: &mut [f32]) {
        dots_here(rows, x, out);
    }
    #[expect(unsafe_code, reason = "the instructions were looked for on this processor")]
    unsafe {
        dots_256(rows, x, out);
    }
}

/// See [`super::widest`].
pub(super) fn widest<A>(arguments: A, run: impl Fn(A)) {
    #[target_feature(enable = "avx2")]
    fn with_avx2<A>(arguments: A, run: impl Fn(A)) {
        run(arguments);
    }
    #[expect(unsafe_code, reason = "the instructions were looked for on this processor")]
    unsafe {
        with_avx2(arguments, run);
    }
}

#[cfg(test)]
pub(super) fn product_without_avx512(tiles: &Tiles, tile: usize, x: &Activations, out: &mut [[f32; ROWS]]) {
    for (token, out) in out.iter_mut().enumerate() {
        some(false, tiles, tile, x, token, [out]);
    }
}
