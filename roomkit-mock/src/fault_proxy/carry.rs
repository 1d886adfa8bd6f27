//! The task of one connection: two pumps between two sockets.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::connection::{Cut, Direction, End, Flow, ProxyConnection, Stall};

/// The most that is written at once, so that a change of mind is heard in between.
const PIECE: usize = 16 * 1024;

/// Carries a client's connection to its end.
pub(super) async fn carry(
    client: TcpStream,
    server: SocketAddr,
    delay: Duration,
    connection: ProxyConnection,
) {
    let _ended = Ended(&connection);
    // A cut while it still dials counts as well.
    let dial = async {
        tokio::time::sleep(delay).await;
        TcpStream::connect(server).await
    };
    let dialled = tokio::select! {
        dialled = dial => dialled,
        cut = connection.told_to_cut() => {
            match cut {
                Cut::Reset => reset(client),
                Cut::Finish => drop(client),
            }
            return connection.ended(End::Cut(cut));
        }
    };
    if let Ok(server) = dialled {
        connection.joined();
        let end = join(client, server, &connection).await;
        connection.ended(end);
    } else {
        reset(client);
        connection.ended(End::Unreachable);
    }
}

/// Whose task is aborted with the proxy is closed as well.
struct Ended<'a>(&'a ProxyConnection);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended(End::Closed);
    }
}

/// Ends a connection with RST.
pub(super) fn reset(stream: TcpStream) {
    // Without it the end is a FIN, which is the next best thing.
    let _ = stream.set_zero_linger();
    drop(stream);
}

async fn join(mut client: TcpStream, mut server: TcpStream, connection: &ProxyConnection) -> End {
    // Small writes go out at once, as they came.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, Direction::ToServer, connection);
        let down = pump(from_server, to_client, Direction::ToClient, connection);
        let both = async { tokio::try_join!(up, down) };
        tokio::select! {
            // First: where the bytes that lead to a cut were the last ones, it is a cut.
            biased;
            cut = connection.told_to_cut() => Some(cut),
            outcome = both => {
                if outcome.is_err() {
                    // One side reset its connection, so the other is reset too.
                    let _ = (client.set_zero_linger(), server.set_zero_linger());
                }
                None
            }
        }
    };
    match cut {
        None => return End::Closed,
        Some(Cut::Reset) => {
            reset(client);
            reset(server);
        }
        Some(Cut::Finish) => finish(client, server, connection).await,
    }
    End::Cut(cut.unwrap_or(Cut::Reset))
}

/// Sends FIN both ways and swallows what still comes: a socket that is closed with bytes unread
/// would reset.
async fn finish(client: TcpStream, server: TcpStream, connection: &ProxyConnection) {
    connection.ended(End::Cut(Cut::Finish));
    let drain = |mut stream: TcpStream| async move {
        let _ = stream.shutdown().await;
        let mut buffer = vec![0; PIECE];
        while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    };
    tokio::join!(drain(client), drain(server));
}

/// Carries one direction until its end was passed on.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    connection: &ProxyConnection,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut waiting = VecDeque::new();
    loop {
        let flow = connection.flow(direction);
        if flow.stall.is_none() {
            pass_on(&mut waiting, &mut to, direction, connection).await?;
        }
        let told = |flow: &Flow| (flow.stall, flow.cut_at);
        let changed = |now: &Flow| (told(now) != told(&flow)).then_some(());
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(0) => break,
                Ok(bytes) => {
                    connection.took(direction, bytes);
                    waiting.extend(&buffer[..bytes]);
                }
                // Nothing of this side is passed on while it is stalled, its failure included.
                Err(error) => {
                    unstalled(direction, connection).await;
                    return Err(error);
                }
            },
            () = connection.until_flow(direction, changed) => {}
        }
        if connection.flow(direction).stall == Some(Stall::Swallow) {
            waiting.clear();
        }
    }
    unstalled(direction, connection).await;
    pass_on(&mut waiting, &mut to, direction, connection).await?;
    to.shutdown().await
}

async fn unstalled(direction: Direction, connection: &ProxyConnection) {
    let flows = |flow: &Flow| flow.stall.is_none().then_some(());
    connection.until_flow(direction, flows).await;
}

/// Writes what waits, at the direction's rate, until it is stalled or cut.
async fn pass_on(
    waiting: &mut VecDeque<u8>,
    to: &mut WriteHalf<'_>,
    direction: Direction,
    connection: &ProxyConnection,
) -> io::Result<()> {
    loop {
        let flow = connection.flow(direction);
        let left = flow
            .cut_at
            .map(|(at, cut)| (at.saturating_sub(flow.passed), cut));
        if let Some((0, cut)) = left {
            connection.cut(cut);
            // The cut ends this task.
            return std::future::pending().await;
        }
        if waiting.is_empty() || flow.stall.is_some() {
            return Ok(());
        }
        let (front, _) = waiting.as_slices();
        let mut piece = front.len().min(PIECE);
        if let Some((left, _)) = left {
            piece = piece.min(usize::try_from(left).unwrap_or(piece));
        }
        if let Some(rate) = flow.bytes_per_second {
            // Fifty pieces a second are smooth enough.
            piece = piece.min(usize::try_from(rate / 50).unwrap_or(piece).max(1));
        }
        to.write_all(&front[..piece]).await?;
        waiting.drain(..piece);
        connection.passed(direction, piece);
        if let Some(rate) = flow.bytes_per_second {
            let time = piece as f64 / rate.max(1) as f64;
            tokio::time::sleep(Duration::from_secs_f64(time)).await;
        }
    }
}
