//! Prometheus' text format, version 0.0.4: what every version of Prometheus reads.

use std::fmt::{Display, Write};

/// What a metric's values do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
}

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Adds a metric, with a value for each set of labels. Values of a family must stand together, so it takes them all.
    pub fn family<'a, V: Display>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, V)>,
    ) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}", escape(help, false));
        for (labels, value) in samples {
            self.0 += name;
            for (i, (label, text)) in labels.iter().enumerate() {
                self.0 += if i == 0 { "{" } else { "," };
                let _ = write!(self.0, "{label}=\"{}\"", escape(text, true));
            }
            self.0 += if labels.is_empty() { " " } else { "} " };
            let _ = writeln!(self.0, "{value}");
        }
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }
}

fn escape(text: &str, quoted: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quoted { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_prometheus_wants_it() {
        let mut page = Exposition::default();
        let samples = [(vec![("topic", "a\"b\\c\nd"), ("partition", "0")], 5), (vec![], 7)];
        page.family("x_total", Kind::Counter, "Two\nlines.", samples);
        page.family("y", Kind::Gauge, "None.", std::iter::empty::<(_, f64)>());
        let wanted = "# HELP x_total Two\\nlines.\n# TYPE x_total counter\n\
            x_total{topic=\"a\\\"b\\\\c\\nd\",partition=\"0\"} 5\nx_total 7\n# HELP y None.\n# TYPE y gauge\n";
        assert_eq!(page.finish(), wanted);
    }
}
