//! Answers that pages of other origins may read, where they may connect at all (contract X3).

use std::time::Duration;

use axum::Router;
use http::{Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::admission::Admission;

/// How long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(600);

impl Admission {
    /// Lets pages of the allowed origins use these routes by `fetch`: answers what browsers ask
    /// before (preflights), and marks answers as readable. It admits nobody; the routes still do.
    pub fn with_cors(&self, routes: Router) -> Router {
        let admission = self.clone();
        let allowed = AllowOrigin::predicate(move |_, parts| admission.allows_origin(parts));
        let cors = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([header::LINK, header::LOCATION, header::RETRY_AFTER])
            .max_age(MAX_AGE);
        routes.layer(cors)
    }
}
