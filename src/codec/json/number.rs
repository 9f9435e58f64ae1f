//! Number text: writing doubles and integers.

use super::encode::put;

/// Doubles below this, times 10⁶, stay below 10¹⁵.
const SHORT_LIMIT: f64 = 1e9;

/// Appends the shortest text that reads back as `value`, with `.0` where it is whole; `null` where it isn't finite.
#[inline]
pub(super) fn push_double(out: &mut Vec<u8>, value: f64) {
    // Most of our values are rounded to a few decimals. Where value = n / 10⁶ and n < 10¹⁵, the digits of n are its
    // shortest text: both n and 10⁶ are exact, so the division rounds as reading the text does, and no two decimals of
    // up to 15 digits are the same double.
    let size = value.abs();
    if size < SHORT_LIMIT {
        let scaled = (size * 1e6 + 0.5) as u64;
        if scaled as f64 / 1e6 == size && scaled != 0 {
            return push_millionths(out, value < 0.0, scaled);
        }
    }
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends an integer.
#[inline]
pub(super) fn push_int(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// The two digits of a number below 100.
#[inline]
pub(super) fn pair(value: u32) -> [u8; 2] {
    PAIRS[(value % 100) as usize]
}

/// Appends n / 10⁶ with one to six decimals.
#[inline]
fn push_millionths(out: &mut Vec<u8>, negative: bool, n: u64) {
    if negative {
        out.push(b'-');
    }
    let (whole, part) = ((n / 1_000_000) as u32, (n % 1_000_000) as u32);
    push_int(out, whole);
    let ([a, b], [c, d], [e, f]) = (pair(part / 10_000), pair(part / 100), pair(part));
    let text = [b'.', a, b, c, d, e, f, b'0'];
    // The last byte that is no '0' decides how many decimals stand; the point is none, so there is one.
    let nonzero = u64::from_le_bytes(text) ^ u64::from_le_bytes([b'0'; 8]);
    let last = 7 - (nonzero.leading_zeros() / 8) as usize;
    put(out, &text, last.max(1) + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        push_double(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_doubles_stay_doubles_and_decimals_are_shortest() {
        for (value, expected) in [
            (12.0, "12.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.000001, "0.000001"),
            (-73.985130, "-73.98513"),
            (40.758, "40.758"),
            (999_999_999.999999, "999999999.999999"),
            (1e9, "1000000000.0"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn the_short_path_writes_what_the_general_one_writes() {
        let mut state = 1_u64;
        let mut short = 0;
        for round in 0..200_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = (state >> 20) as f64;
            let value = digits / 10_f64.powi((round % 9) as i32) / f64::from(1 << (round % 23));
            let value = if round % 2 == 0 { (value * 1e4).round() / 1e4 } else { value };
            let expected = zmij::Buffer::new().format_finite(value).to_owned();
            // The general writer goes over to exponents where the short path doesn't; both read back as the same.
            assert_eq!(text(value).parse::<f64>().unwrap(), value);
            if !expected.contains('e') {
                assert_eq!(text(value), expected);
                short += u32::from(expected.len() < 12);
            }
        }
        assert!(short > 1000);
    }
}
