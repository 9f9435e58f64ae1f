//! The times that Kafka keeps with records, and what topics let through of them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use super::topics::Topics;
use crate::error::{Error, Result};
use crate::kafka::{PublishOptions, Topics as Admin};
use crate::schema::Stream;

/// What the topics of a publisher do to simulated times as record times. Without it, records get the wall clock's.
#[derive(Debug, Clone)]
pub struct EventTimes(BTreeMap<Stream, (String, BTreeMap<String, String>)>);

impl EventTimes {
    /// Asks for the settings of the topics that exist.
    ///
    /// # Errors
    /// `Connection`; `Kafka` where the broker refuses to tell; `Interrupted`.
    pub fn of(options: &PublishOptions, topics: &Topics, cancel: &AtomicBool) -> Result<Self> {
        let admin = Admin::connect(&options.servers, &options.security, options.timeout, cancel)?;
        let existing = admin.names()?;
        let known = |stream: &Stream| existing.iter().any(|name| name == topics.of(*stream));
        let streams: Vec<Stream> = Stream::ALL.into_iter().filter(|s| *s != Stream::Reference && known(s)).collect();
        let names: Vec<&str> = streams.iter().map(|stream| topics.of(*stream)).collect();
        let settings = admin.settings(&names, cancel)?;
        let named = names.iter().map(|name| (*name).to_owned()).zip(settings);
        Ok(Self(streams.into_iter().zip(named).collect()))
    }

    /// Whether records of the stream with times in `from..=to` (milliseconds) stay in its topic.
    ///
    /// # Errors
    /// `Config` that names the topic, the setting and its value, where they would be refused, replaced or deleted.
    pub fn check(&self, stream: Stream, topics: &Topics, (from, to): (i64, i64)) -> Result<()> {
        let Some((name, settings)) = self.0.get(&stream) else {
            let context = format!("record time event: topic {:?} does not exist", topics.of(stream));
            return Err(Error::config(context).help(
                "Let citystream create it (create_topics, --create-topics N), with settings that keep simulated times",
            ));
        };
        refusal(settings, (from, to), now()).map_or(Ok(()), |(setting, value, why)| {
            let context = format!("record time event: topic {name:?} has {setting}={value}, which {why}");
            Err(Error::config(context).help(format!(
                "Set retention.ms=-1, message.timestamp.type=CreateTime and message.timestamp.after.max.ms={} on it, or leave \
                 the record time to the wall clock",
                i64::MAX
            )))
        })
    }
}

/// The first setting that loses records with times in `from..=to`, its value, and what it does.
fn refusal(
    settings: &BTreeMap<String, String>,
    (from, to): (i64, i64),
    now: i64,
) -> Option<(&'static str, &str, &'static str)> {
    let text = |name| settings.get(name).map(String::as_str);
    let found = |name: &'static str, why| text(name).map(|value| (name, value, why));
    let limit = |name| text(name).and_then(|value| value.parse::<i64>().ok());
    let (age, ahead) = (now.saturating_sub(from), to.saturating_sub(now));
    if text("message.timestamp.type") == Some("LogAppendTime") {
        return found("message.timestamp.type", "replaces every record's time");
    }
    if text("cleanup.policy").is_none_or(|policy| policy.contains("delete"))
        && limit("retention.ms").is_some_and(|most| most >= 0 && age > most)
    {
        return found("retention.ms", "deletes records as old as these");
    }
    for (name, distance) in [
        ("message.timestamp.before.max.ms", age),
        ("message.timestamp.after.max.ms", ahead),
        ("message.timestamp.difference.max.ms", age.max(ahead)),
    ] {
        if limit(name).is_some_and(|most| distance > most) {
            return found(name, "refuses records so far from now");
        }
    }
    None
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn refused(settings: &[(&str, &str)], times: (i64, i64)) -> Option<&'static str> {
        let settings = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        refusal(&settings, times, 1_000 * HOUR).map(|(name, ..)| name)
    }

    #[test]
    fn what_loses_a_record_is_named() {
        let (old, recent, ahead) = ((0, HOUR), (999 * HOUR, 1_000 * HOUR), (1_000 * HOUR, 1_002 * HOUR));
        let week = ("retention.ms", "604800000");
        assert_eq!(refused(&[week], old), Some("retention.ms"));
        assert_eq!(refused(&[week], recent), None);
        assert_eq!(refused(&[week, ("cleanup.policy", "compact")], old), None);
        assert_eq!(refused(&[week, ("cleanup.policy", "compact,delete")], old), Some("retention.ms"));
        assert_eq!(refused(&[("retention.ms", "-1")], old), None);
        let after = ("message.timestamp.after.max.ms", "3600000");
        assert_eq!(refused(&[after], ahead), Some("message.timestamp.after.max.ms"));
        assert_eq!(refused(&[after], old), None);
        assert_eq!(
            refused(&[("message.timestamp.before.max.ms", "1")], recent),
            Some("message.timestamp.before.max.ms")
        );
        assert_eq!(
            refused(&[("message.timestamp.difference.max.ms", "1")], ahead),
            Some("message.timestamp.difference.max.ms")
        );
        assert_eq!(refused(&[("message.timestamp.type", "LogAppendTime")], recent), Some("message.timestamp.type"));
    }
}
