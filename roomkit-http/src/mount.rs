//! Transports that can be mounted under a path, by name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::Router;
use roomkit_core::{
    error::ConfigError,
    registry::{TransportPlugin, inventory},
    transport::RealtimeAudioTransport,
};
use serde_json::Value;

use crate::{admission::Admission, host::SessionHost};

/// A transport that can be mounted by name. A transport's crate submits it with
/// `roomkit_core::registry::inventory::submit!`, under the name of its `TransportPlugin`.
#[derive(Debug, Clone, Copy)]
pub struct TransportRoutes {
    /// The name hosts ask for.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Builds it from its configuration, which is an object or null.
    pub build: fn(Value) -> Result<MountableTransport, ConfigError>,
}

inventory::collect!(TransportRoutes);

/// A transport and its routes, built as one so that they can share sockets and settings.
///
/// The transport goes into the voice channel first; the routes are mounted when there is a host
/// that can start sessions on that channel.
pub struct MountableTransport {
    transport: Arc<dyn RealtimeAudioTransport>,
    routes: Box<dyn FnOnce(MountContext) -> Router + Send>,
}

impl MountableTransport {
    /// A transport and what makes its routes.
    pub fn new(
        transport: Arc<dyn RealtimeAudioTransport>,
        routes: impl FnOnce(MountContext) -> Router + Send + 'static,
    ) -> Self {
        Self {
            transport,
            routes: Box::new(routes),
        }
    }

    /// The transport, for the voice channel.
    pub fn transport(&self) -> Arc<dyn RealtimeAudioTransport> {
        Arc::clone(&self.transport)
    }

    /// Its routes, to be merged into the host's router.
    pub fn mount(self, context: MountContext) -> Router {
        (self.routes)(context)
    }
}

impl fmt::Debug for MountableTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountableTransport")
            .field("transport", &self.transport.name())
            .finish_non_exhaustive()
    }
}

/// Where and for whom a transport is mounted.
#[derive(Clone)]
#[non_exhaustive]
pub struct MountContext {
    /// The path, such as `/ws`.
    pub path: String,
    /// The process's door.
    pub admission: Admission,
    /// Who starts the sessions.
    pub host: Arc<dyn SessionHost>,
}

impl MountContext {
    /// A place to mount at; the path begins with `/` and is plain text.
    pub fn new(
        path: impl Into<String>,
        admission: Admission,
        host: Arc<dyn SessionHost>,
    ) -> Result<Self, ConfigError> {
        let path = path.into();
        // Everything else either means something to the router or cannot stand in a path.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        if !path.starts_with('/') || !path.chars().all(plain) {
            return Err(ConfigError::field(
                "path",
                format!("`{path}` cannot be mounted at; write a plain path such as `/ws`"),
            ));
        }
        Ok(Self {
            path,
            admission,
            host,
        })
    }
}

impl fmt::Debug for MountContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountContext")
            .field("path", &self.path)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

/// The mountable transport of that name; an unknown name's error lists the linked ones, and that of a
/// transport without routes says so.
pub fn routes(name: &str) -> Result<&'static TransportRoutes, ConfigError> {
    let all = all_routes()?;
    let found = all.iter().find(|routes| routes.name == name);
    found.copied().ok_or_else(|| {
        let mut transports = inventory::iter::<TransportPlugin>.into_iter();
        if transports.any(|transport| transport.name == name) {
            let problem = format!(
                "`{name}` is linked, but has no HTTP routes; it submits no `TransportRoutes`. Accept its connections in \
                 a program of your own, or choose another"
            );
            return ConfigError::field("name", problem);
        }
        let names: Vec<&str> = all.iter().map(|routes| routes.name).collect();
        ConfigError::Unknown {
            what: "mountable transport",
            name: name.into(),
            linked: if names.is_empty() {
                "none".into()
            } else {
                names.join(", ")
            },
        }
    })
}

/// Every mountable transport linked into the program, in order of names; two of one name are
/// refused.
pub fn all_routes() -> Result<Vec<&'static TransportRoutes>, ConfigError> {
    let mut by_name = BTreeMap::new();
    for routes in inventory::iter::<TransportRoutes> {
        if by_name.insert(routes.name, routes).is_some() {
            return Err(ConfigError::Duplicate {
                what: "mountable transport",
                name: routes.name.into(),
            });
        }
    }
    Ok(by_name.into_values().collect())
}
