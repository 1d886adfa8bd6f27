//! Queues that are empty most of the time.

use std::collections::VecDeque;

/// Takes what is at the front. What comes into a queue that is empty now goes where the last one was, which
/// the processor still has at hand; a ring as such goes on through all of its memory.
pub(super) fn take_front<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let front = queue.pop_front();
    if queue.is_empty() {
        queue.clear();
    }
    front
}
