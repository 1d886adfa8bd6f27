//! One connection through the proxy, as a test sees and steers it.

use std::sync::Arc;

use crate::watched::Watched;

/// The way a byte goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// How a connection is ended, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// RST: the next read or write fails.
    Reset,
    /// FIN: the stream ends as if the peer had closed it. What still arrives is swallowed.
    Finish,
}

/// What happens to the bytes of a stalled direction. Both sides believe that all is well: bytes are
/// taken in, and neither an end nor a reset is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// They are kept, and delivered when the direction is resumed.
    Hold,
    /// They are thrown away, so what comes after the stall begins anywhere.
    Swallow,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides closed it, or one of them reset it.
    Closed,
    /// The proxy was told to.
    Cut(Cut),
    /// The server could not be reached.
    Unreachable,
}

/// One connection through the proxy, open or ended. Clones refer to the same connection.
#[derive(Debug, Clone)]
pub struct ProxyConnection {
    state: Arc<Watched<ConnectionState>>,
}

#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    pub(super) flows: [Flow; 2],
    pub(super) cut: Option<Cut>,
    joined: bool,
    end: Option<End>,
}

/// One direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) stall: Option<Stall>,
    pub(super) bytes_per_second: Option<u64>,
    /// The connection is cut once this many bytes were passed on.
    pub(super) cut_at: Option<(u64, Cut)>,
    /// Bytes taken in.
    taken: u64,
    /// Bytes passed on.
    pub(super) passed: u64,
}

impl ProxyConnection {
    pub(super) fn new(rates: [Option<u64>; 2]) -> Self {
        let flow = |bytes_per_second| Flow {
            bytes_per_second,
            ..Flow::default()
        };
        Self {
            state: Arc::new(Watched::new(ConnectionState {
                flows: rates.map(flow),
                ..ConnectionState::default()
            })),
        }
    }

    /// Bytes passed on so far.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.flow(direction).passed
    }

    /// Bytes taken in so far; more than [`Self::bytes`] while stalled or throttled.
    pub fn bytes_taken(&self, direction: Direction) -> u64 {
        self.flow(direction).taken
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.state.read(|state| state.end)
    }

    /// Waits until the server was reached, so that both sides notice what happens from here on.
    /// Panics after a minute.
    pub async fn wait_for_server(&self) {
        let describe = |state: &ConnectionState| format!("{state:?}");
        let look = |state: &mut ConnectionState| state.joined.then_some(());
        self.state
            .expect("connection to the server", look, describe)
            .await;
    }

    /// Waits for the end of the connection. Panics after a minute.
    pub async fn wait_for_end(&self) -> End {
        let describe = |state: &ConnectionState| format!("{state:?}");
        self.state
            .expect("end of the connection", |state| state.end, describe)
            .await
    }

    /// Waits until this many bytes were passed on. Panics after a minute.
    pub async fn wait_for_bytes(&self, direction: Direction, bytes: u64) {
        let reached = move |flow: &Flow| flow.passed >= bytes;
        self.wait_for_flow(direction, bytes, reached).await;
    }

    /// Waits until this many bytes were taken in, stalled or not. Panics after a minute.
    pub async fn wait_for_bytes_taken(&self, direction: Direction, bytes: u64) {
        let reached = move |flow: &Flow| flow.taken >= bytes;
        self.wait_for_flow(direction, bytes, reached).await;
    }

    async fn wait_for_flow(
        &self,
        direction: Direction,
        bytes: u64,
        reached: impl Fn(&Flow) -> bool,
    ) {
        let what = format!("{bytes} bytes {direction:?}");
        let index = direction.index();
        let look = |state: &mut ConnectionState| reached(&state.flows[index]).then_some(());
        let describe = |state: &ConnectionState| format!("{state:?}");
        self.state.expect(&what, look, describe).await;
    }

    /// Ends the connection now.
    pub fn cut(&self, cut: Cut) {
        self.state.change(|state| state.cut = Some(cut));
    }

    /// Ends the connection after exactly this many more bytes in this direction, in the middle of
    /// a frame if that is where they end.
    pub fn cut_after(&self, direction: Direction, bytes: u64, cut: Cut) {
        self.change_flow(direction, |flow| {
            flow.cut_at = Some((flow.passed.saturating_add(bytes), cut));
        });
    }

    /// Stalls this direction.
    pub fn stall(&self, direction: Direction, stall: Stall) {
        self.change_flow(direction, |flow| flow.stall = Some(stall));
    }

    /// Lets this direction flow again.
    pub fn resume(&self, direction: Direction) {
        self.change_flow(direction, |flow| flow.stall = None);
    }

    /// Limits this direction to this many bytes a second; `None` lifts the limit.
    pub fn throttle(&self, direction: Direction, bytes_per_second: Option<u64>) {
        self.change_flow(direction, |flow| flow.bytes_per_second = bytes_per_second);
    }

    pub(super) fn flow(&self, direction: Direction) -> Flow {
        self.state.read(|state| state.flows[direction.index()])
    }

    pub(super) fn took(&self, direction: Direction, bytes: usize) {
        self.change_flow(direction, |flow| flow.taken += bytes as u64);
    }

    pub(super) fn passed(&self, direction: Direction, bytes: usize) {
        self.change_flow(direction, |flow| flow.passed += bytes as u64);
    }

    pub(super) fn joined(&self) {
        self.state.change(|state| state.joined = true);
    }

    /// The first of these counts.
    pub(super) fn ended(&self, end: End) {
        self.state.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// Waits until the proxy is told to cut.
    pub(super) async fn told_to_cut(&self) -> Cut {
        self.state.until(|state| state.cut).await
    }

    /// Waits until the direction is such that `look` finds something.
    pub(super) async fn until_flow<T>(
        &self,
        direction: Direction,
        look: impl Fn(&Flow) -> Option<T>,
    ) -> T {
        let index = direction.index();
        self.state.until(|state| look(&state.flows[index])).await
    }

    fn change_flow(&self, direction: Direction, change: impl FnOnce(&mut Flow)) {
        self.state
            .change(|state| change(&mut state.flows[direction.index()]));
    }
}
