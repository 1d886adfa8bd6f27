//! A server with its host and a client with a microphone, for the tests on real sockets.

mod client;
mod codec;
mod connection;
mod http;
mod proxy;
mod server;
mod signal;

use std::{future::Future, time::Duration};

pub(crate) use self::{
    client::{Client, Heard},
    codec::Codec,
    connection::{Audio, Channel, Kind, SSRC},
    http::{Answer, Http},
    proxy::Proxy,
    server::{LOBBY, Server, config, host, kit_with, open_door, serve},
    signal::{frequency, level, loud_span, tone, vowel},
};

pub(crate) use roomkit_mock::Counters;

/// Fails a test that waits for what never comes.
pub(crate) async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .expect("it happens")
}

/// Waits until something is so that nobody announces.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
