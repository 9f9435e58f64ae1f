//! Parquet encoding beside the thread that makes the rows: one batch is encoded while the next one is made.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::NewObject;
use crate::error::{Context, Error, ErrorKind, Result};

type Writer = ArrowWriter<NewObject>;

/// How large a file has become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Encoded bytes, with an estimate for the open row group.
    pub(super) bytes: usize,
    /// Bytes of memory that the open row group holds, and what waits to be uploaded.
    pub(super) memory: usize,
}

impl Progress {
    fn of(writer: &Writer) -> Self {
        Self {
            bytes: writer.bytes_written() + writer.in_progress_size(),
            memory: writer.memory_size() + writer.inner().buffered(),
        }
    }
}

/// Encodes batches in their order: the first on the caller's thread, since most small files have no other, the rest on a
/// thread of its own.
pub(super) struct Encoder {
    state: State,
    progress: Progress,
}

enum State {
    New(Box<Writer>),
    Here(Box<Writer>),
    There(Beside),
    /// After an error.
    Gone,
}

impl Encoder {
    pub(super) fn new(writer: Writer) -> Self {
        Self { progress: Progress::of(&writer), state: State::New(Box::new(writer)) }
    }

    /// After all batches but the last one given, whatever the threads do, so that files are rolled at the same rows each time.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Encodes a batch. An error may be that of the batch before.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut beside = match std::mem::replace(&mut self.state, State::Gone) {
            State::New(mut writer) => {
                writer.write(batch)?;
                self.progress = Progress::of(&writer);
                self.state = State::Here(writer);
                return Ok(());
            }
            State::Here(writer) => Beside::start(*writer)?,
            State::There(beside) => beside,
            State::Gone => return Err(ended()),
        };
        if let Some(progress) = beside.settle()? {
            self.progress = progress;
        }
        beside.give(batch.clone())?;
        self.state = State::There(beside);
        Ok(())
    }

    /// The writer, with every batch encoded.
    pub(super) fn finish(self) -> Result<Writer> {
        match self.state {
            State::New(writer) | State::Here(writer) => Ok(*writer),
            State::There(beside) => beside.finish(),
            State::Gone => Err(ended()),
        }
    }
}

fn ended() -> Error {
    Error::internal("a file was written to after an error")
}

/// The thread that encodes.
struct Beside {
    /// `None` once no more batches come.
    batches: Option<SyncSender<RecordBatch>>,
    done: Receiver<Result<Progress, ParquetError>>,
    thread: Option<JoinHandle<Writer>>,
    busy: bool,
}

impl Beside {
    fn start(mut writer: Writer) -> Result<Self> {
        // One batch at a time: what waits is memory that nobody bounds.
        let (batches, given) = sync_channel::<RecordBatch>(1);
        let (tell, done) = sync_channel(1);
        let work = move || {
            for batch in given {
                let written = writer.write(&batch).map(|()| Progress::of(&writer));
                // Given back before the answer, so that two batches are held at most.
                drop(batch);
                if tell.send(written).is_err() {
                    break;
                }
            }
            writer
        };
        let thread = Builder::new().name("citystream-encode".into()).spawn(work);
        let thread = thread.context(ErrorKind::Store, || "a thread that encodes Parquet can't be started".into())?;
        Ok(Self { batches: Some(batches), done, thread: Some(thread), busy: false })
    }

    /// Waits for the batch that was given last.
    fn settle(&mut self) -> Result<Option<Progress>> {
        if !std::mem::take(&mut self.busy) {
            return Ok(None);
        }
        Ok(Some(self.done.recv().map_err(|_| lost())??))
    }

    fn give(&mut self, batch: RecordBatch) -> Result<()> {
        self.busy = true;
        self.batches.as_ref().and_then(|batches| batches.send(batch).ok()).ok_or_else(lost)
    }

    fn finish(mut self) -> Result<Writer> {
        self.settle()?;
        self.batches = None;
        self.thread.take().and_then(|thread| thread.join().ok()).ok_or_else(lost)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Waits, so that the unfinished file is gone when its writer is.
        self.batches = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn lost() -> Error {
    Error::internal("a thread that encodes Parquet has stopped")
}
