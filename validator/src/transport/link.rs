//! One link: the preface, then frames both ways.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared::hash::Hash;
use shared::ids::{ChainId, PublicKey};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter,
};
use tokio::sync::mpsc;

use super::{Frame, HANDSHAKE_MS, MESSAGE_BYTES_MAX, Outgoing, PREFACE, SILENCE_MS, Transport};
use crate::engine::{PeerEvent, Unavailable};
use crate::replica::{Message, WireError, submissions};

/// Updates up to this size are checked where they are: that takes less than handing them to another thread.
const INLINE_BYTES_MAX: usize = 4 << 10;

/// Why a link ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not a validator of this version")]
    Preface,
    #[error("it is a validator of the enterprise chain {found}, this one is of {expected}")]
    OtherChain { found: ChainId, expected: ChainId },
    #[error("nothing came for {SILENCE_MS} ms")]
    Silence,
    #[error("a message of {0} bytes; allowed are {MESSAGE_BYTES_MAX}")]
    TooLarge(u32),
    #[error("a message: {0}")]
    Message(#[from] WireError),
    #[error("an update: {0}")]
    Update(String),
    #[error("another link has taken its place, or it was too slow")]
    Replaced,
    #[error(transparent)]
    Engine(#[from] Unavailable),
}

/// Carries messages until an end breaks off.
pub(super) async fn run<S>(
    transport: &Transport,
    key: PublicKey,
    stream: S,
) -> Result<(), LinkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reader, writer) = tokio::io::split(stream);
    let (mut reader, mut writer) = (BufReader::new(reader), BufWriter::new(writer));
    let limit = Duration::from_millis(HANDSHAKE_MS);
    let greeted = tokio::time::timeout(limit, greet(transport.chain, &mut reader, &mut writer));
    greeted.await.map_err(|_| LinkError::Silence)??;
    let outgoing = transport.links.insert(key);
    let generation = outgoing.generation;
    tracing::info!(peer = %key, "a validator is linked");
    transport.handle.peer(PeerEvent::Linked(key)).await?;
    let ended = tokio::select! {
        ended = receive(transport, key, &mut reader) => ended,
        ended = send(outgoing, &mut writer) => ended,
    };
    if transport.links.remove(&key, generation) {
        transport.handle.peer(PeerEvent::Unlinked(key)).await?;
    }
    ended
}

async fn greet(
    chain: ChainId,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<(), LinkError> {
    writer.write_all(PREFACE).await?;
    writer.write_all(chain.0.as_bytes()).await?;
    writer.flush().await?;
    let mut preface = [0; PREFACE.len()];
    reader.read_exact(&mut preface).await?;
    if preface != *PREFACE {
        return Err(LinkError::Preface);
    }
    let mut found = [0; 32];
    reader.read_exact(&mut found).await?;
    let found = ChainId(Hash(found));
    if found == chain {
        Ok(())
    } else {
        let expected = chain;
        Err(LinkError::OtherChain { found, expected })
    }
}

/// Writes what is to be sent until the link is taken out, whatever its reader does.
async fn send(
    mut outgoing: Outgoing,
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<(), LinkError> {
    let (frames, waiting) = (&mut outgoing.frames, &outgoing.waiting);
    tokio::select! {
        // It carries nothing: it comes when the link is dropped.
        _ = &mut outgoing.replaced => Err(LinkError::Replaced),
        written = write(frames, waiting, writer) => written,
    }
}

async fn write(
    frames: &mut mpsc::UnboundedReceiver<Frame>,
    waiting: &AtomicUsize,
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<(), LinkError> {
    while let Some(first) = frames.recv().await {
        let mut next = Some(first);
        while let Some(frame) = next {
            writer.write_all(&frame).await?;
            waiting.fetch_sub(frame.len(), Ordering::Relaxed);
            next = frames.try_recv().ok();
        }
        writer.flush().await?;
    }
    Err(LinkError::Replaced)
}

async fn receive(
    transport: &Transport,
    key: PublicKey,
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<(), LinkError> {
    loop {
        let limit = Duration::from_millis(SILENCE_MS);
        let bytes = tokio::time::timeout(limit, read_frame(reader)).await;
        let bytes = bytes.map_err(|_| LinkError::Silence)??;
        let message = Message::decode(&bytes)?;
        let event = if let Message::Update { ticket, tenants } = message {
            let checked = if bytes.len() <= INLINE_BYTES_MAX {
                submissions(tenants)
            } else {
                let checked = tokio::task::spawn_blocking(move || submissions(tenants)).await;
                checked.map_err(io::Error::other)?
            };
            let submissions = checked.map_err(|error| LinkError::Update(error.to_string()))?;
            PeerEvent::Update {
                from: key,
                ticket,
                submissions,
            }
        } else {
            PeerEvent::Heard(key, message)
        };
        transport.handle.peer(event).await?;
    }
}

async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, LinkError> {
    let length = reader.read_u32().await?;
    if length > MESSAGE_BYTES_MAX {
        return Err(LinkError::TooLarge(length));
    }
    // Grows with what comes, not with what is announced.
    let mut bytes = Vec::new();
    reader.take(length.into()).read_to_end(&mut bytes).await?;
    if u32::try_from(bytes.len()) == Ok(length) {
        Ok(bytes)
    } else {
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::enterprise::EnterpriseHeight;

    use super::*;
    use crate::transport::{Links, WAITING_BYTES_MAX};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A link whose other end never reads, at work on its first frame.
    async fn stuck(links: &Links) -> tokio::task::JoinHandle<Result<(), LinkError>> {
        let outgoing = links.insert(KEY);
        let (near, far) = tokio::io::duplex(16);
        let writing = tokio::spawn(async move {
            let (_far, mut near) = (far, near);
            send(outgoing, &mut near).await
        });
        links.send(&KEY, &ASKS);
        tokio::task::yield_now().await;
        writing
    }

    #[tokio::test]
    async fn a_link_that_is_replaced_ends_though_its_reader_takes_nothing() {
        let links = Links::default();
        for _ in 0..10 {
            let first = stuck(&links).await;
            let second = stuck(&links).await;
            let ended = tokio::time::timeout(PATIENCE, first).await.unwrap();
            assert!(matches!(ended.unwrap(), Err(LinkError::Replaced)));
            assert!(!second.is_finished());
            links.retain(&std::collections::BTreeSet::new());
            let ended = tokio::time::timeout(PATIENCE, second).await.unwrap();
            assert!(matches!(ended.unwrap(), Err(LinkError::Replaced)));
        }
    }

    #[tokio::test]
    async fn a_link_ends_when_too_much_waits_for_its_reader() {
        let links = Links::default();
        let writing = stuck(&links).await;
        let waiting = Arc::clone(&links.lock().get(&KEY).unwrap().waiting);
        waiting.fetch_add(WAITING_BYTES_MAX, Ordering::Relaxed);
        links.broadcast(&ASKS);
        let ended = tokio::time::timeout(PATIENCE, writing).await.unwrap();
        assert!(matches!(ended.unwrap(), Err(LinkError::Replaced)));
    }

    const KEY: PublicKey = PublicKey([7; 32]);
    const ASKS: Message = Message::GetBlocks {
        from: EnterpriseHeight(1),
    };
}
