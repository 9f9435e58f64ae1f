//! The one way in which Python waits for Rust: the work runs on a thread of its own, the caller's thread answers Ctrl-C
//! and tells how far the work is.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::to_py;
use crate::error::{Error, Result};
use crate::pipeline::{Cancel, Progress, Run};

/// How often the caller's thread looks for Ctrl-C and calls `progress`.
const TICK: Duration = Duration::from_millis(100);

/// Runs `work` without the GIL. Ctrl-C and an exception of `progress` ask it to stop; both are raised once it has.
pub fn run<T: Send>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&mut Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let cancel = Cancel::default();
    let (told, news) = channel::<Progress>();
    let (give, mut result) = channel::<Result<T>>();
    thread::scope(|scope| {
        let theirs = cancel.clone();
        let builder = thread::Builder::new().name("citystream-run".to_owned());
        let spawned = builder.spawn_scoped(scope, move || {
            let mut last = Instant::now().checked_sub(TICK);
            let mut tell = |now: Progress| {
                let due = last.is_none_or(|l| l.elapsed() >= TICK);
                if due || now.total == Some(now.done) {
                    last = Some(Instant::now());
                    // Nobody listens once the caller has given up.
                    drop(told.send(now));
                }
            };
            let outcome = work(&mut Run { cancel: theirs, progress: &mut tell });
            drop(give.send(outcome));
        });
        if let Err(refused) = spawned {
            return Err(to_py(py, &Error::internal("a thread could not be started").because(refused)));
        }
        let mut raised: Option<PyErr> = None;
        loop {
            // The receiver goes along: it may be used by one thread at a time only.
            let waited;
            (result, waited) = py.detach(move || {
                let waited = result.recv_timeout(TICK);
                (result, waited)
            });
            if raised.is_none() {
                let told = report(py, progress, news.try_iter().last()).and_then(|()| py.check_signals());
                if let Err(error) = told {
                    cancel.cancel();
                    raised = Some(error);
                }
            }
            match waited {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(
                        raised.unwrap_or_else(|| to_py(py, &Error::internal("the work ended without a result")))
                    );
                }
                Ok(outcome) => {
                    return match raised {
                        Some(error) => Err(error),
                        None => outcome.map_err(|e| to_py(py, &e)),
                    };
                }
            }
        }
    })
}

fn report(py: Python<'_>, progress: Option<&Bound<'_, PyAny>>, news: Option<Progress>) -> PyResult<()> {
    let (Some(callback), Some(now)) = (progress, news) else { return Ok(()) };
    let told = PyDict::new(py);
    told.set_item("stage", now.stage)?;
    told.set_item("done", now.done)?;
    told.set_item("total", now.total)?;
    told.set_item("unit", now.unit)?;
    told.set_item("detail", now.detail)?;
    callback.call1((told,))?;
    Ok(())
}
