//! Event ids: UUIDv8 whose first 48 bits are the city's id and whose other 74 are (stream, entity, counter), so that two
//! events of one city can't share an id.

use super::Stream;

/// The city's id: 48 bits that depend on seed, model version, network, vehicles and start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CityId(pub u64);

impl CityId {
    /// Twelve hexadecimal digits.
    pub fn to_text(self) -> String {
        format!("{:012x}", self.0 & 0xffff_ffff_ffff)
    }
}

/// What an event id says: 4 bits of stream, 30 of entity, 40 of counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The city.
    pub city: CityId,
    /// The stream.
    pub stream: Stream,
    /// The entity's number in its stream, below 2³⁰.
    pub entity: u32,
    /// The entity's event number, below 2⁴⁰.
    pub counter: u64,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl EventId {
    /// The UUID's 36 characters.
    pub fn write(self, out: &mut [u8; 36]) {
        let tail = (u128::from(self.stream as u8) << 70)
            | (u128::from(self.entity & 0x3fff_ffff) << 40)
            | u128::from(self.counter & 0xff_ffff_ffff);
        let value = (u128::from(self.city.0 & 0xffff_ffff_ffff) << 80)
            | (0x8 << 76)
            | ((tail >> 62) << 64)
            | (0b10 << 62)
            | (tail & 0x3fff_ffff_ffff_ffff);
        let bytes = value.to_be_bytes();
        let mut at = 0;
        for (i, byte) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out[at] = b'-';
                at += 1;
            }
            out[at] = HEX[usize::from(byte >> 4)];
            out[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
    }

    /// The UUID as text.
    pub fn to_text(self) -> String {
        let mut out = [0; 36];
        self.write(&mut out);
        out.iter().map(|&b| char::from(b)).collect()
    }

    /// Reads an id back; `None` where the text is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.split('-').collect();
        if digits.len() != 32 || text.len() != 36 {
            return None;
        }
        let value = u128::from_str_radix(&digits, 16).ok()?;
        if (value >> 76) & 0xf != 0x8 || (value >> 62) & 0b11 != 0b10 {
            return None;
        }
        let tail = (((value >> 64) & 0xfff) << 62) | (value & 0x3fff_ffff_ffff_ffff);
        let stream = *Stream::ALL.get((tail >> 70) as usize)?;
        let city = CityId((value >> 80) as u64);
        Some(Self {
            city,
            stream,
            entity: ((tail >> 40) & 0x3fff_ffff) as u32,
            counter: (tail & 0xff_ffff_ffff) as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_8_and_reads_back() {
        let id = EventId {
            city: CityId(0x0123_4567_89ab),
            stream: Stream::Emergency,
            entity: 0x2abc_def1,
            counter: 0xfe_dcba_9876,
        };
        let text = id.to_text();
        assert_eq!(text.len(), 36);
        assert!(text.starts_with("01234567-89ab-8"), "{text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
        assert_eq!(EventId::parse(&text), Some(id));
        assert_eq!(EventId::parse("01234567-89ab-4def-8123-456789abcdef"), None);
    }
}
