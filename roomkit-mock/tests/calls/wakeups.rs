//! How often the task of a call is woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use roomkit_core::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit,
    transport::{AudioOffer, ClientLink, Connection, RealtimeAudioTransport, TransportError},
};
use roomkit_mock::{MockConnection, MockRealtimeProvider, MockRealtimeTransport};

use crate::support::{ROOM, VOICE, ms, pcm, settle, soon};

const FRAMES: usize = 100;

/// Counts how often the call has found that its client says nothing: whenever its task goes to sleep.
#[derive(Clone, Default)]
struct Sleeps(Arc<AtomicUsize>);

impl Sleeps {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counting {
    transport: MockRealtimeTransport,
    sleeps: Sleeps,
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
        let (mut events, sleeps) = (link.events, self.sleeps.clone());
        let events = stream::poll_fn(move |context| {
            let event = events.poll_next_unpin(context);
            if let Poll::Pending = event {
                sleeps.0.fetch_add(1, Ordering::Relaxed);
            }
            event
        });
        Ok(ClientLink {
            events: events.boxed(),
            ..link
        })
    }
}

/// A bare relay wakes up once for each frame.
#[tokio::test(start_paused = true)]
async fn a6_a_frame_wakes_the_call_as_seldom_as_a_bare_relay() {
    let (provider, sleeps) = (MockRealtimeProvider::new(), Sleeps::default());
    let transport = Counting {
        transport: MockRealtimeTransport::new(),
        sleeps: sleeps.clone(),
    };
    let voice =
        RealtimeVoiceChannel::builder(VOICE, Arc::new(provider.clone()), Arc::new(transport))
            .build()
            .unwrap();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room(ROOM).await.unwrap();
    kit.attach_channel(ROOM, VOICE).await.unwrap();
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
    // That the AI speaks is news the first time.
    a_frame_each_way().await;
    let before = sleeps.count();
    for _ in 0..FRAMES {
        a_frame_each_way().await;
    }
    let woken = sleeps.count() - before;
    assert_eq!(ai.sent_audio().len(), FRAMES + 1);
    assert_eq!(client.audio().len(), FRAMES + 1);
    assert_eq!(woken, 2 * FRAMES, "{FRAMES} frames each way");
}
