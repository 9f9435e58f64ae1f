//! Where bytes rest: durable create-only files, the object store that the table log is kept in, and Parquet.
//!
//! A data file is written beside its final name, synced, linked to that name and the folder synced: it is there whole or
//! not at all, and never replaces another. What a crash leaves behind has a name that starts with a dot; no reader sees it,
//! since tables are read through their log.

mod durable;
mod groups;
mod local;
mod read;
mod runtime;
mod write;

pub use durable::DurableStore;
pub use groups::{GroupEncoder, GroupWriter, RowGroup};
pub use local::{NewFile, create_folders, write_content, write_new};
pub use read::{ParquetFile, project};
pub use runtime::block_on;
pub use write::{FileWriter, ROW_GROUP_BYTES, WriteOptions, WrittenFile, with_field_ids};
