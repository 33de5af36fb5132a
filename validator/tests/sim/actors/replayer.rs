//! Repeats whatever it said before, again and again, beside what it says.

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct Replayer {
    said: Vec<Message>,
    turn: usize,
}

const KEPT: usize = 256;

impl Actor for Replayer {
    fn send(&mut self, _: &Identity, _: ChainId, _: &PublicKey, message: Message) -> Vec<Message> {
        if self.said.len() < KEPT {
            self.said.push(message.clone());
        }
        self.turn = self.turn.wrapping_mul(31).wrapping_add(7);
        let one = self.said[self.turn % self.said.len()].clone();
        let two = self.said[(self.turn / 3) % self.said.len()].clone();
        vec![one, message, two]
    }
}
