//! Giving a client its bearer token.

use std::ffi::{CString, c_char};
use std::ptr;

use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::client::Client;

use crate::error::{Error, ErrorKind, Result};
use crate::kafka::token::Token;

/// The client whose token is set. It holds the client's pointer: whoever keeps it must drop it before the client.
pub(in crate::kafka) struct Login(*mut rd::rd_kafka_t);

// SAFETY: librdkafka's functions used here may be called from any thread.
unsafe impl Send for Login {}

impl Login {
    /// The login of `client`, which must outlive it.
    pub(in crate::kafka) fn of<C: ClientContext>(client: &Client<C>) -> Self {
        Self(client.native_ptr())
    }

    /// Gives the token to the client.
    ///
    /// # Errors
    /// `Kafka` where librdkafka finds that it can't be one.
    pub(in crate::kafka) fn set(&self, token: &Token) -> Result<()> {
        // Its reason may hold the token.
        let no_token = || {
            Error::new(ErrorKind::Kafka, "what the source gave is no bearer token")
                .help("Give the token's text alone, such as aaa.bbb.ccc")
        };
        if token.value.is_empty() || !token.value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(no_token());
        }
        let value = CString::new(token.value.as_str()).map_err(|_| no_token())?;
        let mut reason: [c_char; 256] = [0; 256];
        // SAFETY: the client is alive by this type's promise; the texts outlive the call, which copies them; there are no
        // extensions; the buffer has the size that is told.
        let code = unsafe {
            rd::rd_kafka_oauthbearer_set_token(
                self.0,
                value.as_ptr(),
                token.expires_ms,
                c"citystream".as_ptr(),
                ptr::null_mut(),
                0,
                reason.as_mut_ptr(),
                reason.len(),
            )
        };
        if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(no_token()) }
    }

    /// Says why there is no new token: an error of the client's, as if it had noticed by itself.
    pub(in crate::kafka) fn fail(&self, why: &str) {
        let why = CString::new(why.replace('\0', " ")).unwrap_or_default();
        // SAFETY: the client is alive by this type's promise, and the text outlives the call, which copies it.
        unsafe { rd::rd_kafka_oauthbearer_set_token_failure(self.0, why.as_ptr()) };
    }
}
