//! How a message is harmed: which field, and what stands there instead. Everything follows from the event's id, so that
//! a resumed run, another part and a duplicate harm the same event in the same way.

use crate::schema::{Field, Harm, Kind, Stream};

/// What happens to the text of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// The text ends too early.
    Cut,
    /// The field at this position is left out.
    Omit(usize),
    /// The field at this position holds this JSON value.
    Replace(usize, &'static str),
    /// The field at this position has this name.
    Rename(usize, &'static str),
    /// The number at this position stands in quotes.
    Quote(usize),
    /// This member follows the others.
    Add(&'static str),
    /// There is no value.
    Tombstone,
    /// Something else stands there.
    Pill(Pill),
}

/// What stands there instead of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pill {
    /// 64 bytes that are no text, and no line break either, so that a file of lines keeps its lines.
    Noise,
    /// Objects in objects, sound but for their depth.
    Nested,
    /// A text that does not end. Below what brokers let through by default (1 MB).
    Huge,
}

const NOISE_BYTES: usize = 64;
const NESTED_LEVELS: usize = 2_000;
const HUGE_BYTES: usize = 500_000;

/// What a `wrong_type` number holds. It is neither a number nor a time, so it fails for both.
const NO_NUMBER: &str = "\"n/a\"";

/// Values that no physical process gives, as (field, JSON value): an `out_of_range` message holds one of them. Empty for
/// the streams that are never harmed.
pub fn out_of_range(stream: Stream) -> &'static [(&'static str, &'static str)] {
    match stream {
        Stream::Vehicle | Stream::Gps => &[("speed", "-1000000.0"), ("location", "[999.0,999.0]")],
        Stream::Traffic => &[("count", "-5"), ("location", "[999.0,999.0]")],
        Stream::Weather => &[("humidity", "999"), ("temperature", "999.0"), ("location", "[999.0,999.0]")],
        Stream::Emergency => &[("lanesBlocked", "-5"), ("location", "[999.0,999.0]")],
        _ => &[],
    }
}

/// What an update of the devices' software does to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// The field that gets another name, and the name.
    pub renamed: (&'static str, &'static str),
    /// The number that is sent as its text.
    pub retyped: &'static str,
    /// The member that is new, as JSON text.
    pub added: &'static str,
}

/// The drift of a stream; none for the streams that are never harmed.
pub fn drift(stream: Stream) -> Option<Drift> {
    let (renamed, retyped) = match stream {
        Stream::Vehicle => (("speed", "speedKmh"), "year"),
        Stream::Gps => (("speed", "speedKmh"), "speed"),
        Stream::Traffic => (("count", "vehicleCount"), "count"),
        Stream::Weather => (("temperature", "temperatureC"), "humidity"),
        Stream::Emergency => (("lanesBlocked", "blockedLanes"), "severity"),
        _ => return None,
    };
    Some(Drift { renamed, retyped, added: "\"firmware\":\"2.4.1\"" })
}

/// The damage that `harm` does to the event with this id; `None` where nothing is to be done, or the stream has no field
/// for it.
pub(super) fn damage(stream: Stream, harm: Harm, id: &[u8]) -> Option<Damage> {
    let fields = stream.fields();
    let seed = seed(id);
    match harm {
        Harm::None => None,
        Harm::BadJson => Some(Damage::Cut),
        Harm::WrongType => {
            let number = |f: &Field| f.required() && matches!(f.kind, Kind::Int | Kind::Long | Kind::Double);
            let at = choose(fields, seed, number).or_else(|| choose(fields, seed, |f| f.name == "sentAt"))?;
            Some(Damage::Replace(at, NO_NUMBER))
        }
        Harm::MissingField => choose(fields, seed, |f| f.required() && f.name != "id").map(Damage::Omit),
        Harm::OutOfRange => {
            let values = out_of_range(stream);
            let (name, value) = values.get(pick(seed, values.len())?)?;
            let at = fields.iter().position(|f| f.name == *name)?;
            Some(Damage::Replace(at, value))
        }
        Harm::Tombstone => Some(Damage::Tombstone),
        Harm::PoisonPill => Some(Damage::Pill(match pick(seed, 10) {
            Some(0) => Pill::Huge,
            Some(1..=4) => Pill::Nested,
            _ => Pill::Noise,
        })),
        Harm::FieldRenamed => {
            let (old, new) = drift(stream)?.renamed;
            fields.iter().position(|f| f.name == old).map(|at| Damage::Rename(at, new))
        }
        Harm::FieldRetyped => {
            let retyped = drift(stream)?.retyped;
            fields.iter().position(|f| f.name == retyped).map(Damage::Quote)
        }
        Harm::FieldAdded => Some(Damage::Add(drift(stream)?.added)),
    }
}

/// Appends a pill.
pub(super) fn push_pill(pill: Pill, id: &[u8], out: &mut Vec<u8>) {
    match pill {
        Pill::Noise => {
            // No UTF-8 text has this byte.
            out.push(0xff);
            let mut state = seed(id);
            for _ in 1..NOISE_BYTES {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                out.push((state >> 56) as u8 | 0x80);
            }
        }
        Pill::Nested => {
            (0..NESTED_LEVELS).for_each(|_| out.extend_from_slice(b"{\"a\":"));
            out.extend_from_slice(b"0");
            out.resize(out.len() + NESTED_LEVELS, b'}');
        }
        Pill::Huge => {
            out.extend_from_slice(b"{\"id\":\"");
            out.resize(out.len() + HUGE_BYTES, b'x');
        }
    }
}

/// Where the text of a message is cut: never before its first byte nor after its last, and between two characters.
pub(super) fn cut_at(text: &[u8], id: &[u8]) -> usize {
    let inside = text.len().saturating_sub(1);
    let mut at = 1 + pick(seed(id), inside).unwrap_or(0);
    while at > 1 && text.get(at).is_some_and(|b| b & 0xc0 == 0x80) {
        at -= 1;
    }
    at
}

fn choose(fields: &[Field], seed: u64, fits: impl Fn(&Field) -> bool) -> Option<usize> {
    let fitting = || fields.iter().enumerate().filter(|(_, f)| fits(f));
    fitting().nth(pick(seed, fitting().count())?).map(|(at, _)| at)
}

/// A number below `count` from the seed; `None` where there is nothing to pick.
fn pick(seed: u64, count: usize) -> Option<usize> {
    (count > 0).then(|| ((u128::from(seed) * count as u128) >> 64) as usize)
}

/// FNV-1a with a final mix: ids differ only in their last digits, and `pick` reads the high bits.
fn seed(id: &[u8]) -> u64 {
    let hash = id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn damages(stream: Stream, harm: Harm) -> BTreeSet<String> {
        (0..400).map(|i| format!("{:?}", damage(stream, harm, format!("event-{i}").as_bytes()))).collect()
    }

    #[test]
    fn over_many_ids_every_candidate_is_used_and_the_id_itself_never() {
        for stream in Stream::EVENTS {
            let required = stream.fields().iter().filter(|f| f.required()).count();
            let missing = damages(stream, Harm::MissingField);
            assert_eq!(missing.len(), required - 1, "{}", stream.name());
            assert!(!missing.contains("Some(Omit(0))"));
            assert_eq!(damages(stream, Harm::OutOfRange).len(), out_of_range(stream).len());
            assert!(damages(stream, Harm::WrongType).iter().all(|d| d.starts_with("Some(Replace(")));
            assert_eq!(damages(stream, Harm::None), BTreeSet::from(["None".to_owned()]));
            assert_eq!(damages(stream, Harm::PoisonPill).len(), 3);
            for harm in [Harm::Tombstone, Harm::FieldRenamed, Harm::FieldAdded, Harm::FieldRetyped] {
                let damages = damages(stream, harm);
                assert!(damages.len() == 1 && !damages.contains("None"), "{harm:?}: {damages:?}");
            }
        }
    }

    #[test]
    fn each_out_of_range_value_names_a_required_field_of_its_stream() {
        for stream in Stream::EVENTS {
            assert!(out_of_range(stream).len() > 1);
            for (name, _) in out_of_range(stream) {
                assert!(stream.fields().iter().any(|f| f.name == *name && f.required()), "{}.{name}", stream.name());
            }
        }
    }

    #[test]
    fn drift_changes_required_fields_to_names_that_are_free() {
        for stream in Stream::EVENTS {
            let drift = drift(stream).expect("a drift");
            let field = |name: &str| stream.fields().iter().find(|f| f.name == name);
            assert!(field(drift.renamed.0).is_some_and(Field::required), "{}", stream.name());
            assert!(field(drift.retyped).is_some_and(|f| f.required() && matches!(f.kind, Kind::Int | Kind::Double)));
            let added = drift.added.split('"').nth(1).expect("a name");
            assert!(field(drift.renamed.1).is_none() && field(added).is_none());
        }
    }

    #[test]
    fn a_cut_leaves_a_strict_beginning_of_whole_characters() {
        let text = "{\"é\":\"ééééééééééééé\"}";
        let mut places = BTreeSet::new();
        for i in 0..400 {
            let at = cut_at(text.as_bytes(), format!("{i}").as_bytes());
            assert!(at >= 1 && at < text.len() && text.is_char_boundary(at), "{at}");
            places.insert(at);
        }
        assert!(places.len() > 10);
        assert_eq!(cut_at(b"{}", b"x"), 1);
    }
}
