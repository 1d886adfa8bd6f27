//! What becomes of its sockets.

use std::{net::Ipv4Addr, time::Duration};

use roomkit_core::provider::RealtimeVoiceProvider;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::Run;
use crate::{
    conformance::Rule,
    fault_proxy::{Cut, FaultProxy, ProxyConnection},
};

impl Run<'_> {
    pub(super) async fn is_hung_up_on(
        &mut self,
        provider: &dyn RealtimeVoiceProvider,
        proxy: &FaultProxy,
        cut: Cut,
    ) {
        let Some(open) = self.open(provider).await else {
            return;
        };
        if let Some(socket) = newest(proxy) {
            socket.cut(cut);
        }
        let when = "after the vendor hung up";
        if let Some(None) = self.ends(&open.events, when).await {
            self.broke(Rule::Why, format!("`Closed` has no error {when}"));
        }
    }

    pub(super) async fn is_dropped(
        &mut self,
        provider: &dyn RealtimeVoiceProvider,
        proxy: &FaultProxy,
    ) {
        let Some(open) = self.open(provider).await else {
            return;
        };
        drop(open);
        self.is_closed(newest(proxy), "after both its halves were dropped")
            .await;
    }

    pub(super) async fn is_closed(&mut self, socket: Option<ProxyConnection>, when: &str) {
        if let Some(socket) = socket
            && timeout(self.checks.patience, socket.wait_for_end())
                .await
                .is_err()
        {
            let what = format!("its socket is open {when}, or the fake vendor does not hang up");
            self.broke(Rule::LeavesNothing, what);
        }
    }

    /// Connects to a vendor that takes the connection and says nothing.
    pub(super) async fn waits_in_vain(&mut self) {
        let patience = self.checks.patience;
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await else {
            return;
        };
        let Ok(address) = listener.local_addr() else {
            return;
        };
        let Some(provider) = self.build(address) else {
            return;
        };
        let (connected, socket) = tokio::join!(
            timeout(patience, provider.connect(self.checks.setup.clone())),
            timeout(patience, listener.accept()),
        );
        match connected.map(|connected| connected.map(drop)) {
            Ok(Ok(())) => {
                let what = "`connect` is ready at a vendor that has not said a word";
                self.broke(Rule::Ready, what);
            }
            Ok(Err(error)) => self.quiet("a vendor that says nothing", &error),
            Err(_) => {
                let what = format!("waits longer than {patience:?} for a vendor that says nothing");
                self.broke(Rule::GivesUp, what);
            }
        }
        if let Ok(Ok((socket, _))) = socket
            && !ends(socket, patience).await
        {
            let what = "its socket is open although `connect` is over";
            self.broke(Rule::LeavesNothing, what);
        }

        let spoken_to = async {
            let (mut socket, _) = listener.accept().await.ok()?;
            // It has begun to speak, or to wait.
            let _ = timeout(patience, socket.read(&mut [0])).await;
            Some(socket)
        };
        let socket = tokio::select! {
            _ = provider.connect(self.checks.setup.clone()) => None,
            socket = spoken_to => socket,
        };
        if let Some(socket) = socket
            && !ends(socket, patience).await
        {
            let what = "its socket is open although the future of `connect` was dropped";
            self.broke(Rule::LeavesNothing, what);
        }
    }
}

/// Whether the other side ends it.
async fn ends(mut socket: TcpStream, patience: Duration) -> bool {
    let mut buffer = [0; 4096];
    let ended = async { while socket.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {} };
    timeout(patience, ended).await.is_ok()
}

pub(super) fn newest(proxy: &FaultProxy) -> Option<ProxyConnection> {
    proxy.connections().pop()
}
