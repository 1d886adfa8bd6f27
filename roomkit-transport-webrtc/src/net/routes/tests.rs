use rtc::{
    crypto,
    stun::{
        attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType, RawAttribute},
        message::{BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, MessageType, Setter},
        textattrs::TextAttribute,
    },
};

use super::*;

const SOCKET: usize = 0;

fn routes(callers: u64) -> Routes {
    let mut routes = Routes::new(crypto::default_provider().unwrap());
    for caller in 0..callers {
        let key = PeerKey(caller);
        routes.add_port(key, SOCKET, Port::unconnected(key));
        routes.add_credentials(key, name(caller), password(caller));
    }
    routes
}

fn name(caller: u64) -> String {
    format!("name{caller}")
}

fn password(caller: u64) -> String {
    format!("password-of-{caller}")
}

fn address(last: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], last))
}

fn request(caller: u64, password: &str) -> Vec<u8> {
    signed(caller, password, &[])
}

/// A request that says that its way is the one.
fn nomination(caller: u64) -> Vec<u8> {
    signed(caller, &password(caller), &[ATTR_USE_CANDIDATE])
}

fn signed(caller: u64, password: &str, flags: &[AttrType]) -> Vec<u8> {
    let crypto = crypto::default_provider().unwrap();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(
        password.to_owned(),
        crypto.crypto(),
    );
    let username = format!("{}:them", name(caller));
    let mut setters: Vec<Box<dyn Setter + '_>> = vec![
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId::new()),
        Box::new(TextAttribute::new(ATTR_USERNAME, username)),
    ];
    for flag in flags {
        setters.push(Box::new(RawAttribute {
            typ: *flag,
            ..RawAttribute::default()
        }));
    }
    setters.push(Box::new(integrity));
    let mut message = Message::new();
    message.build(&setters).unwrap();
    message.raw
}

fn found(routes: &mut Routes, from: SocketAddr, datagram: &[u8]) -> Option<u64> {
    let (port, _) = routes.find((SOCKET, from), datagram)?;
    Some(port.key().0)
}

fn answer(asked: &[u8]) -> Vec<u8> {
    answer_of(BINDING_SUCCESS, asked)
}

fn answer_of(kind: MessageType, asked: &[u8]) -> Vec<u8> {
    let mut answer = Message::new();
    let transaction: [u8; 12] = asked[8..20].try_into().unwrap();
    let setters: Vec<Box<dyn Setter>> = vec![Box::new(kind), Box::new(TransactionId(transaction))];
    answer.build(&setters).unwrap();
    answer.raw
}

const MEDIA: [u8; 20] = [0x80; 20];

#[test]
fn x2_an_address_is_a_callers_once_it_has_proven_it() {
    let mut routes = routes(2);
    assert_eq!(found(&mut routes, address(1), &MEDIA), None);
    let asks = request(0, &password(0));
    assert_eq!(found(&mut routes, address(1), &asks), Some(0));
    assert_eq!(found(&mut routes, address(1), &MEDIA), Some(0));
    assert_eq!(found(&mut routes, address(2), &MEDIA), None);
}

#[test]
fn x2_nobody_takes_an_address_by_a_name_alone() {
    let mut routes = routes(2);
    assert_eq!(
        found(&mut routes, address(1), &request(0, &password(0))),
        Some(0)
    );
    assert_eq!(found(&mut routes, address(1), &request(1, "guess")), None);
    assert_eq!(found(&mut routes, address(3), &request(1, "guess")), None);
    assert_eq!(found(&mut routes, address(1), &MEDIA), Some(0));
    // Behind a NAT that has given the port to another caller.
    assert_eq!(
        found(&mut routes, address(1), &request(1, &password(1))),
        Some(1)
    );
    assert_eq!(found(&mut routes, address(1), &MEDIA), Some(1));
    routes.remove(PeerKey(0));
    assert_eq!(found(&mut routes, address(1), &MEDIA), Some(1));
}

#[test]
fn c3_answers_find_who_asked() {
    let mut routes = routes(2);
    let asked = request(7, "theirs");
    routes.note_sent(PeerKey(1), (SOCKET, address(9)), &asked);
    let answer = answer(&asked);
    assert_eq!(found(&mut routes, address(9), &answer), Some(1));
    routes.remove(PeerKey(1));
    assert_eq!(found(&mut routes, address(9), &answer), None);
}

#[test]
fn c3_who_answers_a_check_has_proven_where_it_is() {
    let mut routes = routes(2);
    let check = request(7, "theirs");
    routes.note_sent(PeerKey(0), (SOCKET, address(1)), &check);
    // From elsewhere, to another request, or that it was not asked.
    let other = request(7, "theirs");
    for (from, wrong) in [
        (address(2), answer(&check)),
        (address(1), answer(&other)),
        (address(1), answer_of(BINDING_ERROR, &check)),
    ] {
        found(&mut routes, from, &wrong);
        for from in [address(1), address(2)] {
            assert_eq!(found(&mut routes, from, &MEDIA), None);
        }
    }
    assert_eq!(found(&mut routes, address(1), &answer(&check)), Some(0));
    assert_eq!(found(&mut routes, address(1), &MEDIA), Some(0));
    assert_eq!(found(&mut routes, address(2), &MEDIA), None);

    // By that nobody takes an address from another, who may have it back by its signature.
    let check = request(7, "theirs");
    routes.note_sent(PeerKey(1), (SOCKET, address(1)), &check);
    assert_eq!(found(&mut routes, address(1), &answer(&check)), Some(1));
    assert_eq!(found(&mut routes, address(1), &MEDIA), Some(0));
    let asks = request(1, &password(1));
    assert_eq!(found(&mut routes, address(1), &asks), Some(1));
    assert_eq!(found(&mut routes, address(1), &MEDIA), Some(1));
}

#[test]
fn x5_a_caller_that_answers_fills_no_table() {
    let mut routes = routes(1);
    for port in 1..1000 {
        let check = request(7, "theirs");
        routes.note_sent(PeerKey(0), (SOCKET, address(port)), &check);
        found(&mut routes, address(port), &answer(&check));
        let known = (port <= MAX_NEW_ADDRESSES).then_some(0);
        assert_eq!(found(&mut routes, address(port), &MEDIA), known);
    }
    assert!(routes.len() <= 2 + MAX_ADDRESSES + MAX_TRANSACTIONS);
    routes.remove(PeerKey(0));
    assert_eq!(routes.len(), 0);
}

#[test]
fn c4_a_caller_is_followed_where_it_nominates_and_answers() {
    let mut routes = routes(1);
    let key = PeerKey(0);
    let way = routes.way(key);
    let (first, second) = ((SOCKET, address(1)), (SOCKET, address(2)));
    assert_eq!(way.of_media(first), first);
    // Who says that it is at another's address is not followed there.
    assert_eq!(found(&mut routes, address(2), &nomination(0)), Some(0));
    assert_eq!(way.of_media(first), first);
    let check = request(7, "theirs");
    assert_eq!(routes.note_sent(key, second, &check), second);
    found(&mut routes, address(9), &answer(&check));
    assert_eq!(way.of_media(first), first);
    found(&mut routes, address(2), &answer(&check));
    assert_eq!(way.of_media(first), second);

    // By its agent's checks of the first it is known to be there.
    let check = request(7, "theirs");
    assert_eq!(routes.note_sent(key, first, &check), second);
    let (_, from) = routes.find(second, &answer(&check)).unwrap();
    assert_eq!(from, first.1);
    // Answers to its own checks go to where they came from.
    let answered = answer(&request(0, &password(0)));
    assert_eq!(routes.note_sent(key, first, &answered), first);

    // Only its newest credentials count, and a signature that is right.
    assert_eq!(found(&mut routes, address(1), &request(0, "guess")), None);
    routes.add_credentials(key, "again".into(), "secret".into());
    assert_eq!(way.of_media(first), first);
    assert_eq!(found(&mut routes, address(2), &nomination(0)), Some(0));
    assert_eq!(way.of_media(first), first);
}

#[test]
fn c4_a_caller_that_is_silent_on_its_way_is_followed_where_it_asks_from() {
    let mut routes = routes(1);
    let key = PeerKey(0);
    let way = routes.way(key);
    let (first, second) = ((SOCKET, address(1)), (SOCKET, address(2)));
    let asks = request(0, &password(0));
    let check = |routes: &mut Routes, path: Path, answers: bool| {
        let check = request(7, "theirs");
        let sent = routes.note_sent(key, path, &check);
        if answers {
            found(routes, sent.1, &answer(&check));
        }
    };
    assert_eq!(way.of_media(first), first);
    for path in [first, second] {
        check(&mut routes, path, true);
    }
    // Another way, and nothing to tell that it is better.
    for answers in [false, true, false] {
        check(&mut routes, first, answers);
        assert_eq!(found(&mut routes, address(2), &asks), Some(0));
    }
    assert_eq!(way.of_media(first), first);

    check(&mut routes, first, false);
    assert_eq!(found(&mut routes, address(2), &asks), Some(0));
    assert_eq!(way.of_media(first), second);
    // And back, if it was the wrong one.
    for _ in 0..2 {
        check(&mut routes, first, false);
    }
    assert_eq!(found(&mut routes, address(1), &asks), Some(0));
    assert_eq!(way.of_media(first), first);
}

#[test]
fn x2_nobody_is_sent_elsewhere_by_a_guess() {
    let mut routes = routes(1);
    let key = PeerKey(0);
    let way = routes.way(key);
    let (first, second) = ((SOCKET, address(1)), (SOCKET, address(2)));
    for path in [first, second] {
        let known = found(&mut routes, path.1, &request(0, &password(0)));
        assert_eq!(known, Some(0));
        let check = request(7, "theirs");
        routes.note_sent(key, path, &check);
        found(&mut routes, path.1, &answer(&check));
    }
    assert_eq!(way.of_media(first), first);
    let guess = signed(0, "guess", &[ATTR_USE_CANDIDATE]);
    assert_eq!(found(&mut routes, address(2), &guess), None);
    assert_eq!(way.of_media(first), first);
    assert_eq!(found(&mut routes, address(2), &nomination(0)), Some(0));
    assert_eq!(way.of_media(first), second);
}

#[test]
fn c4_the_same_credentials_again() {
    let mut routes = routes(1);
    for name in ["again", "again", "again", "last", "last", "again"] {
        routes.add_credentials(PeerKey(0), name.into(), format!("{name}'s password"));
    }
    for name in ["again", "last"] {
        assert!(routes.by_name.contains_key(name), "{name}");
    }
    routes.remove(PeerKey(0));
    assert_eq!(routes.len(), 0);
}

#[test]
fn c3_new_credentials_after_an_ice_restart() {
    let mut routes = routes(1);
    for round in 0..5 {
        let (name, password) = (format!("again{round}"), format!("secret{round}"));
        routes.add_credentials(PeerKey(0), name, password);
    }
    assert_eq!(
        found(&mut routes, address(1), &request(0, &password(0))),
        None
    );
    routes.remove(PeerKey(0));
    assert_eq!(routes.len(), 0);
}

#[test]
fn x5_a_caller_fills_no_table() {
    let mut routes = routes(1);
    let asks = request(0, &password(0));
    for port in 1..1000 {
        // The caller's agent, which keeps every address it is given, sees no more than these.
        let known = (port <= MAX_NEW_ADDRESSES).then_some(0);
        assert_eq!(found(&mut routes, address(port), &asks), known);
        let asked = request(0, "any");
        routes.note_sent(PeerKey(0), (SOCKET, address(port)), &asked);
        // The one that is in use is not forgotten for it.
        assert_eq!(found(&mut routes, address(1), &asks), Some(0));
    }
    assert!(routes.len() <= 2 + MAX_ADDRESSES + MAX_TRANSACTIONS);
    routes.remove(PeerKey(0));
    assert_eq!(routes.len(), 0);
}

#[test]
fn x5_new_credentials_may_come_from_new_addresses() {
    let mut routes = routes(1);
    let asks = request(0, &password(0));
    for port in 1..=MAX_NEW_ADDRESSES {
        found(&mut routes, address(port), &asks);
    }
    assert_eq!(found(&mut routes, address(1000), &asks), None);
    // Of an offer that asked for no restart: they are those there were.
    routes.add_credentials(PeerKey(0), name(0), password(0));
    assert_eq!(found(&mut routes, address(1000), &asks), None);
    routes.add_credentials(PeerKey(0), name(1), password(1));
    let asks = request(1, &password(1));
    assert_eq!(found(&mut routes, address(1000), &asks), Some(0));
}

proptest::proptest! {
    #[test]
    fn x5_whatever_bytes_come(bytes: Vec<u8>, cut in 0_usize..200, flip in 0_usize..200) {
        let mut routes = routes(1);
        assert_eq!(found(&mut routes, address(1), &bytes), None);
        // What is nearly right gets further.
        let mut nearly = request(0, &password(0));
        nearly.truncate(cut.max(20));
        let at = flip % nearly.len();
        nearly[at] ^= 0x55;
        found(&mut routes, address(2), &nearly);
        routes.note_sent(PeerKey(0), (SOCKET, address(2)), &bytes);
    }
}
