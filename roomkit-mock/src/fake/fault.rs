//! Something that goes wrong at one point of a connection.

/// Something that goes wrong at one point `P` of a connection, once: the action `A`.
///
/// A fault strikes the first connection unless told otherwise, so a client that reconnects finds
/// a healthy server.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault<P, A> {
    pub(crate) point: P,
    pub(crate) action: A,
    pub(crate) connection: Option<usize>,
}

impl<P, A> Fault<P, A> {
    /// A fault on the first connection.
    pub fn new(point: P, action: A) -> Self {
        Self {
            point,
            action,
            connection: Some(0),
        }
    }

    /// Strikes the connection with this index, counted from 0, in place of the first.
    #[must_use]
    pub fn on_connection(mut self, index: usize) -> Self {
        self.connection = Some(index);
        self
    }

    /// Strikes every connection, once each.
    #[must_use]
    pub fn on_every_connection(mut self) -> Self {
        self.connection = None;
        self
    }
}

/// The faults one connection still has before it.
#[derive(Debug)]
pub(crate) struct Waiting<P, A>(Vec<Fault<P, A>>);

impl<P: Clone, A: Clone> Waiting<P, A> {
    pub(crate) fn for_connection(faults: &[Fault<P, A>], index: usize) -> Self {
        let own = |fault: &&Fault<P, A>| fault.connection.is_none_or(|wanted| wanted == index);
        Self(faults.iter().filter(own).cloned().collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The points that are still to come.
    pub(crate) fn points(&self) -> impl Iterator<Item = &P> {
        self.0.iter().map(|fault| &fault.point)
    }

    /// The actions of all faults whose point is `reached`, which strike now and never again.
    pub(crate) fn strike(&mut self, reached: impl Fn(&P) -> bool) -> Vec<A> {
        self.0
            .extract_if(.., |fault| reached(&fault.point))
            .map(|fault| fault.action)
            .collect()
    }
}
