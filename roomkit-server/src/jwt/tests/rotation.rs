//! Keys that change, and places where they cannot be read.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, http::StatusCode, routing::get};
use futures_util::FutureExt;
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::RwLock,
    task::yield_now,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{auth::Tokens, minted::Minted};

fn token(signer: &Signer, kid: &str) -> String {
    signer.token(&json!({"alg": "ES256", "kid": kid}), &claims())
}

async fn admits(jwt: &Jwt, token: &str) -> bool {
    let admitted = jwt.admit(token, Purpose::Session, now()).await;
    admitted.is_ok()
}

/// Serves a JWK set, and counts who asks.
struct Site {
    address: String,
    answer: Arc<Mutex<(StatusCode, Vec<u8>)>>,
    asked: Arc<AtomicUsize>,
    /// While it is written to, nobody is answered.
    held: Arc<RwLock<()>>,
}

impl Site {
    async fn start(set: Vec<u8>) -> Self {
        let answer = Arc::new(Mutex::new((StatusCode::OK, set)));
        let asked = Arc::new(AtomicUsize::new(0));
        let held = Arc::<RwLock<()>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let (told, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        let holding = Arc::clone(&held);
        let show = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = told.lock().unwrap().clone();
            let holding = Arc::clone(&holding);
            async move {
                let _ = holding.read().await;
                answer
            }
        };
        let router = Router::new().route("/jwks.json", get(show));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            answer,
            asked,
            held,
        }
    }

    fn answers(&self, status: StatusCode, body: Vec<u8>) {
        *self.answer.lock().unwrap() = (status, body);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn x2_the_keys_of_an_address_change_and_strangers_do_not_have_them_asked_for_often() {
    let (old, new, stranger) = (Signer::es256(), Signer::es256(), Signer::es256());
    let site = Site::start(set(&[old.jwk("old")])).await;
    let jwt = Jwt::new(&config(&format!("jwks = '{}'", site.address))).unwrap();
    assert_eq!(site.asked(), 0, "checking a configuration contacts nobody");
    jwt.fetch().await.unwrap();
    assert!(admits(&jwt, &token(&old, "old")).await);
    assert_eq!(site.asked(), 1);

    site.answers(StatusCode::OK, set(&[old.jwk("old"), new.jwk("new")]));
    assert!(admits(&jwt, &token(&new, "new")).await, "at once");
    assert!(admits(&jwt, &token(&old, "old")).await);
    assert_eq!(site.asked(), 2);
    for _ in 0..50 {
        assert!(!admits(&jwt, &token(&stranger, "stranger")).await);
    }
    assert_eq!(site.asked(), 2, "not for each of them");

    site.answers(StatusCode::OK, set(&[new.jwk("new")]));
    jwt.fetch().await.unwrap();
    assert!(!admits(&jwt, &token(&old, "old")).await, "it was withdrawn");
    assert!(admits(&jwt, &token(&new, "new")).await);
}

#[tokio::test]
async fn x7_a_withdrawn_key_is_good_for_calls_that_run_and_an_expired_token_for_what_is_open() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let site = Site::start(set(&[old.jwk("old")])).await;
    let jwt = Jwt::new(&config(&format!("jwks = '{}'", site.address))).unwrap();
    jwt.fetch().await.unwrap();
    let header = json!({"alg": "ES256", "kid": "old"});
    let expired = old.token(&header, &with("exp", json!(NOW - 3600)));
    assert_eq!(read(&jwt, &expired), Err(Refused::Expired));
    assert!(jwt.still_takes(&expired));

    site.answers(StatusCode::OK, set(&[new.jwk("new")]));
    jwt.fetch().await.unwrap();
    let withdrawn = token(&old, "old");
    assert!(!jwt.still_takes(&expired) && !jwt.still_takes(&withdrawn));
    for purpose in [Purpose::Session, Purpose::Other] {
        let refused = jwt.read(&withdrawn, purpose, now());
        assert_eq!(refused, Err(Refused::UnknownKey));
    }
    let existing = |token: &str| jwt.read(token, Purpose::Existing, now());
    assert!(existing(&withdrawn).is_ok() && existing(&expired).is_ok());
    assert_eq!(existing(&token(&new, "old")), Err(Refused::UnknownKey));

    site.answers(StatusCode::OK, set(&[old.jwk("old")]));
    jwt.fetch().await.unwrap();
    assert!(admits(&jwt, &withdrawn).await, "it came back");
}

#[tokio::test]
async fn x2_who_hangs_up_neither_has_the_keys_asked_for_again_nor_keeps_them_from_others() {
    let (new, stranger) = (Signer::es256(), Signer::es256());
    let site = Site::start(set(&[new.jwk("new")])).await;
    let jwt = Jwt::new(&config(&format!("jwks = '{}'", site.address))).unwrap();
    let hold = site.held.write().await;
    let unknown = token(&stranger, "stranger");
    tokio::select! {
        _ = admits(&jwt, &unknown) => unreachable!("it waits for the keys"),
        () = async { while site.asked() == 0 { yield_now().await } } => {}
    }
    for _ in 0..50 {
        assert_eq!(admits(&jwt, &unknown).now_or_never(), None);
    }
    let new = token(&new, "new");
    let waiting = admits(&jwt, &new);
    drop(hold);
    assert!(waiting.await);
    assert!(!admits(&jwt, &unknown).await);
    assert_eq!(site.asked(), 1);
}

#[tokio::test]
async fn x7_keys_that_were_asked_for_before_a_reload_do_not_replace_those_it_read() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let (before, since) = (
        Site::start(set(&[old.jwk("old")])).await,
        Site::start(set(&[new.jwk("new")])).await,
    );
    let at = |site: &Site| Jwt::new(&config(&format!("jwks = '{}'", site.address))).unwrap();
    let (jwt, reloaded) = (at(&before), at(&since));
    let hold = before.held.write().await;
    let (refreshed, reread) = (jwt.clone(), jwt.clone());
    let refresh = tokio::spawn(async move { refreshed.fetch().await });
    while before.asked() == 0 {
        yield_now().await;
    }
    let reload = tokio::spawn(async move { reread.read_as(&reloaded).await });
    // Time enough to be answered, if it did not wait.
    for _ in 0..100_000 {
        if reload.is_finished() {
            break;
        }
        yield_now().await;
    }
    drop(hold);
    refresh.await.unwrap().unwrap();
    reload.await.unwrap();
    let withdrawn = read(&jwt, &token(&old, "old"));
    assert_eq!(withdrawn, Err(Refused::UnknownKey));
    assert!(read(&jwt, &token(&new, "new")).is_ok());
}

#[tokio::test]
async fn x7_what_a_key_has_opened_is_closed_when_its_issuer_withdraws_it() {
    let (old, new, stranger) = (Signer::es256(), Signer::es256(), Signer::es256());
    let site = Site::start(set(&[old.jwk("old"), new.jwk("new")])).await;
    let jwt = Jwt::new(&config(&format!("jwks = '{}'", site.address))).unwrap();
    jwt.fetch().await.unwrap();
    let tokens = Tokens::only_minted(Minted::with_drawn_key().unwrap());
    let doors = crate::keys::Keys::new(tokens.with_issuer(Some(jwt.clone())));
    let pass = |signer: &Signer, kid| doors.pass(&token(signer, kid), Scope::Watch);
    let (mut goes, mut stays) = (pass(&old, "old"), pass(&new, "new"));
    site.answers(StatusCode::OK, set(&[new.jwk("new")]));
    // A name that is not known has the keys read again.
    assert!(!admits(&jwt, &token(&stranger, "stranger")).await);
    let revoked = timeout(Duration::from_secs(30), goes.revoked()).await;
    assert!(revoked.is_ok(), "it stays open");
    assert_eq!(stays.revoked().now_or_never(), None);
}

#[tokio::test]
async fn x2_an_address_that_fails_leaves_the_keys_there_are() {
    let signer = Signer::es256();
    let site = Site::start(set(&[signer.jwk("a")])).await;
    let jwt = Jwt::new(&config(&format!("jwks = '{}'", site.address))).unwrap();
    jwt.fetch().await.unwrap();
    let large = vec![b' '; 300 * 1024];
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
        (StatusCode::FOUND, Vec::new()),
        (StatusCode::OK, b"<html>".to_vec()),
        (StatusCode::OK, br#"{"keys":[]}"#.to_vec()),
        (StatusCode::OK, large),
    ] {
        site.answers(status, body);
        let error = jwt.fetch().await.unwrap_err().to_string();
        assert!(error.starts_with("auth.jwt.jwks: "), "{error}");
        assert!(!error.contains(&site.address), "{error}");
        assert!(admits(&jwt, &token(&signer, "a")).await);
    }
}

/// Serves a JWK set over TLS; gives its port and its certificate.
async fn start_tls(set: Vec<u8>) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            // Who does not trust the certificate hangs up.
            let Ok(mut socket) = acceptor.accept(socket).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await.unwrap();
            let length = set.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&set).await.unwrap();
            let _ = socket.shutdown().await;
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn x2_keys_come_over_tls_from_whom_an_authority_vouches_for() {
    let signer = Signer::es256();
    let (port, certificate) = start_tls(set(&[signer.jwk("a")])).await;
    let path = std::env::temp_dir().join(format!("roomkit-jwks-{}.pem", std::process::id()));
    fs::write(&path, certificate).unwrap();
    let settings = format!("jwks = 'https://localhost:{port}/jwks.json'");
    let stranger = Jwt::new(&config(&settings)).unwrap();
    let error = stranger.fetch().await.unwrap_err().to_string();
    assert!(error.starts_with("auth.jwt.jwks: "), "{error}");
    assert!(!admits(&stranger, &token(&signer, "a")).await);

    let settings = format!("{settings}\nca_file = '{}'", path.display());
    let jwt = Jwt::new(&config(&settings)).unwrap();
    jwt.fetch().await.unwrap();
    assert!(admits(&jwt, &token(&signer, "a")).await);
    fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn x2_the_keys_of_a_file_change() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let path = std::env::temp_dir().join(format!("roomkit-jwks-{}.json", std::process::id()));
    fs::write(&path, set(&[old.jwk("old")])).unwrap();
    let jwt = Jwt::new(&config(&format!("jwks = '{}'", path.display()))).unwrap();
    assert!(admits(&jwt, &token(&old, "old")).await);
    fs::write(&path, set(&[new.jwk("new")])).unwrap();
    assert!(admits(&jwt, &token(&new, "new")).await);
    assert!(!admits(&jwt, &token(&old, "old")).await);
    fs::remove_file(&path).unwrap();
    assert!(jwt.fetch().await.is_err());
    assert!(admits(&jwt, &token(&new, "new")).await);
}

#[test]
fn x2_settings_that_would_let_in_nobody_or_anybody_are_refused() {
    for (settings, field) in [
        ("", "jwks"),
        ("jwks = 'http://issuer.example/jwks.json'", "jwks"),
        ("jwks = '/no/such/file.json'", "jwks"),
        ("secret_env = 'ROOMKIT_NO_SUCH_VARIABLE'", "secret_env"),
        // Set by cargo, and too short.
        ("secret_env = 'CARGO_PKG_NAME'", "secret_env"),
        (
            "jwks = 'https://a.example'\nca_file = '/no/such.pem'",
            "ca_file",
        ),
        ("jwks = '/a/file.json'\nca_file = '/a.pem'", "ca_file"),
        ("jwks = 'https://a.example'\nalgorithms = []", "algorithms"),
        ("jwks = 'https://a.example'\nleeway_s = 3600", "leeway_s"),
        ("jwks = 'https://a.example'\nrefresh_s = 1", "refresh_s"),
    ] {
        let error = Jwt::new(&config(settings)).unwrap_err().to_string();
        let expected = format!("auth.jwt.{field}: ");
        assert!(error.starts_with(&expected), "{settings}: {error}");
        assert!(!error.contains(env!("CARGO_PKG_NAME")), "{error}");
    }
    assert!(Jwt::new(&config("jwks = 'https://a.example/jwks.json'")).is_ok());
    // Set by cargo, and long enough.
    assert!(Jwt::new(&config("secret_env = 'CARGO_PKG_DESCRIPTION'")).is_ok());
    for unknown in [
        "algorithms = ['none']",
        "algorithms = ['HS512']",
        "jwsk = 'a'",
    ] {
        let text = format!("issuer = 'i'\naudience = 'a'\n{unknown}");
        assert!(toml::from_str::<JwtConfig>(&text).is_err(), "{unknown}");
    }
}
