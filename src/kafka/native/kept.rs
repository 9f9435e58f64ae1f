//! A client and the process that opened it.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use crate::error::{Error, ErrorKind, Result};
use crate::kafka::token::Renewal;

/// A client of librdkafka. In a forked child, where librdkafka's threads don't exist, [`check`](Self::check) is a `Forked`
/// error and dropping it does nothing: it would wait for those threads for ever.
pub(in crate::kafka) struct Kept<T> {
    what: &'static str,
    process: u32,
    client: ManuallyDrop<T>,
    renewal: ManuallyDrop<Option<Renewal>>,
}

impl<T> Kept<T> {
    /// Keeps `client`; `what` names it in errors.
    pub(in crate::kafka) fn new(what: &'static str, client: T) -> Self {
        let renewal = ManuallyDrop::new(None);
        Self { what, process: std::process::id(), client: ManuallyDrop::new(client), renewal }
    }

    /// Keeps what renews the client's token with it.
    pub(in crate::kafka) fn renewed_by(mut self, renewal: Option<Renewal>) -> Self {
        *self.renewal = renewal;
        self
    }

    /// A `Forked` error in any process but the one that opened it.
    pub(in crate::kafka) fn check(&self) -> Result<()> {
        let (opened, now) = (self.process, std::process::id());
        if opened == now {
            return Ok(());
        }
        let context = format!("{} was opened by process {opened} and used in process {now}", self.what);
        Err(Error::new(ErrorKind::Forked, context).help("Open it after the fork, in each process its own"))
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.client
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // SAFETY: both are dropped here only, and nothing uses them afterwards. The renewal, which holds the client's
            // pointer, goes first.
            unsafe {
                ManuallyDrop::drop(&mut self.renewal);
                ManuallyDrop::drop(&mut self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted<'a>(&'a std::cell::Cell<u32>);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn only_its_own_process_uses_and_drops_it() {
        let drops = std::cell::Cell::new(0);
        let own = Kept::new("the publisher", Counted(&drops));
        assert!(own.check().is_ok());
        drop(own);
        assert_eq!(drops.get(), 1);

        let mut other = Kept::new("the publisher", Counted(&drops));
        other.process = 0;
        let error = other.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forked);
        assert!(error.to_string().contains("the publisher was opened by process 0"));
        drop(other);
        assert_eq!(drops.get(), 1);
    }
}
