//! PNG files of few colours: a header, a palette, one zlib stream and the end.

use miniz_oxide::deflate::compress_to_vec_zlib;

/// Bits a pixel: a palette has up to sixteen colours.
const DEPTH: u8 = 4;
/// The colour type of a palette's indices.
const INDEXED: u8 = 3;
/// Of zlib's levels: pictures are small and flat, so that a higher one would find little more.
const LEVEL: u8 = 6;

/// The file of a picture of `width` columns, given row by row as indices into `palette` (red, green, blue).
///
/// The bytes depend on nothing but the arguments.
pub fn encode(width: u32, pixels: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    let width = width.max(1) as usize;
    let rows = pixels.chunks_exact(width);
    let height = rows.len() as u32;
    let mut raw = Vec::with_capacity(rows.len() * (1 + width.div_ceil(2)));
    for row in rows {
        // Rows as they are: filters help where neighbours differ little, which indices don't tell.
        raw.push(0);
        raw.extend(row.chunks(2).map(|pair| pair[0] << DEPTH | pair.get(1).copied().unwrap_or(0)));
    }
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&(width as u32).to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[DEPTH, INDEXED, 0, 0, 0]);

    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"PLTE", palette.as_flattened());
    chunk(&mut file, *b"IDAT", &compress_to_vec_zlib(&raw, LEVEL));
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let begin = file.len();
    file.extend_from_slice(&kind);
    file.extend_from_slice(data);
    let sum = crc(&file[begin..]);
    file.extend_from_slice(&sum.to_be_bytes());
}

/// PNG's checksum, bit by bit: a picture has a few hundred bytes.
fn crc(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_png_s() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        // What every PNG ends with.
        assert!(encode(1, &[0], &[[0, 0, 0]]).ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
    }

    #[test]
    fn rows_are_packed_two_pixels_a_byte() {
        let file = encode(3, &[1, 2, 3, 4, 5, 6], &[[9, 8, 7]; 7]);
        assert_eq!(&file[..16], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
        assert_eq!(&file[16..29], &[0, 0, 0, 3, 0, 0, 0, 2, 4, 3, 0, 0, 0]);
        let stream = file.windows(4).position(|w| w == b"IDAT").expect("a stream") + 4;
        let raw = miniz_oxide::inflate::decompress_to_vec_zlib(&file[stream..]).expect("zlib");
        assert_eq!(raw, [0, 0x12, 0x30, 0, 0x45, 0x60]);
    }
}
