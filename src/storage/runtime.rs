//! The one tokio runtime, made when it is first needed and bound to the process that made it.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::error::{Context, Error, ErrorKind, Result};

static RUNTIME: OnceLock<(u32, Runtime)> = OnceLock::new();

/// Runs `future` to its end on the crate's runtime, from a thread that is not one of a runtime's own.
///
/// # Errors
/// `Forked` where the process was forked after the runtime had started: its threads exist only in the parent.
/// `Internal` where the caller is itself inside a runtime. `Store` where the threads can't be started.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    if Handle::try_current().is_ok() {
        return Err(Error::internal("a blocking call of the lake was made from inside an async runtime"));
    }
    Ok(runtime(std::process::id())?.block_on(future))
}

/// Starts `future` on the crate's runtime.
///
/// # Errors
/// As [`block_on`], but from any thread.
pub(super) fn spawn<F>(future: F) -> Result<JoinHandle<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    Ok(runtime(std::process::id())?.spawn(future))
}

/// The runtime, for the process `pid`.
fn runtime(pid: u32) -> Result<&'static Runtime> {
    let (owner, runtime) = if let Some(made) = RUNTIME.get() {
        made
    } else {
        let made = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("citystream-io")
            .enable_time()
            .enable_io()
            .build()
            .context(ErrorKind::Store, || "threads for reading and writing can't be started".into())?;
        // Another thread may have been faster; its runtime is then used and ours is dropped here, outside of any runtime.
        RUNTIME.get_or_init(|| (pid, made))
    };
    if *owner != pid {
        let text =
            format!("process {pid} was forked from {owner} after that had opened a lake or asked a schema registry");
        return Err(Error::new(ErrorKind::Forked, text)
            .help("Start workers by spawn or forkserver, or open the lake only in the worker"));
    }
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runtime_serves_many_threads() {
        let threads: Vec<_> =
            (0..4).map(|i| std::thread::spawn(move || block_on(async move { i * 2 }).unwrap())).collect();
        let sums: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(sums, [0, 2, 4, 6]);
    }

    #[test]
    fn a_forked_process_is_told_so() {
        let pid = std::process::id();
        runtime(pid).unwrap();
        // What a child would ask: the static has come along, the process id has not.
        let error = runtime(pid + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forked);
        assert!(error.to_string().contains(&format!("forked from {pid}")), "{error}");
    }

    #[test]
    fn a_call_from_inside_a_runtime_is_an_error_and_no_panic() {
        let kind = block_on(async { block_on(async {}).unwrap_err().kind() }).unwrap();
        assert_eq!(kind, ErrorKind::Internal);
    }
}
