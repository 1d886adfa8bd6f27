//! What stands for the issuer's tokens in a server that was built without them.

use std::{convert::Infallible, time::SystemTime};

use roomkit::{
    error::ConfigError,
    http::{Identity, Purpose, Refusal},
};
use tokio::sync::watch;

use super::JwtConfig;

/// There is none.
#[derive(Debug, Clone)]
pub(crate) struct Jwt(Infallible);

impl Jwt {
    pub(crate) fn new(_config: &JwtConfig) -> Result<Self, ConfigError> {
        let problem = "this server was built without JWT; build it with `--features jwt`";
        Err(ConfigError::field("auth.jwt", problem))
    }

    #[expect(clippy::unused_async, reason = "as it is where there are tokens")]
    pub(crate) async fn fetch(&self) -> Result<(), ConfigError> {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "as it is where there are tokens")]
    pub(crate) async fn read_as(&self, _read: &Self) {
        match self.0 {}
    }

    pub(crate) fn read_again(&self) -> watch::Sender<()> {
        match self.0 {}
    }

    pub(crate) fn still_takes(&self, _token: &str) -> bool {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "as it is where there are tokens")]
    pub(crate) async fn keep_fresh(self) {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "as it is where there are tokens")]
    pub(crate) async fn admit(
        &self,
        _token: &str,
        _purpose: Purpose,
        _now: SystemTime,
    ) -> Result<Identity, Refusal> {
        match self.0 {}
    }
}
