//! One call: the client, its voice, and what each connection of the vendor heard of it.

use roomkit::{
    RealtimeSession,
    client_protocol::ServerMessage,
    error::UpdateError,
    mock::{MockClient, MockConnection},
    provider::{Role, SessionUpdate},
    transport::ClientCommand,
    voice::Updated,
};

use super::{
    House, Peer, QUESTION,
    house::ROOM,
    ms, soon,
    voice::{Voice, numbers},
};

pub(crate) struct Call {
    pub(crate) session: RealtimeSession,
    pub(crate) client: MockClient,
    pub(crate) voice: Voice,
    rate: u32,
}

impl Call {
    pub(super) async fn start(house: &House) -> Self {
        let connection = MockConnection::new();
        let client = connection.client();
        let start = house.voice.start_session(ROOM, "ann", connection);
        let session = soon("the session", start).await.unwrap();
        let rate = house.vendor.rate();
        let voice = Voice::start(client.clone(), rate);
        Self {
            session,
            client,
            voice,
            rate,
        }
    }

    /// Changes the session.
    pub(crate) async fn update(
        &self,
        house: &House,
        update: SessionUpdate,
    ) -> Result<Updated, UpdateError> {
        let change = house.voice.update_session(&self.session, update);
        soon("the change", change).await
    }

    /// A question and its answer, heard to the end.
    pub(crate) async fn turn(&self, house: &House, answer: &str) {
        house.fake.will_say(answer, 200);
        self.voice.say(ms(400)).await;
        self.hears(answer).await;
    }

    /// Waits for the final of these words of the AI.
    pub(crate) async fn hears(&self, words: &str) {
        let is_it = |message: &ServerMessage| {
            matches!(message, ServerMessage::Transcription { text, is_final: true, role, .. }
                if text == words && *role == Role::Assistant)
        };
        self.client.wait_for_message(is_it).await;
    }

    pub(crate) async fn is_reconnecting(&self) {
        self.client
            .wait_for_message(|message| *message == ServerMessage::Reconnecting)
            .await;
    }

    pub(crate) async fn is_reconnected(&self) {
        self.client
            .wait_for_message(|message| *message == ServerMessage::Reconnected)
            .await;
    }

    /// The finals it was shown, of the user or of the AI; but for empty ones, which take back what nobody
    /// heard.
    pub(crate) fn finals(&self, wanted: Role) -> Vec<String> {
        let messages = self.client.messages().into_iter();
        messages
            .filter_map(|message| match message {
                ServerMessage::Transcription {
                    text,
                    is_final: true,
                    role,
                    ..
                } if role == wanted && !text.is_empty() => Some(text),
                _ => None,
            })
            .collect()
    }

    /// So many utterances of the user were written down, each of them once.
    pub(crate) fn asked(&self, times: usize) {
        assert_eq!(self.finals(Role::User), vec![QUESTION; times]);
    }

    /// Waits until the vendor has sent its answer to the end, which is only beginning to be heard.
    pub(crate) async fn has_long_answer(&self, house: &House) {
        let peer = house.fake.peer(0).await;
        let end = house.vendor.end_of_answer();
        soon("the answer", peer.wait_for_sent(end, 1))
            .await
            .unwrap();
        self.client.wait_for_audio(self.played() + 19_200).await;
    }

    /// Bytes of audio it was sent.
    pub(crate) fn played(&self) -> usize {
        let frames = self.client.audio();
        frames.iter().fold(0, |sum, frame| sum + frame.len())
    }

    /// How often it was told to drop what it has of an answer.
    pub(crate) fn clears(&self) -> usize {
        let commands = self.client.commands();
        let clears = commands
            .iter()
            .filter(|command| **command == ClientCommand::Clear);
        clears.count()
    }

    /// What it was told of the connection, and of errors.
    pub(crate) fn notices(&self) -> Vec<String> {
        let messages = self.client.messages().into_iter();
        messages
            .filter_map(|message| match message {
                ServerMessage::Reconnecting => Some("reconnecting".to_owned()),
                ServerMessage::Reconnected => Some("reconnected".to_owned()),
                ServerMessage::Error { code, .. } => Some(format!("error {code}")),
                ServerMessage::SessionEnded { reason } => Some(format!("ended {reason}")),
                _ => None,
            })
            .collect()
    }

    /// The frames that a connection heard, without a gap and in order.
    pub(crate) fn heard_by(&self, peer: &Peer) -> Vec<u16> {
        let heard = numbers(&peer.audio(), self.rate);
        let gap = heard.windows(2).find(|pair| pair[1] != pair[0] + 1);
        assert_eq!(gap, None, "connection {} has a gap", peer.index());
        heard
    }

    /// Stops the voice, lets all of it arrive at the vendor, and gives what each connection heard;
    /// between them they heard everything. Connections that heard nothing are left out.
    pub(crate) async fn all_heard(&self, house: &House) -> Vec<Vec<u16>> {
        let frames = self.voice.stop();
        let peers = house.fake.peers();
        let last = peers.last().unwrap();
        let frame = u64::from(self.rate / 50 * 2);
        let mut bytes = frame;
        loop {
            soon("the rest of the voice", last.wait_for_audio(bytes))
                .await
                .unwrap();
            let heard = self.heard_by(last);
            if heard.last() == Some(&(frames - 1)) {
                break;
            }
            bytes = (heard.len() as u64 + 1) * frame;
        }
        let all: Vec<Vec<u16>> = peers.iter().map(|peer| self.heard_by(peer)).collect();
        let all: Vec<Vec<u16>> = all.into_iter().filter(|heard| !heard.is_empty()).collect();
        let mut next = 0;
        for heard in &all {
            let (first, last) = (heard[0], heard[heard.len() - 1]);
            assert!(
                first <= next,
                "frames {next} to {first} were lost: {}",
                ranges(&all)
            );
            next = next.max(last + 1);
        }
        assert_eq!(next, frames, "everything was heard: {}", ranges(&all));
        all
    }

    /// The call ends by itself because of the vendor, and with it the house.
    pub(crate) async fn ends_given_up(self, house: House, code: &str) {
        let reason = soon("the end of the call", self.client.wait_for_close()).await;
        assert_eq!(reason, "provider_error");
        let last = [format!("error {code}"), "ended provider_error".to_owned()];
        assert!(self.notices().ends_with(&last), "{:?}", self.notices());
        house.close().await;
    }

    /// Ends the call, and the house.
    pub(crate) async fn end(self, house: House) {
        self.finish(&house).await;
        house.close().await;
    }

    /// Ends the call, and the house, in which the vendor had something to object to.
    pub(crate) async fn end_refused(self, house: House) {
        self.finish(&house).await;
        assert_ne!(house.fake.violations(), []);
        house.close_refused().await;
    }

    async fn finish(&self, house: &House) {
        soon("the end", house.voice.end_session(&self.session)).await;
        assert_eq!(self.client.close_reasons(), ["host"]);
    }
}

fn ranges(all: &[Vec<u16>]) -> String {
    let range = |heard: &Vec<u16>| format!("{:?}..={:?}", heard.first(), heard.last());
    all.iter().map(range).collect::<Vec<_>>().join(", ")
}
