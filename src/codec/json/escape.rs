//! Strings: finding the bytes that can't stand in a JSON string as they are, and escaping them.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of each byte of `word` that is special. A byte above a special one may be marked too; the lowest mark is
/// exact.
const fn special_bytes(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

/// The first quote, backslash or control character at or after `from`, else the length.
#[inline]
pub(super) fn find_special(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let marks = special_bytes(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&b| !is_special(b)) {
        at += 1;
    }
    at
}

/// Whether `bytes` can stand in a JSON string as they are. Made for whole columns.
pub(super) fn is_clean(bytes: &[u8]) -> bool {
    // No early exit within a block, so that the compiler compares many bytes at once.
    bytes.chunks(256).all(|block| !block.iter().fold(false, |dirty, &b| dirty | is_special(b)))
}

/// Appends `text` with its special characters escaped, without quotes.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let (plain, tail) = rest.split_at(find_special(rest, 0));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = tail.split_first() else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            }
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        for byte in 0..=255_u8 {
            for place in 0..20 {
                let mut bytes = [0xff_u8; 20];
                bytes[place] = byte;
                let expected = if is_special(byte) { place } else { 20 };
                assert_eq!(find_special(&bytes, 0), expected, "{byte:#x} at {place}");
                assert_eq!(is_clean(&bytes), !is_special(byte));
            }
        }
    }

    #[test]
    fn escapes_read_back_as_the_same_text() {
        let all: String = (0..0x250_u32).filter_map(char::from_u32).collect();
        let mut out = vec![b'"'];
        push_escaped(&mut out, all.as_bytes());
        out.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), all);
    }
}
