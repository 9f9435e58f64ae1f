//! The one error type: a kind to branch on, a context that names the thing and its value, a way out, and the cause.

use std::error::Error as StdError;
use std::fmt;

/// Result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, by what the caller can do about it. Python has one exception for each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option or argument is wrong.
    Config,
    /// The broker, a topic or the client library refused.
    Kafka,
    /// The broker can't be reached.
    Connection,
    /// A file or object could not be read or written.
    Store,
    /// A table is missing, broken, or not what was asked for.
    Table,
    /// Another writer won; the caller may start again from the table's state.
    Conflict,
    /// Stored offsets are older than the first offset that the topic still has.
    Gap,
    /// Bytes or a row do not follow the stream's schema.
    Decode,
    /// The process was forked after the runtime had started.
    Forked,
    /// The user asked to stop.
    Interrupted,
    /// A bug of ours.
    Internal,
}

/// An error with its context. `Display` gives context, way out and causes in one line; it never holds a secret.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    help: Option<String>,
    cause: Option<Cause>,
    retryable: bool,
}

impl Error {
    /// An error of `kind`; `context` names the thing and its value.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), help: None, cause: None, retryable: false }
    }

    /// A wrong option or argument.
    pub fn config(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, context)
    }

    /// A bug of ours: a state that the code rules out.
    pub fn internal(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, context)
    }

    /// Says what the user can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Marks that the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        let mut said = self.context.clone();
        let mut next = self.cause.as_deref().map(|c| c as &(dyn StdError + 'static));
        while let Some(cause) = next {
            let text = cause.to_string();
            // Libraries often repeat their source in their own text; say each thing once.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            next = cause.source();
        }
        if let Some(help) = &self.help {
            write!(f, ". {help}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|c| c as &(dyn StdError + 'static))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(cause: arrow::error::ArrowError) -> Self {
        Self::internal("Arrow data could not be assembled").because(cause)
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(cause: parquet::errors::ParquetError) -> Self {
        Self::new(ErrorKind::Store, "Parquet data could not be read or written").because(cause)
    }
}

/// Attaches context to a foreign error.
pub trait Context<T> {
    /// Wraps the error in ours, of `kind`, with `context` made only when it is needed.
    fn context(self, kind: ErrorKind, context: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Cause>> Context<T> for std::result::Result<T, E> {
    fn context(self, kind: ErrorKind, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::new(kind, context()).because(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_the_thing_the_causes_once_and_the_way_out() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such folder");
        let inner = Error::new(ErrorKind::Store, "lake/bronze: no such folder").because(io);
        let outer = Error::new(ErrorKind::Table, "bronze.gps can't be read")
            .because(inner)
            .help("Run `citystream ingest lake` first");
        assert_eq!(
            outer.to_string(),
            "bronze.gps can't be read: lake/bronze: no such folder. Run `citystream ingest lake` first"
        );
        assert_eq!(outer.kind(), ErrorKind::Table);
    }
}
