//! Which caller a datagram is for, when all of them share a port.
//!
//! A caller proves by ICE where it is: its binding requests name the credentials of its offer and
//! are signed with them. What comes from an address after that is its own. Nobody can take an
//! address from it without its password, and nothing is delivered from an address nobody has
//! proven.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use rtc::{
    crypto::RTCCryptoProvider,
    stun::{
        attributes::ATTR_USERNAME,
        integrity::MessageIntegrity,
        message::{Message, TransactionId, is_stun_message},
    },
};

use super::port::Port;

/// A caller's number in a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey(pub(super) u64);

/// From how many addresses a caller may come; the one that was proven first is forgotten first.
const MAX_ADDRESSES: usize = 16;

/// How many answers to our own requests a caller may owe us.
const MAX_TRANSACTIONS: usize = 64;

/// How many credentials of a caller are valid: those of before an ICE restart are for a while.
const MAX_CREDENTIALS: usize = 2;

/// Where a datagram came in and from whom.
pub(super) type Path = (usize, SocketAddr);

/// The table behind a hub's sockets.
pub(super) struct Routes {
    crypto: Arc<dyn RTCCryptoProvider>,
    peers: HashMap<PeerKey, Peer>,
    by_name: HashMap<String, PeerKey>,
    by_path: HashMap<Path, PeerKey>,
    by_transaction: HashMap<[u8; 12], PeerKey>,
}

#[derive(Default)]
struct Peer {
    /// By the number of the socket.
    ports: HashMap<usize, Arc<Port>>,
    credentials: VecDeque<Credentials>,
    paths: VecDeque<Path>,
    transactions: VecDeque<[u8; 12]>,
}

struct Credentials {
    name: String,
    password: String,
}

impl Routes {
    pub(super) fn new(crypto: Arc<dyn RTCCryptoProvider>) -> Self {
        Self {
            crypto,
            peers: HashMap::new(),
            by_name: HashMap::new(),
            by_path: HashMap::new(),
            by_transaction: HashMap::new(),
        }
    }

    pub(super) fn add_port(&mut self, key: PeerKey, socket: usize, port: Arc<Port>) {
        let peer = self.peers.entry(key).or_default();
        peer.ports.insert(socket, port);
    }

    /// From now on this caller may prove itself by these credentials of our answer.
    pub(super) fn add_credentials(&mut self, key: PeerKey, name: String, password: String) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        // Those of the answer to an offer that asked for no restart, or asked for it again.
        if peer.credentials.iter().any(|known| known.name == name) {
            return;
        }
        self.by_name.insert(name.clone(), key);
        peer.credentials.push_back(Credentials { name, password });
        if peer.credentials.len() > MAX_CREDENTIALS
            && let Some(old) = peer.credentials.pop_front()
        {
            self.by_name.remove(&old.name);
        }
    }

    pub(super) fn remove(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.remove(&key) else {
            return;
        };
        for credentials in peer.credentials {
            self.by_name.remove(&credentials.name);
        }
        for path in peer.paths {
            remove_if(&mut self.by_path, &path, key);
        }
        for transaction in peer.transactions {
            remove_if(&mut self.by_transaction, &transaction, key);
        }
    }

    /// How many entries there are, of all kinds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len() + self.by_name.len() + self.by_path.len() + self.by_transaction.len()
    }

    /// Looks at what a caller's end sends: the answer to a request comes back to who asked.
    pub(super) fn note_sent(&mut self, key: PeerKey, datagram: &[u8]) {
        let Some(Stun::Request(transaction)) = Stun::read(datagram) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        self.by_transaction.insert(transaction, key);
        peer.transactions.push_back(transaction);
        if peer.transactions.len() > MAX_TRANSACTIONS
            && let Some(old) = peer.transactions.pop_front()
        {
            remove_if(&mut self.by_transaction, &old, key);
        }
    }

    /// The caller's end that a datagram is for.
    pub(super) fn find(&mut self, path: Path, datagram: &[u8]) -> Option<Arc<Port>> {
        let key = match Stun::read(datagram) {
            Some(Stun::Request(_)) => self.asker(path, datagram)?,
            Some(Stun::Response(transaction)) => *self.by_transaction.get(&transaction)?,
            None => *self.by_path.get(&path)?,
        };
        self.peers.get(&key)?.ports.get(&path.0).cloned()
    }

    /// Who sent a binding request; where it comes from belongs to it from now on.
    fn asker(&mut self, path: Path, datagram: &[u8]) -> Option<PeerKey> {
        let mut request = Message::new();
        request.unmarshal_binary(datagram).ok()?;
        // RFC 8445, section 7.2.2: the name of who is asked, then that of who asks.
        let username = String::from_utf8(request.get(ATTR_USERNAME).ok()?).ok()?;
        let (name, _) = username.split_once(':')?;
        let key = *self.by_name.get(name)?;
        if self.by_path.get(&path) == Some(&key) {
            // The caller's own agent checks the signature of what it is given.
            return Some(key);
        }
        let peer = self.peers.get_mut(&key)?;
        let credentials = peer.credentials.iter().find(|known| known.name == name)?;
        let password = credentials.password.as_bytes();
        MessageIntegrity::check(&mut request, password, self.crypto.crypto()).ok()?;
        self.by_path.insert(path, key);
        peer.paths.push_back(path);
        if peer.paths.len() > MAX_ADDRESSES
            && let Some(old) = peer.paths.pop_front()
        {
            remove_if(&mut self.by_path, &old, key);
        }
        Some(key)
    }
}

/// Asks a table with one caller in it whom a datagram is for.
///
/// # Panics
///
/// When the same datagram finds somebody else the second time.
pub(crate) fn fuzz(from: SocketAddr, datagram: &[u8]) {
    let Ok(crypto) = rtc::crypto::default_provider() else {
        return;
    };
    let mut routes = Routes::new(crypto);
    let key = PeerKey(0);
    routes.add_port(key, 0, Port::unconnected(key));
    routes.add_credentials(key, "name".into(), "password".into());
    routes.note_sent(key, datagram);
    let found = routes.find((0, from), datagram);
    let again = routes.find((0, from), datagram);
    assert_eq!(found.is_some(), again.is_some(), "nothing was proven since");
}

/// Removes an entry unless it has become somebody else's.
fn remove_if<K: std::hash::Hash + Eq>(map: &mut HashMap<K, PeerKey>, entry: &K, key: PeerKey) {
    if map.get(entry) == Some(&key) {
        map.remove(entry);
    }
}

/// What can be told of a STUN message without decoding it.
#[derive(Debug, PartialEq, Eq)]
enum Stun {
    Request([u8; 12]),
    Response([u8; 12]),
}

impl Stun {
    /// None: something else, which includes indications, that nobody answers.
    fn read(datagram: &[u8]) -> Option<Self> {
        // RFC 7983: STUN begins with 0 to 3. RFC 8489, section 5: the bits of the class.
        const CLASS: u16 = 0x0110;
        const REQUEST: u16 = 0x0000;
        const INDICATION: u16 = 0x0010;

        if !is_stun_message(datagram) || datagram[0] > 3 {
            return None;
        }
        let class = u16::from_be_bytes([datagram[0], datagram[1]]) & CLASS;
        let transaction = TransactionId(datagram[8..20].try_into().ok()?).0;
        match class {
            REQUEST => Some(Self::Request(transaction)),
            INDICATION => None,
            _ => Some(Self::Response(transaction)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rtc::{
        crypto,
        stun::{
            attributes::ATTR_USERNAME,
            message::{BINDING_REQUEST, BINDING_SUCCESS, Setter},
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
        let crypto = crypto::default_provider().unwrap();
        let integrity = MessageIntegrity::new_short_term_integrity_with_provider(
            password.to_owned(),
            crypto.crypto(),
        );
        let username = format!("{}:them", name(caller));
        let setters: Vec<Box<dyn Setter + '_>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, username)),
            Box::new(integrity),
        ];
        let mut message = Message::new();
        message.build(&setters).unwrap();
        message.raw
    }

    fn found(routes: &mut Routes, from: SocketAddr, datagram: &[u8]) -> Option<u64> {
        let port = routes.find((SOCKET, from), datagram)?;
        Some(port.key().0)
    }

    const MEDIA: [u8; 20] = [0x80; 20];

    #[test]
    fn x2_an_address_is_a_callers_once_it_has_proven_it() {
        let mut routes = routes(2);
        assert_eq!(found(&mut routes, address(1), &MEDIA), None);
        let signed = request(0, &password(0));
        assert_eq!(found(&mut routes, address(1), &signed), Some(0));
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
        routes.note_sent(PeerKey(1), &asked);
        let mut answer = Message::new();
        let transaction: [u8; 12] = asked[8..20].try_into().unwrap();
        let setters: Vec<Box<dyn Setter>> = vec![
            Box::new(BINDING_SUCCESS),
            Box::new(TransactionId(transaction)),
        ];
        answer.build(&setters).unwrap();
        assert_eq!(found(&mut routes, address(9), &answer.raw), Some(1));
        routes.remove(PeerKey(1));
        assert_eq!(found(&mut routes, address(9), &answer.raw), None);
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
        for port in 1..1000 {
            let signed = request(0, &password(0));
            assert_eq!(found(&mut routes, address(port), &signed), Some(0));
            routes.note_sent(PeerKey(0), &request(0, "any"));
        }
        assert!(routes.len() <= 2 + MAX_ADDRESSES + MAX_TRANSACTIONS);
        routes.remove(PeerKey(0));
        assert_eq!(routes.len(), 0);
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
            routes.note_sent(PeerKey(0), &bytes);
        }
    }
}
