//! Work on the workers, results in order: a pool of threads and an iterator that keeps a bounded number of jobs ahead.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::{Context, Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs. With one thread, jobs run on the caller's.
#[derive(Debug)]
pub struct Pool {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// Number of threads meant by `threads`: 0 is one for each core.
pub fn thread_count(threads: usize) -> usize {
    match threads {
        0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    }
}

impl Pool {
    /// A pool of `threads` threads; 0 is one for each core.
    ///
    /// # Errors
    /// `Internal` where the system refuses a thread.
    pub fn new(threads: usize) -> Result<Arc<Self>> {
        let count = thread_count(threads);
        if count == 1 {
            return Ok(Arc::new(Self { jobs: None, threads: Vec::new() }));
        }
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..count)
            .map(|n| {
                let queue = Arc::clone(&queue);
                thread::Builder::new()
                    .name(format!("citystream-{n}"))
                    .spawn(move || work(&queue))
                    .context(ErrorKind::Internal, || "a worker thread could not be started".to_owned())
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(Self { jobs: Some(jobs), threads }))
    }

    /// Jobs that may be under way at once without idle workers.
    pub(super) fn ahead(&self) -> usize {
        if self.threads.is_empty() { 1 } else { self.threads.len() + 2 }
    }

    /// Runs a job on a worker.
    pub(super) fn submit<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> Pending<R> {
        match &self.jobs {
            None => Pending::Done(job()),
            Some(jobs) => {
                let (sender, receiver) = sync_channel(1);
                // Nobody waits for the result of a job whose iterator was dropped.
                let job = Box::new(move || drop(sender.send(job())));
                if let Err(refused) = jobs.send(job) {
                    (refused.0)();
                }
                Pending::Running(receiver)
            }
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        let me = thread::current().id();
        for thread in self.threads.drain(..).filter(|t| t.thread().id() != me) {
            // A worker that panicked has already lost its job's result, which its waiter was told.
            drop(thread.join());
        }
    }
}

/// A job's result, now or later.
#[derive(Debug)]
pub(super) enum Pending<R> {
    Done(R),
    Running(Receiver<R>),
}

impl<R> Pending<R> {
    /// Waits for it.
    pub(super) fn wait(self) -> Result<R> {
        match self {
            Pending::Done(result) => Ok(result),
            Pending::Running(receiver) => {
                receiver.recv().map_err(|_| Error::internal("a worker stopped without a result"))
            }
        }
    }
}

/// Applies `work` to each item on the pool and yields the results in the items' order.
///
/// The items come from `input` on the caller's thread, at most a few ahead of the result taken.
pub fn in_order<I, T, R, F>(pool: Arc<Pool>, input: I, work: F) -> impl Iterator<Item = Result<R>>
where
    I: Iterator<Item = Result<T>>,
    T: Send + 'static,
    R: Send + 'static,
    F: Fn(T) -> Result<R> + Send + Sync + 'static,
{
    let work = Arc::new(work);
    let mut input = input.fuse();
    let mut pending: VecDeque<Pending<Result<R>>> = VecDeque::new();
    std::iter::from_fn(move || {
        while pending.len() < pool.ahead() {
            match input.next() {
                None => break,
                Some(Err(error)) => pending.push_back(Pending::Done(Err(error))),
                Some(Ok(item)) => {
                    let work = Arc::clone(&work);
                    pending.push_back(pool.submit(move || work(item)));
                }
            }
        }
        pending.pop_front().map(|p| p.wait().and_then(|result| result))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).expect("threads");
            let slow_first = |n: u64| {
                thread::sleep(std::time::Duration::from_micros(if n.is_multiple_of(7) { 900 } else { 10 }));
                Ok(n * n)
            };
            let squares: Vec<u64> =
                in_order(pool, (0..200).map(Ok), slow_first).map(|r| r.expect("a result")).collect();
            assert_eq!(squares, (0..200).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_stands_at_its_item_and_a_dropped_iterator_ends_its_workers() {
        let pool = Pool::new(2).expect("threads");
        let odd = |n: i32| if n == 3 { Err(Error::internal("three")) } else { Ok(n) };
        let mut results = in_order(Arc::clone(&pool), (0..1_000_000).map(Ok), odd);
        let first: Vec<bool> = results.by_ref().take(5).map(|r| r.is_ok()).collect();
        assert_eq!(first, [true, true, true, false, true]);
        drop(results);
        drop(pool);
    }
}
