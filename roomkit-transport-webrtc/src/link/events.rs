//! The receiving half, which also keeps the time of what is sent.

use std::{collections::VecDeque, future::pending, sync::Arc, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt};
use roomkit_core::{
    audio::{self, Allowance},
    client_protocol::{ClientMessage, MessageLimits},
    transport::{ClientEvent, DropReason},
};
use tokio::{sync::watch, time::Instant};
use webrtc::{
    data_channel::{DataChannel, DataChannelEvent},
    media_stream::track_remote::{TrackRemote, TrackRemoteEvent},
};

use super::{Link, report::report};
use crate::{
    audio::{Inbound, Piece, RtpIn},
    peer::{State, filled},
};

/// How long a caller that has agreed to have a data channel may take to open one itself.
const CHANNEL_TIME: Duration = Duration::from_secs(2);

/// What a caller says.
pub(crate) struct Events {
    link: Arc<Link>,
    inbound: Inbound,
    /// Of what the caller says, in Hz.
    rate: u32,
    allowance: Allowance,
    began: Instant,
    limits: MessageLimits,
    states: watch::Receiver<State>,
    tracks: watch::Receiver<Option<Arc<dyn TrackRemote>>>,
    channels: watch::Receiver<Option<Arc<dyn DataChannel>>>,
    track: Option<Arc<dyn TrackRemote>>,
    channel: Option<Arc<dyn DataChannel>>,
    /// What was said on it before; none until we ask.
    said_early: Option<VecDeque<DataChannelEvent>>,
    /// When we open a channel, if there is none by then.
    open_channel_at: Option<Instant>,
    ready: VecDeque<ClientEvent>,
    undecodable: u64,
}

/// What woke us.
enum Woken {
    State(State),
    Track(Arc<dyn TrackRemote>),
    Channel(Arc<dyn DataChannel>),
    Media(Option<TrackRemoteEvent>),
    Message(Option<DataChannelEvent>),
    Time,
}

impl Events {
    pub(crate) fn new(
        link: Arc<Link>,
        (inbound, rate): (Inbound, u32),
        limits: MessageLimits,
    ) -> Self {
        let now = Instant::now();
        let peer = &link.peer;
        // What it has become since it was last looked at counts as well.
        let mut states = peer.states();
        states.mark_changed();
        Self {
            states,
            tracks: peer.tracks(),
            channels: peer.channels(),
            inbound,
            rate,
            allowance: Allowance::new(),
            began: now,
            limits,
            track: None,
            channel: None,
            said_early: None,
            open_channel_at: peer.negotiated.has_data_channel.then(|| now + CHANNEL_TIME),
            ready: VecDeque::new(),
            undecodable: 0,
            link,
        }
    }

    /// As the engine takes it; ends when the caller is gone.
    pub(crate) fn stream(self) -> BoxStream<'static, ClientEvent> {
        let next = async |mut events: Self| Some((events.next().await?, events));
        stream::unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Option<ClientEvent> {
        if self.said_early.is_none() {
            self.said_early = Some(self.link.peer.said_early().await);
        }
        loop {
            // A flood of packets that come to nothing must not keep the task from its other work.
            tokio::task::consume_budget().await;
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let now = Instant::now();
            if let Some(piece) = self.inbound.poll(now) {
                let at = now - self.began;
                return Some(admitted(&mut self.allowance, piece, self.rate, at));
            }
            if let Some(event) = self.dropped() {
                return Some(event);
            }
            self.do_what_is_due(now).await?;
            let woken = self.woken().await;
            if let Some(violation) = self.link.peer.violation() {
                return Some(ClientEvent::Violation(violation.into()));
            }
            match woken {
                // The library ends its streams only with the connection.
                Woken::State(State::Leaving | State::Expelled | State::Closed)
                | Woken::Media(None)
                | Woken::Message(None) => return None,
                Woken::State(_) | Woken::Time => {}
                Woken::Track(track) => self.track = Some(track),
                Woken::Channel(channel) => {
                    self.link.messages.open(Arc::clone(&channel));
                    if let Some(ours) = self.channel.replace(channel) {
                        let _ = ours.close().await;
                    }
                    self.link.messages.send_waiting().await.ok()?;
                }
                Woken::Media(Some(event)) => self.media(event),
                Woken::Message(Some(DataChannelEvent::OnClose | DataChannelEvent::OnClosing)) => {
                    // A caller that hangs up says so here at once, and by silence only much later.
                    return None;
                }
                Woken::Message(Some(event)) => self.message(event),
            }
        }
    }

    /// Sends what has become due; none when the caller cannot be sent to any more.
    async fn do_what_is_due(&mut self, now: Instant) -> Option<()> {
        if self.link.speaks_at().is_some_and(|at| at <= now) {
            self.link.speak(|_, _| {}).await;
        }
        if self.link.messages.retry_at().is_some_and(|at| at <= now) {
            self.link.messages.send_waiting().await.ok()?;
        }
        if self.open_channel_at.is_some_and(|at| at <= now) {
            self.open_channel_at = None;
            if self.channel.is_none() {
                self.open_channel().await;
            }
        }
        Some(())
    }

    async fn open_channel(&mut self) {
        let peer = &self.link.peer;
        if peer.state() == State::Connected {
            peer.open_channel().await;
        } else {
            self.open_channel_at = Some(Instant::now() + CHANNEL_TIME);
        }
    }

    async fn woken(&mut self) -> Woken {
        let due = [
            self.inbound.next_wake(),
            self.link.speaks_at(),
            self.link.messages.retry_at(),
            self.open_channel_at,
        ];
        let wake_at = due.into_iter().flatten().min();
        tokio::select! {
            biased;
            state = changed(&mut self.states) => Woken::State(state),
            Some(channel) = another(&mut self.channels, self.channel.as_ref()) => {
                Woken::Channel(channel)
            }
            Some(track) = filled(&mut self.tracks), if self.track.is_none() => Woken::Track(track),
            event = next_message(self.channel.as_ref(), self.said_early.as_mut()) => Woken::Message(event),
            event = next_media(self.track.as_ref()) => Woken::Media(event),
            () = self.link.alarm.sleep_until(wake_at) => Woken::Time,
        }
    }

    fn media(&mut self, event: TrackRemoteEvent) {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else {
            return;
        };
        if packet.header.payload_type != self.link.peer.negotiated.payload_type {
            // Comfort noise, tones: nothing that was agreed on.
            let sequence = packet.header.sequence_number;
            self.inbound.leave_out(sequence, Instant::now());
            return;
        }
        let packet = RtpIn {
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            payload: packet.payload,
        };
        self.inbound.push(packet, Instant::now());
    }

    fn message(&mut self, event: DataChannelEvent) {
        let DataChannelEvent::OnMessage(message) = event else {
            return;
        };
        let Ok(text) = std::str::from_utf8(&message.data) else {
            self.ready
                .push_back(ClientEvent::Dropped(DropReason::Undecodable));
            return;
        };
        self.ready.extend(match self.limits.read(text) {
            Ok(ClientMessage::Event(event)) => Some(event),
            // Audio has a track of its own.
            Ok(ClientMessage::Audio(_)) => Some(ClientEvent::Dropped(DropReason::Undecodable)),
            Ok(_) => None,
            Err(reason) => Some(ClientEvent::Dropped(reason)),
        });
    }

    fn dropped(&mut self) -> Option<ClientEvent> {
        let undecodable = self.inbound.counts().undecodable;
        if self.undecodable == undecodable {
            return None;
        }
        self.undecodable += 1;
        Some(ClientEvent::Dropped(DropReason::Undecodable))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        report(self.inbound.counts(), self.link.spoken());
    }
}

/// What comes of a piece. Only what the caller sent counts as sent by him.
fn admitted(allowance: &mut Allowance, piece: Piece, rate: u32, at: Duration) -> ClientEvent {
    if piece.is_filling {
        ClientEvent::Filling(piece.pcm)
    } else if allowance.take(audio::duration_of(piece.pcm.len(), rate), at) {
        ClientEvent::Audio(piece.pcm)
    } else {
        ClientEvent::Dropped(DropReason::TooFast)
    }
}

async fn changed(states: &mut watch::Receiver<State>) -> State {
    match states.changed().await {
        Ok(()) => *states.borrow_and_update(),
        Err(_) => State::Closed,
    }
}

/// The channel that stands in the slot, once it is another than this.
async fn another(
    slot: &mut watch::Receiver<Option<Arc<dyn DataChannel>>>,
    channel: Option<&Arc<dyn DataChannel>>,
) -> Option<Arc<dyn DataChannel>> {
    let is_another =
        |found: &Arc<dyn DataChannel>| channel.is_none_or(|channel| !Arc::ptr_eq(found, channel));
    let filled = slot.wait_for(|slot| slot.as_ref().is_some_and(is_another));
    filled.await.ok()?.clone()
}

async fn next_media(track: Option<&Arc<dyn TrackRemote>>) -> Option<TrackRemoteEvent> {
    match track {
        Some(track) => track.poll().await,
        None => pending().await,
    }
}

async fn next_message(
    channel: Option<&Arc<dyn DataChannel>>,
    said_early: Option<&mut VecDeque<DataChannelEvent>>,
) -> Option<DataChannelEvent> {
    let Some(channel) = channel else {
        return pending().await;
    };
    match said_early.and_then(VecDeque::pop_front) {
        Some(event) => Some(event),
        None => channel.poll().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        audio::{Codec, First, Outbound},
        peer::tests::caller,
    };

    #[tokio::test]
    async fn s1_who_left_before_its_session_listens_is_known_to_have_left() {
        let peer = caller().await;
        assert!(peer.claim());
        peer.hang_up().await;
        let first = First {
            sequence: 1,
            timestamp: 1,
        };
        let outbound = Outbound::new(Codec::Opus, 24_000, 32_000, first, Instant::now());
        let link = Link::new(peer, outbound.unwrap());
        let inbound = Inbound::new(Codec::Opus, 24_000).unwrap();
        let limits = MessageLimits {
            max_message_bytes: 1_000,
            max_json_depth: 8,
        };
        let mut events = Events::new(link, (inbound, 24_000), limits);
        assert!(matches!(events.next().now_or_never(), Some(None)));
    }

    #[test]
    fn c5_the_silence_of_an_outage_is_not_taken_from_what_the_caller_may_send_after_it() {
        let mut allowance = Allowance::new();
        let mut events = Vec::new();
        let mut take = |is_filling, at| {
            let pcm = vec![0; 640].into();
            let piece = Piece { pcm, is_filling };
            events.push(admitted(&mut allowance, piece, 16_000, at));
        };
        for number in 0..150 {
            take(true, Duration::from_millis(20) * number);
        }
        // The three seconds that were held back, at once.
        for _ in 0..150 {
            take(false, Duration::from_secs(3));
        }
        let is_audio = |event: &&ClientEvent| matches!(event, ClientEvent::Audio(_));
        assert_eq!(events.iter().filter(is_audio).count(), 150);
    }
}
