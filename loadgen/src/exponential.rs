//! Exponentially distributed gaps in fixed point.
//!
//! `-ln(u)` of a uniform `u` in (0, 1) is exponential with mean 1. A draw of 64 bits gives `u`; the logarithm
//! is taken bit by bit by repeated squaring (D. Knuth, The Art of Computer Programming 1, 1.2.2, exercise 25),
//! in integers, so that every platform and build draws the same schedule. The error is below 2^-38.

/// Fraction bits of the result.
pub(crate) const FRACTION_BITS: u32 = 40;

/// ln 2, times 2^64.
const LN_2: u128 = 0xB172_17F7_D1CF_79AB;

/// `-ln(u)` with [`FRACTION_BITS`] fraction bits, for the `u` that 64 uniform bits stand for. Between 0 and
/// 64 ln 2, about 44.4.
pub(crate) fn exponential(uniform: u64) -> u64 {
    // Zero has no logarithm. Setting the lowest bit moves u by at most 2^-64.
    let bits = uniform | 1;
    let leading = bits.leading_zeros();
    let log2_of_mantissa = log2_fraction(bits << leading);
    let minus_log2 = (u64::from(leading + 1) << FRACTION_BITS) - log2_of_mantissa;
    let minus_ln = (u128::from(minus_log2) * LN_2) >> 64;
    u64::try_from(minus_ln).expect("65 shifted by 40 bits fits 64 bits")
}

/// log2 of `mantissa / 2^63`, which is in [1, 2), with [`FRACTION_BITS`] fraction bits.
fn log2_fraction(mantissa: u64) -> u64 {
    let mut square = u128::from(mantissa);
    let mut log2 = 0;
    for _ in 0..FRACTION_BITS {
        square = (square * square) >> 63;
        log2 <<= 1;
        if square >> 64 != 0 {
            square >>= 1;
            log2 |= 1;
        }
    }
    log2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error_against_f64(uniform: u64) -> f64 {
        let exact = 64.0 * std::f64::consts::LN_2 - ((uniform | 1) as f64).ln();
        let ours = exponential(uniform) as f64 / (1u64 << FRACTION_BITS) as f64;
        (exact - ours).abs()
    }

    #[test]
    fn is_right_at_the_edges() {
        for uniform in [0, 1, 2, 3, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX] {
            assert!(error_against_f64(uniform) < 1.0 / (1u64 << 38) as f64, "{uniform}");
        }
    }

    #[test]
    fn is_one_on_average() {
        let step = u64::MAX / 10_000;
        let sum: u128 = (0..10_000).map(|i| u128::from(exponential(i * step + step / 2))).sum();
        let mean = sum / 10_000;
        let one = 1u128 << FRACTION_BITS;
        assert!(mean.abs_diff(one) < one / 1_000, "{mean} is not {one}");
    }

    proptest! {
        #[test]
        fn is_within_its_error_bound(uniform: u64) {
            prop_assert!(error_against_f64(uniform) < 1.0 / (1u64 << 38) as f64);
        }

        #[test]
        fn falls_as_the_draw_rises(a: u64, b: u64) {
            prop_assert!(exponential(a.min(b)) >= exponential(a.max(b)));
        }
    }
}
