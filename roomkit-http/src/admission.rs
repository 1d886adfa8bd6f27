//! The door: one decision per request, before anything is allocated for it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::extract::ConnectInfo;
use futures_util::FutureExt;
use http::{Extensions, HeaderMap, StatusCode, request::Parts};
use roomkit_core::error::ConfigError;

use crate::{
    auth::{AuthRequest, Authenticate, Identity, Purpose},
    config::AdmissionConfig,
    limits::{Limits, Permit, Reached, network_of},
    rejection::Rejection,
    rules::Rules,
    scope::Scope,
};

/// The door of a process. A cheap handle: give a clone to every mounted transport.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    authenticate: Option<Box<dyn Authenticate>>,
    limits: Arc<Limits>,
    rules: RwLock<Arc<Rules>>,
    draining: AtomicBool,
    /// Why no new sessions are taken at the moment, if none are: a code and words.
    paused: RwLock<Option<(&'static str, String)>>,
}

/// A request that may become a session.
#[derive(Debug)]
#[non_exhaustive]
pub struct Admitted {
    /// What authentication said.
    pub identity: Identity,
    /// The session's place; keep it as long as the session lives.
    pub permit: Permit,
    /// The [address](Admission::client_address) by which the client is known.
    pub address: Option<IpAddr>,
}

impl Admission {
    /// A door without authentication: whoever passes the origin check comes in.
    pub fn new(config: &AdmissionConfig) -> Result<Self, ConfigError> {
        Self::build(config, None)
    }

    /// A door where this hook decides who comes in.
    pub fn with_authentication(
        config: &AdmissionConfig,
        authenticate: impl Authenticate,
    ) -> Result<Self, ConfigError> {
        Self::build(config, Some(Box::new(authenticate)))
    }

    /// Takes other settings, for those who come from now on: sessions that run are not touched, also
    /// where there are more of them than there may be now.
    ///
    /// # Errors
    ///
    /// When one of the settings cannot be used; then all stay as they were.
    pub fn reconfigure(&self, config: &AdmissionConfig) -> Result<(), ConfigError> {
        let rules = Arc::new(Rules::read(config)?);
        let mut current = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        self.0
            .limits
            .set(config.max_sessions, config.max_sessions_per_address);
        *current = rules;
        Ok(())
    }

    /// Decides on a request for a session, which needs [`Scope::Call`]. `peer` is where its bytes come
    /// from, see [`peer_address`].
    ///
    /// The place is taken before the hook runs, so no more than there are places wait for this answer of
    /// it. [`recognize`](Self::recognize) and [`check`](Self::check), which roomkit's transports ask first, take
    /// none: how many strangers it hears at a time the HTTP server bounds, by its connections.
    pub async fn admit(
        &self,
        parts: &Parts,
        peer: Option<SocketAddr>,
    ) -> Result<Admitted, Rejection> {
        counted(self.decide(parts, peer).await)
    }

    /// Decides on a request that becomes no session, such as one for what is beside the calls: by
    /// name, origin, authentication and scope alone. It takes no place, and is answered while the server is
    /// full or draining.
    pub async fn check(
        &self,
        parts: &Parts,
        peer: Option<SocketAddr>,
        scope: Scope,
    ) -> Result<Identity, Rejection> {
        counted(self.look_at(parts, peer, Purpose::Other, scope).await)
    }

    /// Says whose a request is that may be about a session which is there already, for a transport
    /// whose clients send more than one. It may be heard where that session is the
    /// [same client's](Identity::is_same_client). What is new needs [`admit`](Self::admit) or
    /// [`check`](Self::check) beside: a credential that has expired since is recognized.
    pub async fn recognize(
        &self,
        parts: &Parts,
        peer: Option<SocketAddr>,
    ) -> Result<Identity, Rejection> {
        let identity = self.look_at(parts, peer, Purpose::Existing, Scope::Call);
        counted(identity.await)
    }

    /// Whether anybody at all would be let in now: the refusal is the one that [`admit`](Self::admit)
    /// would give: `draining`, `full`, or why the door is [paused](Self::pause). For load balancers; takes no place and counts no refusal.
    pub fn ready(&self) -> Result<(), Rejection> {
        if self.is_draining() {
            return Err(self.unavailable(
                "draining",
                "the server is about to stop, and takes nobody new",
            ));
        }
        if let Some((code, message)) = &*self.paused() {
            return Err(self.unavailable(code, message.as_str()));
        }
        if self.0.limits.is_full() {
            return Err(self.full());
        }
        Ok(())
    }

    /// From now on [`admit`](Self::admit) refuses every request with 503, this code and these words,
    /// until it may [`resume`](Self::resume): for a host that sees that more sessions would harm
    /// those that are running. They go on.
    pub fn pause(&self, code: &'static str, message: impl Into<String>) {
        let because = Some((code, message.into()));
        *self
            .0
            .paused
            .write()
            .unwrap_or_else(PoisonError::into_inner) = because;
    }

    /// Takes sessions again after a [`pause`](Self::pause).
    pub fn resume(&self) {
        *self
            .0
            .paused
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// From now on [`admit`](Self::admit) refuses every request with 503 (contract X4). Sessions go on.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Whether a hook decides who comes in.
    pub fn authenticates(&self) -> bool {
        self.0.authenticate.is_some()
    }

    /// How many places are taken.
    pub fn sessions(&self) -> usize {
        self.0.limits.sessions()
    }

    /// How many places there are.
    pub fn max_sessions(&self) -> usize {
        self.0.limits.max_sessions()
    }

    /// Waits until no place is taken.
    pub async fn wait_idle(&self) {
        self.0.limits.wait_idle().await;
    }

    /// How long a client may take to become a session.
    pub fn handshake_time(&self) -> Duration {
        self.rules().handshake
    }

    /// The address by which a request's client is known, for limits of a host's own, which count its
    /// [network](Self::network_of). Behind
    /// `trusted_proxies` none where `X-Forwarded-For` does not name it: all that is known then is a
    /// proxy, and what one client may have would be what all may have together. (The limit on
    /// sessions is the stricter one, and takes the proxy's.)
    pub fn client_address(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<IpAddr> {
        client_address(headers, peer, self.rules().trusted_proxies)
    }

    /// The address that stands for all that count as one client for limits per address: of IPv6 the
    /// first bits, as many as `ipv6_prefix` says. The counts of a host's own limits are by it.
    pub fn network_of(&self, address: IpAddr) -> IpAddr {
        network_of(address, self.rules().ipv6_prefix)
    }

    /// When those who are refused for lack of room may try again.
    pub fn retry_after(&self) -> Duration {
        self.rules().retry_after
    }

    fn rules(&self) -> Arc<Rules> {
        let rules = self.0.rules.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&rules)
    }

    fn build(
        config: &AdmissionConfig,
        authenticate: Option<Box<dyn Authenticate>>,
    ) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Inner {
            authenticate,
            rules: RwLock::new(Arc::new(Rules::read(config)?)),
            limits: Arc::new(Limits::new(
                config.max_sessions,
                config.max_sessions_per_address,
            )),
            draining: AtomicBool::new(false),
            paused: RwLock::new(None),
        })))
    }

    async fn decide(&self, parts: &Parts, peer: Option<SocketAddr>) -> Result<Admitted, Rejection> {
        if !self.is_draining() {
            self.check_page(parts)?;
        }
        let permit = self.take_place(parts, peer)?;
        let request = AuthRequest::new(parts, peer).purpose(Purpose::Session);
        let identity = self.authenticate(request, Scope::Call).await?;
        Ok(Admitted {
            identity,
            permit,
            address: self.client_address(&parts.headers, peer),
        })
    }

    async fn look_at(
        &self,
        parts: &Parts,
        peer: Option<SocketAddr>,
        purpose: Purpose,
        scope: Scope,
    ) -> Result<Identity, Rejection> {
        self.check_page(parts)?;
        let request = AuthRequest::new(parts, peer).purpose(purpose);
        self.authenticate(request, scope).await
    }

    fn take_place(&self, parts: &Parts, peer: Option<SocketAddr>) -> Result<Permit, Rejection> {
        self.ready()?;
        let client = self.client_address(&parts.headers, peer);
        let client = client.or_else(|| peer.map(|peer| peer.ip()));
        let network = client.map(|client| self.network_of(client));
        self.0.limits.take(network).map_err(|reached| match reached {
            // The last place went between the two looks.
            Reached::Process => self.full(),
            Reached::Address { most } => Rejection::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_sessions",
                format!(
                    "`max_sessions_per_address`: this address has all its {most} sessions, and must end one \
                     to begin another"
                ),
            )
            .with_retry_after(self.retry_after()),
        })
    }

    pub(crate) fn allows_origin(&self, parts: &Parts) -> bool {
        self.rules().origins.allows(&parts.headers, &parts.uri)
    }

    /// Whether the web page that a request comes from, if it comes from one, may connect.
    fn check_page(&self, parts: &Parts) -> Result<(), Rejection> {
        if !self.rules().names.allows(&parts.headers, &parts.uri) {
            return Err(Rejection::new(
                StatusCode::FORBIDDEN,
                "host",
                "`Host`: this server is not to be asked by this name; ask by `localhost` or an address, or \
                 write the name into `allowed_hosts`",
            ));
        }
        if self.allows_origin(parts) {
            return Ok(());
        }
        Err(Rejection::new(
            StatusCode::FORBIDDEN,
            "origin",
            "web pages of this origin may not connect: see `allowed_origins`, and let a proxy pass on the \
             `Host` that the browser named",
        ))
    }

    async fn authenticate(
        &self,
        request: AuthRequest,
        scope: Scope,
    ) -> Result<Identity, Rejection> {
        let Some(hook) = &self.0.authenticate else {
            return Ok(Identity::default());
        };
        // The host's code: neither its panic nor its slowness may become ours (contract S8).
        let answer = AssertUnwindSafe(hook.authenticate(request)).catch_unwind();
        match tokio::time::timeout(self.handshake_time(), answer).await {
            Ok(Ok(Ok(identity))) => identity.scopes.require(scope).map(|()| identity),
            Ok(Ok(Err(refusal))) => Err(refusal.into()),
            Ok(Err(_panic)) => {
                tracing::error!("the authentication hook panicked; the client was refused");
                Err(Rejection::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "authentication_failed",
                    "authentication failed",
                ))
            }
            Err(_elapsed) => {
                let limit = self.handshake_time().as_millis();
                let message = format!("`handshake_ms`: authentication took longer than {limit} ms");
                Err(self.unavailable("authentication_timeout", message))
            }
        }
    }

    fn paused(&self) -> RwLockReadGuard<'_, Option<(&'static str, String)>> {
        self.0.paused.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self) -> Rejection {
        let most = self.max_sessions();
        let message = format!("`max_sessions`: the server has all its {most} sessions");
        self.unavailable("full", message)
    }

    fn unavailable(&self, code: &'static str, message: impl Into<String>) -> Rejection {
        Rejection::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
            .with_retry_after(self.retry_after())
    }
}

fn counted<T>(decision: Result<T, Rejection>) -> Result<T, Rejection> {
    decision.map_err(Rejection::counted)
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("authenticates", &self.authenticates())
            .field("rules", &self.rules())
            .field("limits", &self.0.limits)
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

/// Where a request's bytes come from, when the server was started with
/// [`into_make_service_with_connect_info::<SocketAddr>`](axum::Router::into_make_service_with_connect_info).
/// Without it, the limit per address cannot work.
pub fn peer_address(extensions: &Extensions) -> Option<SocketAddr> {
    let info = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(info.0)
}

/// An extension of a request whose connection the server reads through a buffer: whoever takes the
/// connection over may read little of it at a time.
#[derive(Debug, Clone, Copy)]
pub struct BufferedReads;

fn client_address(headers: &HeaderMap, peer: Option<SocketAddr>, proxies: usize) -> Option<IpAddr> {
    let Some(index) = proxies.checked_sub(1) else {
        return peer.map(|peer| peer.ip());
    };
    // Each proxy appends whom it heard from; what stands further left is the client's invention, and
    // need not even be text.
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let hop = str::from_utf8(hops.nth(index)?).ok()?.trim();
    let with_port = || hop.parse().map(|address: SocketAddr| address.ip());
    hop.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn c5_the_client_behind_trusted_proxies() {
        let peer: SocketAddr = "10.0.0.1:9".parse().unwrap();
        let mut headers = HeaderMap::new();
        let invented = HeaderValue::from_bytes(b"\xe9, 6.6.6.6, 1.1.1.1").unwrap();
        headers.append("x-forwarded-for", invented);
        headers.append("x-forwarded-for", "2.2.2.2:77".parse().unwrap());
        for (proxies, address) in [
            (0, Some("10.0.0.1")),
            (1, Some("2.2.2.2")),
            (2, Some("1.1.1.1")),
            (3, Some("6.6.6.6")),
            (4, None),
            (9, None),
        ] {
            let expected: Option<IpAddr> = address.map(|address| address.parse().unwrap());
            assert_eq!(client_address(&headers, Some(peer), proxies), expected);
        }
        assert_eq!(client_address(&headers, None, 0), None);
    }
}
