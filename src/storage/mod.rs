//! Where bytes rest: durable create-only files on disk or on S3, the object store that the table log is kept in, and Parquet.
//!
//! A data file is written beside its final name, synced, linked to that name and the folder synced: it is there whole or
//! not at all, and never replaces another. What a crash leaves behind has a name that starts with a dot; no reader sees it,
//! since tables are read through their log. On S3 it is an upload, which is there with its completion.
//!
//! A [`Place`] is either.

mod address;
mod durable;
mod encoder;
mod fetch;
mod grouped;
mod groups;
mod local;
mod object;
mod place;
mod read;
mod remote;
mod runtime;
pub mod s3;
mod write;

pub use address::Address;
pub use durable::DurableStore;
pub use groups::{GroupEncoder, GroupWriter, RowGroup};
pub use local::{NewFile, create_folders, write_content, write_new};
pub use object::NewObject;
pub use place::Place;
pub use read::{ParquetFile, project};
pub use runtime::block_on;
pub use write::{FileWriter, ROW_GROUP_BYTES, WriteOptions, WrittenFile, with_field_ids};
