//! What every transport of roomkit needs of HTTP, once: who may come in, how many, from where, and
//! under which path.
//!
//! - [`Admission`] decides on a request before anything is allocated for it: draining, origin,
//!   limits, authentication. There is one per process, shared by all mounted transports; for what
//!   is no session, [`Admission::check`] decides by origin, authentication and scope alone.
//! - [`SessionHost`] is what the host implements: it turns an admitted connection into a session.
//! - [`TransportRoutes`] is how a transport's crate offers itself for mounting by name.
//!
//! ```
//! use roomkit_http::{Admission, AdmissionConfig, AuthRequest, Identity, Refusal};
//!
//! # fn main() -> Result<(), roomkit_core::error::ConfigError> {
//! let admission = Admission::with_authentication(
//!     &AdmissionConfig {
//!         allowed_origins: vec!["https://app.example.com".into()],
//!         ..AdmissionConfig::default()
//!     },
//!     async |request: AuthRequest| match request.bearer_token() {
//!         Some("let me in") => Ok(Identity::new([("user", "ann")])),
//!         Some(_) => Err(Refusal::Forbidden("this token is not valid here".into())),
//!         None => Err(Refusal::Unauthorized("a token is needed".into())),
//!     },
//! )?;
//! assert_eq!(admission.sessions(), 0);
//! # Ok(())
//! # }
//! ```

mod admission;
mod auth;
mod config;
mod cors;
mod host;
mod limits;
mod mount;
mod names;
mod origin;
mod rejection;
mod rules;
mod scope;

pub use admission::{Admission, Admitted, BufferedReads, peer_address};
pub use auth::{AuthRequest, Authenticate, Identity, Purpose, Refusal, is_id};
/// What routes and extractors are of.
pub use axum;
pub use config::AdmissionConfig;
pub use host::{SessionHost, StartFailure, StartFailureKind, StartRequest};
pub use limits::Permit;
pub use mount::{MountContext, MountableTransport, TransportRoutes, all_routes, routes};
pub use rejection::Rejection;
pub use scope::{Scope, Scopes};

/// The README, so that its examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
