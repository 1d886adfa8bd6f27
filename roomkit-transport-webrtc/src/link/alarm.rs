//! When the reading half wakes next. What the sending half does may be due before that.

use std::{
    future::pending,
    sync::{Mutex, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// A sleep that can be cut short.
#[derive(Default)]
pub(super) struct Alarm {
    at: Mutex<Option<Instant>>,
    earlier: Notify,
}

impl Alarm {
    /// Sleeps until then, if there is such a time, or until something is due before.
    pub(super) async fn sleep_until(&self, at: Option<Instant>) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
        let time = async {
            match at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            () = self.earlier.notified() => {}
        }
    }

    /// Something is due then.
    pub(super) fn at(&self, due: Instant) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.is_none_or(|at| due < at) {
            *at = Some(due);
            self.earlier.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn c3_what_is_due_first_is_not_slept_through() {
        let alarm = Alarm::default();
        let began = Instant::now();
        tokio::join!(alarm.sleep_until(None), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            alarm.at(began + Duration::from_secs(2));
        });
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn c3_what_is_due_earlier_is_not_slept_through() {
        let alarm = Alarm::default();
        let began = Instant::now();
        let far = began + Duration::from_secs(9);
        tokio::join!(alarm.sleep_until(Some(far)), async {
            alarm.at(far + Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
            alarm.at(began + Duration::from_secs(2));
        });
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        alarm.sleep_until(Some(far)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(9));
    }
}
