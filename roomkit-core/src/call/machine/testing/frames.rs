//! A call in which both sides speak all the time: what a frame of audio costs the machine.

use bytes::Bytes;

use super::{RATE, capabilities, ms, opening, settings, sound};
use crate::{
    call::{
        io::{Action, Input, Moment, Permissions},
        machine::Call,
    },
    id::{ItemId, ResponseId},
    provider::{ConnectionInfo, ProviderCommand, ProviderEvent},
    transport::ClientEvent,
};

pub(crate) struct Frames {
    call: Call,
    now: Moment,
    frame: Bytes,
    response: ResponseId,
    item: ItemId,
}

impl Frames {
    pub(crate) fn new() -> Self {
        let permissions = Permissions {
            microphone: true,
            voice: true,
        };
        let mut capabilities = capabilities();
        capabilities.pings = true;
        debug_assert_eq!(capabilities.input_rate, RATE);
        let mut frames = Self {
            call: Call::new(settings(), permissions, opening()),
            now: Moment::ZERO,
            frame: sound(ms(20)),
            response: "r1".into(),
            item: "item".into(),
        };
        let response_id = Some(frames.response.clone());
        frames.feed(Input::Connected(ConnectionInfo::new(capabilities)));
        frames.feed(Input::Provider(ProviderEvent::ResponseStarted {
            response_id,
        }));
        frames
    }

    /// How often the whole of the machine was looked at.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> usize {
        self.call.calm.looks
    }

    /// 20 ms: a frame goes each way, and what the machine wants is done.
    pub(crate) fn step(&mut self) {
        self.now += ms(20);
        let user = Input::Client(ClientEvent::Audio(self.frame.clone()));
        let ai = Input::Provider(ProviderEvent::Audio {
            response_id: Some(self.response.clone()),
            item_id: Some(self.item.clone()),
            content_index: 0,
            pcm: self.frame.clone(),
        });
        let mut pinged = false;
        for input in [user, ai, Input::Tick] {
            pinged |= self.feed(input);
        }
        if pinged {
            self.feed(Input::Provider(ProviderEvent::Pong));
        }
        self.call.next_wake(self.now);
    }

    /// True: the provider was sent a ping.
    fn feed(&mut self, input: Input) -> bool {
        self.call.handle(self.now, input);
        let mut pinged = false;
        while let Some(action) = self.call.poll() {
            pinged |= action == Action::ToProvider(ProviderCommand::Ping);
        }
        pinged
    }
}
