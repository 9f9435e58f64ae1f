//! Rounding without a call: `f64::round` is a function where the processor's own rounding may not be assumed, and every event
//! rounds half a dozen numbers.

/// The nearest whole number, halves away from zero, of a number within ±2⁵².
#[inline]
pub fn nearest(value: f64) -> f64 {
    (value + 0.5f64.copysign(value)) as i64 as f64
}

/// The nearest multiple of one in `per_unit`.
#[inline]
pub fn round(value: f64, per_unit: f64) -> f64 {
    nearest(value * per_unit) / per_unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rounds_as_the_standard_library_does() {
        for k in -40_000..40_000i32 {
            let value = f64::from(k) * 0.125;
            assert_eq!(nearest(value), value.round(), "{value}");
        }
        assert_eq!(round(1.25, 10.0), 1.3);
        assert_eq!(round(-1.25, 10.0), -1.3);
        assert_eq!(round(4_503_599_627_370_495.0, 1.0), 4_503_599_627_370_495.0);
    }
}
