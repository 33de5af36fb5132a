//! Says everything of the agreement late: its votes come when their height or round is over.

use std::collections::VecDeque;

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct StaleVoter {
    held: VecDeque<Message>,
}

const HELD: usize = 24;

impl Actor for StaleVoter {
    fn send(&mut self, _: &Identity, _: ChainId, _: &PublicKey, message: Message) -> Vec<Message> {
        if !matches!(message, Message::Agreement(_)) {
            return vec![message];
        }
        self.held.push_back(message);
        if self.held.len() > HELD {
            self.held.pop_front().into_iter().collect()
        } else {
            Vec::new()
        }
    }
}
