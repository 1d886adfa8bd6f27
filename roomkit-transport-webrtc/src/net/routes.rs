//! Which caller a datagram is for, when all of them share a port.
//!
//! A caller proves by ICE where it is: its binding requests name the credentials of our answer and
//! are signed with them, or it answers ours from where they went. What comes from an address after
//! that is its own. Nobody can take an address from it without a password, and nothing is delivered
//! from an address nobody has proven.
//!
//! A caller that has moved is followed there (`way`) once it has also answered from there: what it
//! says of itself makes us send to nobody else.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use rtc::{
    crypto::RTCCryptoProvider,
    stun::{
        attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME},
        integrity::MessageIntegrity,
        message::{Message, TransactionId, is_stun_message},
    },
};

use super::{
    port::Port,
    way::{Path, Way},
};

/// A caller's number in a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey(pub(super) u64);

/// From how many addresses a caller may come; the one that is not used any more is forgotten first.
const MAX_ADDRESSES: usize = 16;

/// From how many new addresses a caller may come until it has new credentials: its agent forgets
/// none, and sends its own checks to each.
const MAX_NEW_ADDRESSES: u16 = 64;

/// How many answers to our own requests a caller may owe us.
const MAX_TRANSACTIONS: usize = 64;

/// How many credentials of a caller are valid: those of before an ICE restart are for a while.
const MAX_CREDENTIALS: usize = 2;

/// The table behind a hub's sockets.
pub(super) struct Routes {
    crypto: Arc<dyn RTCCryptoProvider>,
    peers: HashMap<PeerKey, Peer>,
    by_name: HashMap<String, PeerKey>,
    by_path: HashMap<Path, PeerKey>,
    by_transaction: HashMap<[u8; 12], Check>,
}

#[derive(Default)]
struct Peer {
    /// By the number of the socket.
    ports: HashMap<usize, Arc<Port>>,
    credentials: VecDeque<Credentials>,
    paths: VecDeque<Path>,
    /// How many of them have become known since the newest credentials.
    new_paths: u16,
    transactions: VecDeque<[u8; 12]>,
    way: Arc<Way>,
    /// Where checks were answered from.
    answering: VecDeque<Path>,
    /// To be followed once it is answered from there.
    wanted: Option<Path>,
}

/// A request of a caller's agent.
struct Check {
    key: PeerKey,
    /// Where the agent has sent it, and where it went.
    meant: Path,
    sent: Path,
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

    /// The way of a caller, which its ports need.
    pub(super) fn way(&mut self, key: PeerKey) -> Arc<Way> {
        Arc::clone(&self.peers.entry(key).or_default().way)
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
        peer.new_paths = 0;
        peer.wanted = None;
        peer.way.begin_anew();
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
            self.by_transaction.remove(&transaction);
        }
    }

    /// How many entries there are, of all kinds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len() + self.by_name.len() + self.by_path.len() + self.by_transaction.len()
    }

    /// Looks at what a caller's end sends: the answer to a request comes back to who asked. Gives
    /// where it goes.
    pub(super) fn note_sent(&mut self, key: PeerKey, meant: Path, datagram: &[u8]) -> Path {
        let Some(Stun::Request(transaction)) = Stun::read(datagram) else {
            return meant;
        };
        let Some(peer) = self.peers.get_mut(&key) else {
            return meant;
        };
        let sent = peer.way.of_check(meant);
        let check = Check { key, meant, sent };
        if self.by_transaction.insert(transaction, check).is_none() {
            peer.transactions.push_back(transaction);
        }
        if peer.transactions.len() > MAX_TRANSACTIONS
            && let Some(old) = peer.transactions.pop_front()
        {
            self.by_transaction.remove(&old);
        }
        sent
    }

    /// The caller's end that a datagram is for, and whom it is from for that.
    pub(super) fn find(&mut self, path: Path, datagram: &[u8]) -> Option<(Arc<Port>, SocketAddr)> {
        let (key, (socket, from)) = match Stun::read(datagram) {
            Some(Stun::Request(_)) => (self.asker(path, datagram)?, path),
            Some(Stun::Success(transaction)) => self.answered(path, transaction, true)?,
            Some(Stun::Error(transaction)) => self.answered(path, transaction, false)?,
            None => (*self.by_path.get(&path)?, path),
        };
        let port = self.peers.get(&key)?.ports.get(&socket)?;
        Some((Arc::clone(port), from))
    }

    /// Whose check is answered, and from where for that one's agent.
    fn answered(
        &mut self,
        path: Path,
        transaction: [u8; 12],
        is_success: bool,
    ) -> Option<(PeerKey, Path)> {
        let check = self.by_transaction.get(&transaction)?;
        if check.sent != path {
            return Some((check.key, path));
        }
        let (key, meant) = (check.key, check.meant);
        if is_success {
            self.prove(key, path);
            let peer = self.peers.get_mut(&key)?;
            move_to_back(&mut peer.answering, path);
            peer.way.is_answered(meant);
            if peer.wanted.take_if(|wanted| *wanted == path).is_some() {
                peer.way.follow(path);
            }
        }
        Some((key, meant))
    }

    /// A caller has answered from where it was asked, so it is there: a client that asks nothing itself
    /// (ICE lite) proves it by that alone. What another has proven is that one's all the same.
    fn prove(&mut self, key: PeerKey, path: Path) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        match self.by_path.get(&path) {
            Some(owner) if *owner != key => return,
            Some(_) => {}
            None if peer.new_paths == MAX_NEW_ADDRESSES => return,
            None => {
                peer.new_paths += 1;
                self.by_path.insert(path, key);
            }
        }
        if let Some(old) = move_to_back(&mut peer.paths, path) {
            remove_if(&mut self.by_path, &old, key);
        }
    }

    /// Who sent a binding request; where it comes from belongs to it from now on.
    fn asker(&mut self, path: Path, datagram: &[u8]) -> Option<PeerKey> {
        let mut request = Message::new();
        request.unmarshal_binary(datagram).ok()?;
        // RFC 8445, section 7.2.2: the name of who is asked, then that of who asks.
        let username = String::from_utf8(request.get(ATTR_USERNAME).ok()?).ok()?;
        let (name, _) = username.split_once(':')?;
        let key = *self.by_name.get(name)?;
        let peer = self.peers.get_mut(&key)?;
        let is_known = self.by_path.get(&path) == Some(&key);
        let newest = peer.credentials.back();
        let is_nominated = request.contains(ATTR_USE_CANDIDATE);
        let leads = newest.is_some_and(|newest| newest.name == name)
            && peer.way.leads_to(path, is_nominated);
        if is_known && !leads {
            // The caller's own agent checks the signature of what it is given.
            move_to_back(&mut peer.paths, path);
            return Some(key);
        }
        if !is_known && peer.new_paths == MAX_NEW_ADDRESSES {
            return None;
        }
        let credentials = peer.credentials.iter().find(|known| known.name == name)?;
        let password = credentials.password.as_bytes();
        MessageIntegrity::check(&mut request, password, self.crypto.crypto()).ok()?;
        peer.new_paths += u16::from(!is_known);
        self.by_path.insert(path, key);
        if let Some(old) = move_to_back(&mut peer.paths, path) {
            remove_if(&mut self.by_path, &old, key);
        }
        if leads {
            if peer.answering.contains(&path) {
                peer.way.follow(path);
            } else {
                peer.wanted = Some(path);
            }
        }
        Some(key)
    }
}

/// Keeps a path as the one used last. Gives the one that is forgotten for it.
fn move_to_back(paths: &mut VecDeque<Path>, path: Path) -> Option<Path> {
    if paths.back() == Some(&path) {
        return None;
    }
    paths.retain(|known| *known != path);
    paths.push_back(path);
    (paths.len() > MAX_ADDRESSES)
        .then(|| paths.pop_front())
        .flatten()
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
    routes.note_sent(key, (0, from), datagram);
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
pub(super) enum Stun {
    Request([u8; 12]),
    /// Of who was asked: it has looked at the request's credentials.
    Success([u8; 12]),
    /// Which anybody gives to a request that is not for it.
    Error([u8; 12]),
}

impl Stun {
    /// None: something else, which includes indications, that nobody answers.
    pub(super) fn read(datagram: &[u8]) -> Option<Self> {
        // RFC 7983: STUN begins with 0 to 3. RFC 8489, section 5: the bits of the class.
        const CLASS: u16 = 0x0110;
        const REQUEST: u16 = 0x0000;
        const INDICATION: u16 = 0x0010;
        const SUCCESS: u16 = 0x0100;

        if !is_stun_message(datagram) || datagram[0] > 3 {
            return None;
        }
        let class = u16::from_be_bytes([datagram[0], datagram[1]]) & CLASS;
        let transaction = TransactionId(datagram[8..20].try_into().ok()?).0;
        match class {
            REQUEST => Some(Self::Request(transaction)),
            INDICATION => None,
            SUCCESS => Some(Self::Success(transaction)),
            _ => Some(Self::Error(transaction)),
        }
    }
}

#[cfg(test)]
mod tests;
