//! Audio and marks of turns in a row.

use std::collections::VecDeque;

use crate::provider::ProviderCommand;

/// Commands in order, and how much audio is among them.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) commands: VecDeque<ProviderCommand>,
    /// Of audio.
    pub(super) bytes: usize,
}

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn push_back(&mut self, command: ProviderCommand) {
        self.bytes += length_of(&command) as usize;
        self.commands.push_back(command);
    }

    pub(super) fn push_front(&mut self, command: ProviderCommand) {
        self.bytes += length_of(&command) as usize;
        self.commands.push_front(command);
    }

    pub(super) fn pop_front(&mut self) -> Option<ProviderCommand> {
        let command = self.commands.pop_front()?;
        self.bytes -= length_of(&command) as usize;
        Some(command)
    }

    /// Forgets whole pieces of audio from the front as long as `needed` bytes stay; not past a
    /// mark, for what follows one is a turn that is not settled.
    pub(super) fn forget_to(&mut self, needed: usize) {
        while let Some(ProviderCommand::Audio(pcm)) = self.commands.front()
            && self.bytes - pcm.len() >= needed
        {
            self.pop_front();
        }
    }

    /// Forgets everything up to the end of the first manual turn, if it has one.
    pub(super) fn forget_turn(&mut self) {
        let is_end = |command: &ProviderCommand| *command == ProviderCommand::ActivityEnd;
        if let Some(end) = self.commands.iter().position(is_end) {
            for _ in 0..=end {
                self.pop_front();
            }
        }
    }

    /// Drops the oldest audio until no more than `limit` bytes are left; marks stay. Gives how
    /// many pieces were dropped.
    pub(super) fn shrink_to(&mut self, limit: usize) -> usize {
        let mut dropped = 0;
        while self.bytes > limit {
            let oldest = self.commands.iter().position(|c| length_of(c) > 0);
            let Some(command) = oldest.and_then(|place| self.commands.remove(place)) else {
                break;
            };
            self.bytes -= length_of(&command) as usize;
            dropped += 1;
        }
        dropped
    }
}

/// Bytes of audio in a command; marks have none.
pub(super) fn length_of(command: &ProviderCommand) -> u64 {
    match command {
        ProviderCommand::Audio(pcm) => pcm.len() as u64,
        _ => 0,
    }
}
