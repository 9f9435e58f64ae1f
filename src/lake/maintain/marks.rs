//! What maintenance writes into a table's transactions, which outlive every cleaning of its log.
//!
//! | app id | version |
//! | --- | --- |
//! | `citystream/dropped`, in a side table `citystream/dropped/<stream>` | rows that retention has dropped so far |
//! | `citystream/kept-from` | days since the epoch of the first date that retention has kept |
//! | `citystream/generation` | how often silver was rebuilt |
//! | `citystream/rebuilt` | the version of this table that the last rebuilding made |
//! | `citystream/forgone` | rows dropped from bronze before silver was rebuilt without them |

use super::super::log::Txns;

/// The key in commitInfo of a commit that drops old dates.
pub(crate) const RETAINED: &str = "citystream.retained";

pub(crate) const KEPT_FROM: &str = "citystream/kept-from";
pub(crate) const GENERATION: &str = "citystream/generation";
pub(crate) const REBUILT: &str = "citystream/rebuilt";
pub(crate) const FORGONE: &str = "citystream/forgone";

/// The transaction that counts dropped rows; of one stream, in a side table.
pub(crate) fn dropped_id(stream: Option<&str>) -> String {
    stream.map_or_else(|| "citystream/dropped".into(), |stream| format!("citystream/dropped/{stream}"))
}

/// Rows that retention has dropped from a table so far.
pub(crate) fn dropped(txns: &Txns, stream: Option<&str>) -> u64 {
    txns.get(&dropped_id(stream)).map_or(0, |rows| rows.unsigned_abs())
}
