//! A stream whose writes have to get further, and whose reads are counted: whoever asks for an answer and never reads it is
//! let go, and so is whoever sends more than may be held.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::meter::Meter;
use crate::server::WRITE_TIMEOUT_MS;

/// Fails a write that takes nothing for [`WRITE_TIMEOUT_MS`], and a read that the meter does not allow.
#[derive(Debug)]
pub(crate) struct Unstalled<S> {
    stream: S,
    /// Runs while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
    meter: Option<Meter>,
}

impl<S> Unstalled<S> {
    pub(crate) fn new(stream: S, meter: Option<Meter>) -> Self {
        Self {
            stream,
            patience: None,
            meter,
        }
    }

    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let allowed = Duration::from_millis(WRITE_TIMEOUT_MS);
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep(allowed)));
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(meter) = &self.meter {
            meter.reads(buffer.filled().len().saturating_sub(before))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_gets_all_and_who_stops_is_let_go() {
        let (near, mut far) = duplex(16);
        let mut writer = Unstalled::new(near, None);
        let pause = Duration::from_millis(WRITE_TIMEOUT_MS / 2);
        let reading = async {
            let (mut part, mut all) = ([0; 10], 0);
            while all < 100 {
                sleep(pause).await;
                all += far.read(&mut part).await.unwrap();
            }
            far
        };
        let (written, far) = tokio::join!(writer.write_all(&[7; 100]), reading);
        written.unwrap();
        let stalled = writer.write_all(&[7; 100]).await;
        assert_eq!(stalled.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(far);
    }
}
