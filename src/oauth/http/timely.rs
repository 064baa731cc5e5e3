//! A request body that is never sent late.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::model::{BootTime, Clock};

/// Hands its bytes over for as long as it is time. The connection asks for them in the same breath in which
/// it writes them, so that a process that is halted between any earlier check and the write sends nothing:
/// a request without its body is not worked on.
pub(super) struct Timely {
    bytes: Option<Bytes>,
    by: BootTime,
    clock: Arc<dyn Clock>,
}

/// Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("too late to send safely")]
pub(super) struct TooLate;

impl Timely {
    pub(super) fn new(bytes: Vec<u8>, by: BootTime, clock: Arc<dyn Clock>) -> Self {
        Self { bytes: Some(bytes.into()), by, clock }
    }
}

impl Body for Timely {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        if self.bytes.is_some() && self.clock.boot() > self.by {
            return Poll::Ready(Some(Err(TooLate)));
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// True if that is why the request failed.
pub(super) fn is_too_late(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TooLate>() {
            return true;
        }
        cause = error.source();
    }
    false
}
