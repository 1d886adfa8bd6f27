//! A connection that does not wait for ever for a client to read: HTTP/1.1 knows no limit on the time an
//! answer may take, and one that nobody reads would hold its memory and its place (contract X5).

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a client may take nothing of what is sent to it. Calls and dashboards have a limit of their own,
/// 10 s, and know a word to end with, so theirs comes first.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream whose writes fail once nothing of them was taken for [`PATIENCE`].
#[derive(Debug)]
pub(crate) struct Impatient<S> {
    stream: S,
    /// When it is enough; there while a write waits.
    enough: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            enough: None,
        }
    }

    /// What the stream says, unless it has said nothing for too long.
    fn unless_enough<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.enough = None;
            return poll;
        }
        let enough = self.enough.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(enough.as_mut().poll(cx));
        let problem = "the client takes nothing of what is sent to it";
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, problem)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.unless_enough(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.unless_enough(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unless_enough(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.unless_enough(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, timeout},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn x5_a_client_that_reads_nothing_is_given_up() {
        let (_client, server) = duplex(64);
        let mut server = Impatient::new(server);
        let began = Instant::now();
        let error = server.write_all(&[0; 65]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_served() {
        let (mut client, server) = duplex(64);
        let mut server = Impatient::new(server);
        let reading = tokio::spawn(async move {
            let mut read = [0; 320];
            for part in read.chunks_mut(64) {
                sleep(PATIENCE / 2).await;
                client.read_exact(part).await.unwrap();
            }
        });
        server.write_all(&[0; 320]).await.unwrap();
        reading.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_nothing_to_read_is_waited_for() {
        let (client, server) = duplex(64);
        let mut server = Impatient::new(server);
        let read = timeout(10 * PATIENCE, server.read_u8()).await;
        assert!(read.is_err(), "reading has its own limits");
        drop(client);
    }
}
