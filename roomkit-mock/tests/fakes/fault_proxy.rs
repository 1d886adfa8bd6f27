//! The fault proxy between a plain client and a plain server.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use roomkit_mock::fault_proxy::{Cut, Direction, End, FaultProxy, ProxyConnection, Stall};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use Direction::{ToClient, ToServer};

/// A client and a server with the proxy between them.
struct Line {
    proxy: FaultProxy,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
    connection: ProxyConnection,
}

async fn line() -> Line {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = FaultProxy::start(address).await.unwrap();
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let connection = proxy.wait_for_connection(0).await;
    connection.wait_for_server().await;
    Line {
        proxy,
        listener,
        client,
        server,
        connection,
    }
}

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    stream.read_exact(&mut buffer).await.unwrap();
    buffer
}

/// What a stream still has, and how it ends.
async fn to_the_end(stream: &mut TcpStream) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut all = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (all, Ok(())),
            Ok(bytes) => all.extend_from_slice(&buffer[..bytes]),
            Err(error) => return (all, Err(error.kind())),
        }
    }
}

#[tokio::test]
async fn passes_bytes_and_ends_on_and_counts_them() {
    let mut line = line().await;
    line.client.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut line.server, 5).await, b"hello");
    line.server.write_all(b"hi").await.unwrap();
    assert_eq!(read(&mut line.client, 2).await, b"hi");
    assert_eq!(line.connection.bytes(ToServer), 5);
    assert_eq!(line.proxy.bytes(ToClient), 2);
    assert_eq!((line.proxy.open(), line.proxy.refused()), (1, 0));
    // One side closes; the other may still speak.
    line.client.shutdown().await.unwrap();
    assert_eq!(to_the_end(&mut line.server).await, (vec![], Ok(())));
    line.server.write_all(b"bye").await.unwrap();
    drop(line.server);
    assert_eq!(
        to_the_end(&mut line.client).await,
        (b"bye".to_vec(), Ok(()))
    );
    assert_eq!(line.connection.wait_for_end().await, End::Closed);
    assert_eq!(line.proxy.open(), 0);
}

#[tokio::test]
async fn cuts_now_with_either_end() {
    let mut reset = line().await;
    reset.proxy.cut(Cut::Reset);
    let (_, end) = to_the_end(&mut reset.client).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    let (_, end) = to_the_end(&mut reset.server).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert_eq!(reset.connection.wait_for_end().await, End::Cut(Cut::Reset));

    let mut finished = line().await;
    finished.connection.cut(Cut::Finish);
    assert_eq!(to_the_end(&mut finished.client).await, (vec![], Ok(())));
    assert_eq!(to_the_end(&mut finished.server).await, (vec![], Ok(())));
    let end = finished.connection.wait_for_end().await;
    assert_eq!(end, End::Cut(Cut::Finish));
}

#[tokio::test]
async fn cuts_after_exactly_so_many_bytes() {
    let mut line = line().await;
    line.server.write_all(b"before").await.unwrap();
    assert_eq!(read(&mut line.client, 6).await, b"before");
    line.connection.cut_after(ToClient, 4, Cut::Finish);
    line.server.write_all(b"and after").await.unwrap();
    let got = to_the_end(&mut line.client).await;
    assert_eq!(got, (b"and ".to_vec(), Ok(())));
    assert_eq!(line.connection.bytes(ToClient), 10);
}

#[tokio::test]
async fn a_cut_after_no_bytes_is_a_cut_now() {
    let mut line = line().await;
    line.connection.cut_after(ToServer, 0, Cut::Finish);
    assert_eq!(to_the_end(&mut line.client).await, (vec![], Ok(())));
}

#[tokio::test]
async fn a_held_direction_takes_everything_and_delivers_it_later() {
    let mut line = line().await;
    line.connection.stall(ToServer, Stall::Hold);
    let much = vec![7; 3 << 20];
    line.client.write_all(&much).await.unwrap();
    line.client.shutdown().await.unwrap();
    line.connection
        .wait_for_bytes_taken(ToServer, much.len() as u64)
        .await;
    assert_eq!(line.connection.bytes(ToServer), 0);
    // The other direction flows meanwhile.
    line.server.write_all(b"well?").await.unwrap();
    assert_eq!(read(&mut line.client, 5).await, b"well?");
    line.connection.resume(ToServer);
    let (got, end) = to_the_end(&mut line.server).await;
    assert!(got == much);
    assert_eq!(end, Ok(()));
}

#[tokio::test]
async fn a_swallowed_direction_loses_what_came_meanwhile() {
    let mut line = line().await;
    line.proxy.stall(ToClient, Stall::Swallow);
    line.server.write_all(b"lost").await.unwrap();
    line.connection.wait_for_bytes_taken(ToClient, 4).await;
    line.proxy.resume(ToClient);
    line.server.write_all(b"found").await.unwrap();
    assert_eq!(read(&mut line.client, 5).await, b"found");
    assert_eq!(line.connection.bytes(ToClient), 5);
}

#[tokio::test]
async fn a_stall_passes_no_end_on_and_leaves_new_connections_alone() {
    let mut line = line().await;
    line.proxy.stall(ToServer, Stall::Swallow);
    line.proxy.stall(ToClient, Stall::Swallow);
    drop(line.client);
    let mut second = TcpStream::connect(line.proxy.address()).await.unwrap();
    let (mut fresh, _) = line.listener.accept().await.unwrap();
    second.write_all(b"fresh").await.unwrap();
    assert_eq!(read(&mut fresh, 5).await, b"fresh");
    // Long after the first client went away, its server has not heard of it.
    assert_eq!(line.proxy.open(), 2);
    line.connection.resume(ToServer);
    assert_eq!(to_the_end(&mut line.server).await, (vec![], Ok(())));
}

#[tokio::test]
async fn a_reset_of_one_side_reaches_the_other() {
    let mut line = line().await;
    line.server.set_zero_linger().unwrap();
    drop(line.server);
    let (_, end) = to_the_end(&mut line.client).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert_eq!(line.connection.wait_for_end().await, End::Closed);
}

#[tokio::test]
async fn a_throttled_direction_takes_its_time() {
    let mut line = line().await;
    line.proxy.throttle(ToServer, Some(10_000));
    let begun = Instant::now();
    line.client.write_all(&[1; 1000]).await.unwrap();
    read(&mut line.server, 1000).await;
    // 1000 bytes at 10 000 a second; the last piece need not be waited for.
    assert!(begun.elapsed() >= Duration::from_millis(80));
    line.proxy.throttle(ToServer, None);
    line.client.write_all(&vec![2; 100_000]).await.unwrap();
    read(&mut line.server, 100_000).await;
}

#[tokio::test]
async fn refuses_and_admits_again() {
    let line = line().await;
    line.proxy.refuse();
    let mut refused = TcpStream::connect(line.proxy.address()).await.unwrap();
    let (_, end) = to_the_end(&mut refused).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    line.proxy.wait_for_refused(1).await;
    line.proxy.admit();
    let mut client = TcpStream::connect(line.proxy.address()).await.unwrap();
    let (mut server, _) = line.listener.accept().await.unwrap();
    client.write_all(b"in").await.unwrap();
    assert_eq!(read(&mut server, 2).await, b"in");
    assert_eq!(line.proxy.connections().len(), 2);
}

#[tokio::test]
async fn a_slow_dial_delays_the_first_byte_and_can_be_cut() {
    let line = line().await;
    line.proxy.delay_connect(Duration::from_millis(100));
    let begun = Instant::now();
    let mut client = TcpStream::connect(line.proxy.address()).await.unwrap();
    client.write_all(b"at last").await.unwrap();
    let (mut server, _) = line.listener.accept().await.unwrap();
    assert_eq!(read(&mut server, 7).await, b"at last");
    assert!(begun.elapsed() >= Duration::from_millis(100));
    line.proxy.delay_connect(Duration::from_secs(3600));
    let mut hopeless = TcpStream::connect(line.proxy.address()).await.unwrap();
    let connection = line.proxy.wait_for_connection(2).await;
    connection.cut(Cut::Reset);
    let (_, end) = to_the_end(&mut hopeless).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let proxy = FaultProxy::start(address).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (_, end) = to_the_end(&mut client).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    let connection = proxy.wait_for_connection(0).await;
    assert_eq!(connection.wait_for_end().await, End::Unreachable);
}

#[tokio::test]
async fn a_proxy_that_is_dropped_ends_its_connections() {
    let line = line().await;
    let mut client = TcpStream::connect(line.proxy.address()).await.unwrap();
    let connection = line.proxy.wait_for_connection(0).await;
    drop(line);
    let _ = to_the_end(&mut client).await;
    assert_eq!(connection.wait_for_end().await, End::Closed);
}
