//! What fields are called on the wire, where others call them otherwise than the contract does: `device_id` for
//! `deviceId`, `brand` for `make`. Resolved once; codecs take finished names from it.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::schema::{Field, Kind, Stream};

/// The longest name of a field on the wire, in bytes.
pub const MAX_NAME: usize = 255;

/// How the contract's names are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// `deviceId`: as they are.
    #[default]
    Camel,
    /// `device_id`.
    Snake,
}

impl Case {
    /// The spelling called `name`.
    ///
    /// # Errors
    /// `Config` where it is neither `camel` nor `snake`.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "camel" => Ok(Case::Camel),
            "snake" => Ok(Case::Snake),
            _ => Err(Error::config(format!("names is {name:?}")).help("Choose from camel and snake")),
        }
    }

    fn spell(self, name: &str) -> String {
        let mut spelt = String::with_capacity(name.len() + 4);
        for letter in name.chars() {
            if self == Case::Snake && letter.is_ascii_uppercase() {
                spelt.push('_');
                spelt.push(letter.to_ascii_lowercase());
            } else {
                spelt.push(letter);
            }
        }
        spelt
    }
}

/// A field's name on the wire, and those of its own fields where it is a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireName {
    /// The name.
    pub name: String,
    /// Names of the struct's fields, in their order; empty for all else.
    pub inner: Vec<WireName>,
}

/// The names of every stream's fields on the wire. The default is the contract's own; clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    case: Case,
    streams: Arc<Streams>,
}

type Streams = [Vec<WireName>; Stream::ALL.len()];

impl Default for Names {
    fn default() -> Self {
        Self { case: Case::Camel, streams: Arc::new(spelt(Case::Camel)) }
    }
}

impl Names {
    /// Names in `case`, some of them replaced: pairs of the contract's name and the one on the wire. The contract's name is
    /// `field` for all streams that have it, `stream.field` for one, and `reference.road.lanes` for a field of a struct.
    ///
    /// # Errors
    /// `Config` where a field does not exist or is renamed twice, a name is empty, longer than [`MAX_NAME`] or needs an
    /// escape in JSON, or two fields of one object get the same name: one of them would be lost.
    pub fn new(case: Case, renames: &[(String, String)]) -> Result<Self> {
        let mut streams = spelt(case);
        // Those for all streams come first, so that one for a single stream wins over them.
        for one_stream in [false, true] {
            let mut done: Vec<&str> = Vec::new();
            for (path, name) in renames {
                let (stream, field) = split(path);
                if stream.is_some() != one_stream {
                    continue;
                }
                if done.contains(&path.as_str()) {
                    return Err(Error::config(format!("field {path:?} is renamed twice")).help("Give it one name"));
                }
                done.push(path);
                check_name(path, name)?;
                let hit = Stream::ALL.into_iter().filter(|s| stream.is_none_or(|only| only == *s)).filter(|s| {
                    let found = find(s.fields(), &mut streams[*s as usize], field);
                    found.map(|wire| wire.name.clone_from(name)).is_some()
                });
                if hit.count() == 0 {
                    return Err(unknown(stream, path));
                }
            }
        }
        for stream in Stream::ALL {
            check_unique(stream, stream.fields(), &streams[stream as usize])?;
        }
        Ok(Self { case, streams: Arc::new(streams) })
    }

    /// The contract's own names.
    pub fn contract() -> &'static Self {
        static CONTRACT: OnceLock<Names> = OnceLock::new();
        CONTRACT.get_or_init(Self::default)
    }

    /// Names of the stream's fields, in their order.
    pub fn of(&self, stream: Stream) -> &[WireName] {
        &self.streams[stream as usize]
    }

    /// `name` in this spelling, changed where a field of the stream has that name: one that readers don't know.
    pub(super) fn unknown(&self, stream: Stream, name: &str) -> String {
        let mut name = self.case.spell(name);
        while self.of(stream).iter().any(|wire| wire.name == name) {
            name.push('_');
        }
        name
    }
}

fn spelt(case: Case) -> Streams {
    Stream::ALL.map(|stream| spell(case, stream.fields()))
}

fn spell(case: Case, fields: &[Field]) -> Vec<WireName> {
    let inner = |field: &Field| if let Kind::Struct(fields) = field.kind { spell(case, fields) } else { Vec::new() };
    fields.iter().map(|field| WireName { name: case.spell(field.name), inner: inner(field) }).collect()
}

/// The stream that a path names, and the rest of it.
fn split(path: &str) -> (Option<Stream>, &str) {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    match Stream::ALL.into_iter().find(|s| s.name() == head) {
        Some(stream) if !rest.is_empty() => (Some(stream), rest),
        _ => (None, path),
    }
}

fn find<'a>(fields: &[Field], names: &'a mut [WireName], path: &str) -> Option<&'a mut WireName> {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    let at = fields.iter().position(|f| f.name == head)?;
    let wire = names.get_mut(at)?;
    match (fields[at].kind, rest) {
        (_, "") => Some(wire),
        (Kind::Struct(inner), rest) => find(inner, &mut wire.inner, rest),
        _ => None,
    }
}

fn check_name(path: &str, name: &str) -> Result<()> {
    let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    if !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(Error::config(format!("field {path:?} can't be named {shown:?}"))
        .help(format!("Use 1 to {MAX_NAME} bytes without quotes, backslashes and control characters")))
}

fn unknown(stream: Option<Stream>, path: &str) -> Error {
    let of = stream.map_or("any stream".to_owned(), |s| format!("stream {}", s.name()));
    let error = Error::config(format!("rename names the field {path:?}, which is none of {of}"));
    let names = |s: Stream| s.fields().iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
    error.help(match stream {
        Some(stream) => format!("Choose from {}", names(stream)),
        None => "Use the names of docs/streams.md, such as make, or vehicle.make for one stream".to_owned(),
    })
}

fn check_unique(stream: Stream, fields: &[Field], names: &[WireName]) -> Result<()> {
    for (at, wire) in names.iter().enumerate() {
        if let Some(other) = names[..at].iter().position(|earlier| earlier.name == wire.name) {
            let (first, second) = (fields[other].name, fields[at].name);
            let text =
                format!("{}: the fields {first:?} and {second:?} would both be named {:?}", stream.name(), wire.name);
            return Err(Error::config(text).help("Give each a name of its own: readers would lose one of them"));
        }
        if let Kind::Struct(inner) = fields[at].kind {
            check_unique(stream, inner, &wire.inner)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(case: Case, renames: &[(&str, &str)]) -> Result<Names> {
        Names::new(case, &renames.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>())
    }

    fn of(names: &Names, stream: Stream) -> Vec<&str> {
        names.of(stream).iter().map(|wire| wire.name.as_str()).collect()
    }

    #[test]
    fn snake_case_is_what_copies_of_the_workflow_write() {
        let snake = names(Case::Snake, &[]).unwrap();
        let gps = of(&snake, Stream::Gps);
        assert!(gps.starts_with(&["id", "device_id", "timestamp", "speed", "direction", "vehicle_type", "sent_at"]));
        assert!(of(&snake, Stream::Weather).contains(&"air_quality_index"));
        assert!(of(&snake, Stream::Traffic).contains(&"p85_speed"));
        assert_eq!(of(&snake, Stream::TruthCrossing)[4..], ["t_in", "t_out"]);
        let road = &snake.of(Stream::Reference)[2];
        assert_eq!((road.name.as_str(), road.inner[2].name.as_str()), ("road", "road_class"));
        assert_eq!(names(Case::Camel, &[]).unwrap(), *Names::contract());
    }

    #[test]
    fn a_name_for_one_stream_wins_over_that_for_all() {
        let given = [("vehicle.deviceId", "car"), ("deviceId", "device"), ("reference.road.lanes", "laneCount")];
        let names = names(Case::Snake, &given).unwrap();
        assert_eq!(of(&names, Stream::Vehicle)[1], "car");
        assert_eq!(of(&names, Stream::Gps)[1], "device");
        assert_eq!(names.of(Stream::Reference)[2].inner[5].name, "laneCount");
        assert_eq!(names.of(Stream::Reference)[2].inner[0].name, "road_id");
    }

    #[test]
    fn a_field_lost_doubled_or_unknown_is_refused_by_name() {
        let message = |renames: &[(&str, &str)]| names(Case::Snake, renames).unwrap_err().to_string();
        let doubled = message(&[("make", "model")]);
        assert!(doubled.contains("\"make\"") && doubled.contains("\"model\"") && doubled.contains("vehicle"));
        assert!(message(&[("reference.road.name", "lanes")]).contains("\"lanes\""));
        assert!(message(&[("make", "a"), ("make", "b")]).contains("twice"));
        assert!(message(&[("mak", "brand")]).contains("\"mak\""));
        assert!(message(&[("gps.make", "brand")]).contains("stream gps"));
        assert!(message(&[("make.x", "brand")]).contains("\"make.x\""));
        for name in ["", "a\"b", "a\\b", "a\nb", &"x".repeat(MAX_NAME + 1)] {
            assert!(message(&[("make", name)]).contains("\"make\""), "{name:?}");
        }
        assert!(names(Case::Camel, &[("make", "model"), ("model", "make")]).is_ok(), "swapped, none lost");
        assert!(Case::parse("kebab").unwrap_err().to_string().contains("snake"));
    }

    #[test]
    fn a_drifted_field_stays_unknown() {
        let names = names(Case::Snake, &[("gps.speed", "speed_kmh")]).unwrap();
        assert_eq!(names.unknown(Stream::Gps, "speedKmh"), "speed_kmh_");
        assert_eq!(names.unknown(Stream::Vehicle, "speedKmh"), "speed_kmh");
    }
}
