//! Answers from the store to validators that ask.

use shared::enterprise::EnterpriseHeight;

use super::{ANSWER_BYTES, BLOCKS_MAX, KEYS_MAX, Message, SyncedBlock};
use crate::store::{BodyKey, ChunkKey, Storage, StoreError, anchored};

/// Decided blocks from a height on, as many as an answer holds; at least one, if there is one.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn blocks(store: &impl Storage, first: EnterpriseHeight) -> Result<Message, StoreError> {
    let last = store.tip()?.map_or(0, |tip| tip.height.0);
    let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
    for height in first.0..=last {
        if bytes > ANSWER_BYTES || blocks.len() >= usize::from(BLOCKS_MAX) {
            break;
        }
        let (block, certificate) = store.block(EnterpriseHeight(height))?;
        let mut bodies = Vec::new();
        for key in anchored(&block) {
            if bytes > ANSWER_BYTES {
                break;
            }
            let Some(body) = store.body(&key)? else {
                break;
            };
            bytes = bytes.saturating_add(body.len());
            bodies.push(body);
        }
        let (certificate, block) = (certificate.encode(), block.encode());
        bytes = bytes.saturating_add(block.len());
        blocks.push(SyncedBlock {
            certificate,
            block,
            bodies,
        });
    }
    Ok(Message::Blocks(blocks))
}

/// Tenant blocks, as many as an answer holds.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn bodies(store: &impl Storage, keys: &[BodyKey]) -> Result<Message, StoreError> {
    let (mut bodies, mut bytes) = (Vec::new(), 0_usize);
    for key in keys.iter().take(usize::from(KEYS_MAX)) {
        if bytes > ANSWER_BYTES {
            break;
        }
        if let Some(body) = store.body(key)? {
            bytes = bytes.saturating_add(body.len());
            bodies.push((key.0, body));
        }
    }
    Ok(Message::Bodies(bodies))
}

/// A chunk of a snapshot; without bytes if it is not there any more.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn chunk(
    store: &impl Storage,
    height: EnterpriseHeight,
    index: u32,
    key: ChunkKey,
) -> Result<Message, StoreError> {
    let bytes = store.chunk(key)?.unwrap_or_default();
    Ok(Message::Chunk {
        height,
        index,
        bytes,
    })
}
