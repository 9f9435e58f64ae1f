//! Columns that a newer version of citystream has: they appear in an old table without rewriting a file.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::table::{Commit, Kind, Plan, State, Table, commit_id};
use crate::error::{Error, ErrorKind, Result};

impl Table {
    /// Adds the columns of `wanted` that the table lacks, at its end, in one commit of its metadata. Files that are there
    /// read as null.
    ///
    /// # Errors
    /// `Table` where the table has a column that `wanted` lacks, or one of another type.
    pub(crate) fn grow(&self, wanted: &Schema) -> Result<()> {
        let state = self.state()?;
        if self.lacking(&state, wanted)?.is_empty() {
            return Ok(());
        }
        self.commit(&commit_id(), |state| {
            // Another process may have been faster.
            let missing = self.lacking(state, wanted)?;
            if missing.is_empty() {
                return Ok(Plan::Done);
            }
            let fields: Vec<_> = state.schema()?.fields().iter().cloned().chain(missing).collect();
            Ok(Plan::Commit(Commit {
                schema: Some(Arc::new(Schema::new(fields))),
                kind: Kind::Columns,
                ..Commit::default()
            }))
        })?;
        Ok(())
    }

    fn lacking(&self, state: &State, wanted: &Schema) -> Result<Vec<Arc<Field>>> {
        let have = state.schema()?;
        let refuse = |text: String| Err(Error::new(ErrorKind::Table, text));
        if let Some(unknown) = have.fields().iter().find(|f| wanted.field_with_name(f.name()).is_err()) {
            let text = format!(
                "{} has the column {}, which this version of citystream does not write",
                self.name(),
                unknown.name()
            );
            return refuse(text).map_err(|e| e.help("Use the version of citystream that made it, or a newer one"));
        }
        let mut missing = Vec::new();
        for field in wanted.fields() {
            match have.field_with_name(field.name()) {
                Ok(old) if same_type(old.data_type(), field.data_type()) => {}
                Ok(old) => {
                    let text = format!(
                        "{} has the column {} of type {}, and this version of citystream writes {}",
                        self.name(),
                        field.name(),
                        old.data_type(),
                        field.data_type()
                    );
                    return refuse(text).map_err(|e| {
                        e.help("A column's type can't change: use the version of citystream that made the lake, or a new lake")
                    });
                }
                Err(_) if field.is_nullable() => missing.push(Arc::clone(field)),
                Err(_) => return Err(Error::internal(format!("the new column {} is not nullable", field.name()))),
            }
        }
        Ok(missing)
    }
}

/// Whether two types are the same but for comments and the names of list items.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && same_type(a.data_type(), b.data_type()))
        }
        _ => a == b,
    }
}
