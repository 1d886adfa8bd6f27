//! How often the task of a call is woken, and who is asked then.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use roomkit_core::{
    RealtimeSession, RealtimeVoiceChannel,
    transport::{AudioOffer, ClientLink, Connection, RealtimeAudioTransport, TransportError},
};
use roomkit_mock::{MockConnection, MockRealtimeProvider, MockRealtimeTransport};

use crate::{
    spans::Traces,
    support::{ROOM, VOICE, lobby, ms, pcm, settle, soon},
};

const FRAMES: usize = 100;

/// Counts how often the call asks its client for something.
struct Counting {
    transport: MockRealtimeTransport,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl RealtimeAudioTransport for Counting {
    fn name(&self) -> &str {
        self.transport.name()
    }

    async fn accept(
        &self,
        session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let link = self.transport.accept(session, connection, offer).await?;
        let (mut events, asked) = (link.events, Arc::clone(&self.asked));
        let events = stream::poll_fn(move |context| {
            asked.fetch_add(1, Ordering::Relaxed);
            events.poll_next_unpin(context)
        });
        Ok(ClientLink {
            events: events.boxed(),
            ..link
        })
    }
}

/// A bare relay wakes up once for each frame, and asks both of its sockets then.
#[tokio::test(start_paused = true)]
async fn a6_a_frame_wakes_the_call_once_and_asks_its_own_link_alone() {
    let (traces, _listening) = Traces::listen();
    let (provider, asked) = (MockRealtimeProvider::new(), Arc::<AtomicUsize>::default());
    let transport = Counting {
        transport: MockRealtimeTransport::new(),
        asked: Arc::clone(&asked),
    };
    let voice =
        RealtimeVoiceChannel::builder(VOICE, Arc::new(provider.clone()), Arc::new(transport))
            .build()
            .unwrap();
    let _kit = lobby(&voice).await;
    let connection = MockConnection::new();
    let client = connection.client();
    let session = soon(voice.start_session(ROOM, "ann", connection)).await;
    let ai = provider.session(session.unwrap().id());
    ai.simulate_response_start(Some("answer"));

    let a_frame_each_way = async || {
        client.send_audio(pcm(ms(20)));
        settle().await;
        ai.simulate_item_audio("answer", pcm(ms(20)));
        tokio::time::sleep(ms(19)).await;
    };
    // The task of a call lives in the call's span, and enters it whenever it is woken.
    let counts = || (traces.roomkit()[0].entered, asked.load(Ordering::Relaxed));
    // That the AI speaks is news the first time.
    a_frame_each_way().await;
    let before = counts();
    for _ in 0..FRAMES {
        a_frame_each_way().await;
    }
    let (woken, asked) = counts();
    assert_eq!(ai.sent_audio().len(), FRAMES + 1);
    assert_eq!(client.audio().len(), FRAMES + 1);
    assert_eq!(woken - before.0, 2 * FRAMES, "{FRAMES} frames each way");
    // Once for its frame, and once to hear that there is no other.
    assert_eq!(
        asked - before.1,
        2 * FRAMES,
        "{FRAMES} frames of the client"
    );
}
