//! Queues that are empty most of the time.

use std::collections::VecDeque;

/// First in, first out. What comes into an empty one is kept in the queue itself, beside what the processor
/// looks at anyway: memory of its own would be touched for nothing else, fifty times a second in each call.
#[derive(Debug)]
pub(super) struct Queue<T> {
    first: Option<T>,
    /// Empty if there is no first.
    rest: VecDeque<T>,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }

    pub(super) fn push_back(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    pub(super) fn push_front(&mut self, item: T) {
        if let Some(second) = self.first.replace(item) {
            self.rest.push_front(second);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let first = self.first.take();
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        first
    }

    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&T) -> bool) {
        self.rest.retain(&mut keeps);
        if self.first.as_ref().is_some_and(|first| !keeps(first)) {
            self.pop_front();
        }
    }

    /// Takes out the first one that is wanted.
    pub(super) fn take_first(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        if self.first.as_ref().is_some_and(&is_wanted) {
            return self.pop_front();
        }
        let place = self.rest.iter().position(is_wanted)?;
        self.rest.remove(place)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> IntoIterator for Queue<T> {
    type Item = T;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<T>, std::collections::vec_deque::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_a_ring_does() {
        let mut random = 7_u32;
        let (mut queue, mut ring) = (Queue::new(), VecDeque::new());
        for number in 0..10_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (random >> 16) % 12 {
                0..4 => {
                    queue.push_back(number);
                    ring.push_back(number);
                }
                4 => {
                    queue.push_front(number);
                    ring.push_front(number);
                }
                5..9 => assert_eq!(queue.pop_front(), ring.pop_front()),
                9 => {
                    let is_wanted = |it: &u32| it % 3 == number % 3;
                    let place = ring.iter().position(is_wanted);
                    let wanted = place.and_then(|place| ring.remove(place));
                    assert_eq!(queue.take_first(is_wanted), wanted);
                }
                10 if number % 16 == 0 => {
                    queue.retain(|it| it % 2 == 0);
                    ring.retain(|it| it % 2 == 0);
                }
                _ => assert_eq!(queue.front_mut(), ring.front_mut()),
            }
            assert_eq!(queue.front(), ring.front());
            assert_eq!(
                (queue.len(), queue.is_empty()),
                (ring.len(), ring.is_empty())
            );
            assert!(queue.iter().eq(&ring));
        }
        assert!(queue.into_iter().eq(ring));
    }
}
