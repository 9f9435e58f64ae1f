//! Which topic carries which stream.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::schema::Stream;

/// A topic for each stream; those of the original scripts where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics(BTreeMap<Stream, String>);

impl Default for Topics {
    fn default() -> Self {
        Self(Stream::ALL.into_iter().map(|s| (s, s.default_topic().to_owned())).collect())
    }
}

impl Topics {
    /// The default topics with some replaced.
    ///
    /// # Errors
    /// `Config` where two streams share a topic or a name is none that Kafka takes.
    pub fn with(names: impl IntoIterator<Item = (Stream, String)>) -> Result<Self> {
        let mut topics = Self::default();
        for (stream, name) in names {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if name.is_empty() || name.len() > 249 || !name.chars().all(allowed) {
                return Err(Error::config(format!("topic {name:?} for stream {} is no topic name", stream.name()))
                    .help("Use 1 to 249 of the letters a-z and A-Z, digits, '.', '_' and '-'"));
            }
            topics.0.insert(stream, name);
        }
        let mut seen: BTreeMap<&str, Stream> = BTreeMap::new();
        for (stream, name) in &topics.0 {
            if let Some(other) = seen.insert(name, *stream) {
                return Err(Error::config(format!(
                    "streams {} and {} share the topic {name:?}",
                    other.name(),
                    stream.name()
                ))
                .help("Give each stream a topic of its own"));
            }
        }
        Ok(topics)
    }

    /// The stream's topic.
    pub fn of(&self, stream: Stream) -> &str {
        self.0.get(&stream).map_or(stream.default_topic(), String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let with = |stream, name: &str| Topics::with([(stream, name.to_owned())]).map_err(|e| e.to_string());
        assert_eq!(with(Stream::Gps, "positions").map(|t| t.of(Stream::Gps).to_owned()), Ok("positions".to_owned()));
        assert!(with(Stream::Gps, "gps data").is_err_and(|m| m.contains("\"gps data\"")));
        assert!(with(Stream::Gps, "vehicle_data").is_err_and(|m| m.contains("share")));
    }
}
