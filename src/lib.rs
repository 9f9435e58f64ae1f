pub mod error;
pub mod schema;
