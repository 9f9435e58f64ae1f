//! What silver and gold must be, straight from the truth, and the grade of anybody's tables.
//!
//! The truth is what the city's sensors sent, with the label of every fault. From it follows for each event whether silver must
//! hold it, and with which values ([`judge`] has the row rules), and from those rows every gold table. Nothing here knows how
//! citystream's own lake makes its tables: both are written against docs/tables.md, docs/faults.md and docs/grade.md.
//!
//! ```text
//! events, labels ──► shards by entity ─┐
//!                                      ├──► settle ──► compare ──► verdicts ──► words
//! found rows ──────► shards by entity ─┘       └─────► gold sums ──► compare ──►
//! ```
//!
//! Memory: one shard's rows, a few hundred bytes for each row of gold, and each gold table that is given. The shards rest in
//! files without a name in the system's temporary folder.

mod found;
mod gold;
mod grade;
mod id;
mod label;
mod rules;
mod settle;
mod silver;
mod spill;
mod timeline;
mod value;
mod words;

pub use found::Renames;
pub use gold::{GoldExample, GoldTable, TABLES, TableGrade, streams_of};
pub use grade::{Grade, Grader, GraderOptions};
pub use label::LABELS;
pub use rules::{Breach, judge};
pub use settle::Counts;
pub use silver::{Example, NO_LABEL, StreamGrade, Tally, UNKNOWN, Verdict};
pub use value::TOLERANCE;
