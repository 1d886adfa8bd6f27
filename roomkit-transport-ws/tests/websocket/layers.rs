//! What layers of a host's own application say of a client.

use axum::Extension;
use roomkit_http::{Admission, AdmissionConfig, AuthRequest, Identity, Refusal};

use crate::{
    routes::{app, connect, refused, serve, serve_app},
    support::*,
};

#[derive(Clone)]
struct User(&'static str);

#[tokio::test]
async fn x2_the_hook_sees_what_a_layer_of_the_hosts_has_found_out() {
    let hook = async |request: AuthRequest| match request.extensions.get::<User>() {
        Some(User(name)) => Ok(Identity::default().participant(*name)),
        None => Err(Refusal::Unauthorized("log in first".into())),
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let layered = app(admission.clone()).layer(Extension(User("ann")));
    let (mut client, _) = connect(serve_app(layered).await, "", &[]).await;
    assert_eq!(json(&mut client).await["participant_id"], "ann");
    let (status, ..) = refused(serve(admission).await, "", &[]).await;
    assert_eq!(status, 401);
}
