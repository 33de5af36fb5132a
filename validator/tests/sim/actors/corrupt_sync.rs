//! Claims to be far ahead, and answers requests with changed blocks, certificates and bodies.

use shared::enterprise::EnterpriseHeight;

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct CorruptSync {
    turn: usize,
}

impl Actor for CorruptSync {
    fn send(&mut self, _: &Identity, _: ChainId, _: &PublicKey, message: Message) -> Vec<Message> {
        self.turn += 1;
        match message {
            Message::Status { height, hash } => {
                let height = EnterpriseHeight(height.0 + 1_000);
                vec![Message::Status { height, hash }]
            }
            Message::Blocks(mut blocks) => {
                for synced in &mut blocks {
                    let spoiled = match self.turn % 3 {
                        0 => &mut synced.block,
                        1 => &mut synced.certificate,
                        _ => match synced.bodies.first_mut() {
                            Some(body) => body,
                            None => &mut synced.block,
                        },
                    };
                    let at = self.turn % spoiled.len().max(1);
                    if let Some(byte) = spoiled.get_mut(at) {
                        *byte ^= 1;
                    }
                }
                vec![Message::Blocks(blocks)]
            }
            Message::Bodies(mut bodies) => {
                for (_, body) in &mut bodies {
                    body.reverse();
                }
                vec![Message::Bodies(bodies)]
            }
            other => vec![other],
        }
    }
}
