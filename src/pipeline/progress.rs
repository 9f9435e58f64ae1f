//! How a long run says how far it is, and how it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
pub use crate::lake::Progress;

/// Asks a run to stop. Clones ask the same run.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for modules that know nothing of runs.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// # Errors
    /// `Interrupted` where the run was asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_asked() {
            return Err(Error::new(ErrorKind::Interrupted, "stopped on request"));
        }
        Ok(())
    }
}

/// What a run needs from its caller beside its options.
pub struct Run<'a> {
    /// Asks it to stop.
    pub cancel: Cancel,
    /// Is told how far it is, from the thread that runs it.
    pub progress: &'a mut dyn FnMut(Progress),
}

impl Run<'_> {
    /// Tells how far the run is, and whether to go on.
    ///
    /// # Errors
    /// `Interrupted` where the run was asked to stop.
    pub fn step(&mut self, stage: &str, done: u64, total: Option<u64>, unit: &'static str) -> Result<()> {
        self.cancel.check()?;
        (self.progress)(Progress { stage: stage.to_owned(), done, total, unit, detail: String::new() });
        Ok(())
    }
}
