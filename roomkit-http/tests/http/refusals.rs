//! Each refusal is counted once, under its code (`roomkit_admission_refused_total`).

use std::{
    future::pending,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use http::{Request, StatusCode, request::Parts};
use roomkit_core::error::{ProviderError, ProviderErrorKind, RoomError, StartError};
use roomkit_http::{
    Admission, AdmissionConfig, AuthRequest, Identity, Refusal, Rejection, Scope, Scopes,
    StartFailure,
};
use roomkit_mock::Counters;

const PEER: Option<SocketAddr> = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5555));
const REFUSED: &str = "roomkit_admission_refused_total";

fn head(uri: &str) -> Parts {
    let request = Request::get(uri).header("host", "a.example");
    request.body(()).unwrap().into_parts().0
}

/// Does one thing that is refused, and finds it counted under its code and nowhere else.
async fn counts(code: &str, refuse: impl AsyncFnOnce() -> Rejection) {
    let counters = Counters::default();
    let counting = counters.here();
    assert_eq!(refuse().await.code(), code);
    drop(counting);
    assert_eq!(counters.all(REFUSED), [(code.to_owned(), 1)].into());
}

fn door(config: &AdmissionConfig) -> Admission {
    Admission::new(config).unwrap()
}

async fn turned_down(admission: &Admission) -> Rejection {
    admission.admit(&head("/ws"), PEER).await.unwrap_err()
}

/// A door whose hook does what the token says.
fn guarded(config: &AdmissionConfig) -> Admission {
    let hook = async |request: AuthRequest| match request.bearer_token() {
        None => Err(Refusal::Unauthorized("who are you?".into())),
        Some("stranger") => Err(Refusal::Forbidden("not you".into())),
        Some("own") => {
            let own = Rejection::new(StatusCode::PAYMENT_REQUIRED, "no_credit", "no credit");
            Err(Refusal::Other(own))
        }
        Some("never") => pending().await,
        Some("panic") => panic!("host code"),
        Some(_) => {
            let mut identity = Identity::default();
            identity.scopes = Scopes::from_iter([Scope::Watch]);
            Ok(identity)
        }
    };
    Admission::with_authentication(config, hook).unwrap()
}

#[tokio::test(start_paused = true)]
async fn c5_who_is_refused_by_a_limit() {
    let config = AdmissionConfig::default();
    let one = AdmissionConfig {
        max_sessions: 1,
        ..config.clone()
    };
    counts("full", async || {
        let admission = door(&one);
        let _inside = admission.admit(&head("/ws"), None).await.unwrap();
        turned_down(&admission).await
    })
    .await;
    let one_each = AdmissionConfig {
        max_sessions_per_address: 1,
        ..config.clone()
    };
    counts("too_many_sessions", async || {
        let admission = door(&one_each);
        let _inside = admission.admit(&head("/ws"), PEER).await.unwrap();
        turned_down(&admission).await
    })
    .await;
    counts("overloaded", async || {
        let admission = door(&config);
        admission.pause("overloaded", "too much to do");
        turned_down(&admission).await
    })
    .await;
    counts("draining", async || {
        let admission = door(&config);
        admission.drain();
        turned_down(&admission).await
    })
    .await;
    counts("authentication_timeout", async || {
        let admission = guarded(&config);
        let request = head("/ws?token=never");
        admission.admit(&request, PEER).await.unwrap_err()
    })
    .await;
}

#[tokio::test]
async fn x2_who_may_not_come_in() {
    let config = AdmissionConfig::default();
    for (code, uri) in [
        ("unauthorized", "/ws"),
        ("forbidden", "/ws?token=stranger"),
        // Its scopes do not say that it may call.
        ("forbidden", "/ws?token=watcher"),
        ("no_credit", "/ws?token=own"),
        ("authentication_failed", "/ws?token=panic"),
    ] {
        let admission = guarded(&config);
        counts(code, async || {
            admission.admit(&head(uri), PEER).await.unwrap_err()
        })
        .await;
        counts(code, async || {
            admission.recognize(&head(uri), PEER).await.unwrap_err()
        })
        .await;
        counts(code, async || {
            let request = head(uri);
            let check = admission.check(&request, PEER, Scope::Call);
            check.await.unwrap_err()
        })
        .await;
    }
    counts("origin", async || {
        let mut page = head("/ws");
        let origin = "https://evil.example".parse().unwrap();
        page.headers.insert("origin", origin);
        let admission = door(&config);
        admission.admit(&page, PEER).await.unwrap_err()
    })
    .await;
}

#[tokio::test]
async fn c5_who_only_asks_whether_there_is_room_is_not_counted() {
    let counters = Counters::default();
    let _counting = counters.here();
    let admission = door(&AdmissionConfig::default());
    admission.drain();
    assert_eq!(admission.ready().unwrap_err().code(), "draining");
    assert!(counters.all(REFUSED).is_empty());
}

#[test]
fn c5_of_failed_starts_those_for_lack_of_room_are_counted() {
    let provider = ProviderError::new(ProviderErrorKind::Quota, "no money");
    for (error, counted) in [
        (
            StartError::Room(RoomError::TooManyRooms(7)),
            Some("too_many_rooms"),
        ),
        (StartError::TooManySessions(7), Some("too_many_sessions")),
        (StartError::Closed, Some("closed")),
        (StartError::Room(RoomError::NotFound("lobby".into())), None),
        (StartError::Provider(provider), None),
    ] {
        let counters = Counters::default();
        let counting = counters.here();
        let _failure = StartFailure::from(&error).counted();
        drop(counting);
        let expected = counted.map(|code| (code.to_owned(), 1));
        assert_eq!(
            counters.all(REFUSED),
            expected.into_iter().collect(),
            "{error}"
        );
    }
}
