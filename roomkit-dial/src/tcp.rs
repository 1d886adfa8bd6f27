//! From a name to a TCP connection.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use roomkit_core::provider::{ProviderError, ProviderErrorKind::Network};
use tokio::{
    net::{TcpStream, lookup_host},
    time::sleep,
};
use url::Host;

/// How long one address is tried alone, as RFC 8305 has it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// What was sent and is not confirmed by then never will be.
const UNCONFIRMED_AFTER: Duration = Duration::from_secs(20);

/// A host and port, and the setting they come from.
pub(crate) struct Place<'a> {
    pub(crate) host: Host<&'a str>,
    pub(crate) port: u16,
    pub(crate) field: &'static str,
}

impl Place<'_> {
    pub(crate) async fn connect(&self) -> Result<TcpStream, ProviderError> {
        let addresses = self.resolve().await?;
        let stream = first_to_answer(addresses, TcpStream::connect).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        // Audio comes in small messages, which must not wait for one another.
        let _ = stream.set_nodelay(true);
        break_when_unconfirmed(&stream);
        Ok(stream)
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, ProviderError> {
        let name = match self.host {
            Host::Ipv4(address) => return Ok(vec![(address, self.port).into()]),
            Host::Ipv6(address) => return Ok(vec![(address, self.port).into()]),
            Host::Domain(name) => name,
        };
        let unknown = |problem: &str| {
            ProviderError::new(
                Network,
                format!(
                    "the host `{name}` has no address ({problem}); check `{}` and the DNS of this \
                     machine",
                    self.field
                ),
            )
            .with_code("dns")
        };
        let found: Vec<SocketAddr> = lookup_host((name, self.port))
            .await
            .map_err(|error| unknown(&error.to_string()))?
            .collect();
        if found.is_empty() {
            return Err(unknown("the answer was empty"));
        }
        Ok(found)
    }

    fn unreachable(&self, error: &io::Error) -> ProviderError {
        let hint = if error.kind() == io::ErrorKind::ConnectionRefused {
            "nobody listens there; check host and port of"
        } else {
            "check the network, firewalls, and host and port of"
        };
        let Self { host, port, field } = self;
        ProviderError::new(
            Network,
            format!("{host}:{port} cannot be reached ({error}); {hint} `{field}`"),
        )
        .with_code("connect")
    }
}

/// Tries the addresses in their order, the next one as soon as those before have failed or take
/// long: a machine whose IPv6 leads nowhere still gets through.
async fn first_to_answer<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    loop {
        attempts.extend(waiting.next().map(&connect));
        tokio::select! {
            outcome = attempts.next() => match outcome {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep(NEXT_ADDRESS_AFTER), if waiting.len() > 0 => {}
        }
    }
}

/// Lets the kernel break a connection whose other end has not confirmed for so long what was sent
/// to it. A peer that is merely slow to answer confirms all the same; only a path that is dead does
/// not, and audio that is sent all the time shows it soon (contract H5).
fn break_when_unconfirmed(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNCONFIRMED_AFTER))
    {
        tracing::debug!(%error, "a dead path will be noticed late");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_or_says_nothing_is_passed_over() {
        let [refusing, silent, answering] =
            [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let connect = |address: SocketAddr| async move {
            match address.port() {
                1 => Err(io::ErrorKind::ConnectionRefused.into()),
                2 => std::future::pending().await,
                port => Ok(port),
            }
        };
        for addresses in [
            vec![refusing, answering],
            vec![silent, answering],
            vec![answering, silent],
        ] {
            assert_eq!(first_to_answer(addresses, connect).await.unwrap(), 3);
        }
        let error = first_to_answer(vec![refusing], connect).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_to_answer(Vec::new(), connect).await.is_err());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn h5_a_path_that_confirms_nothing_is_broken_by_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let stream = stream.unwrap();
        break_when_unconfirmed(&stream);
        let limit = socket2::SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(limit, Some(UNCONFIRMED_AFTER));
    }
}
