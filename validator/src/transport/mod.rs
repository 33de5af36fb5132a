//! Links between validators: TCP, TLS 1.3 with both keys pinned, framed messages. It carries and decides nothing.
//!
//! Of two validators the one with the lower key dials; it tries again for as long as it runs. Each end proves by TLS that it
//! holds its validator key: certificates are self-signed, only the key in them counts, and it has to be a member's: of the set
//! in force, of the one that comes after it, or of who may follow ([`tls`]). Then each end sends [`PREFACE`] and the enterprise chain id, and closes when the other's differ.
//!
//! A frame is its length (4 bytes, big-endian) and a [`Message`].
//!
//! # Limits
//! A frame has [`MESSAGE_BYTES_MAX`] bytes. What waits to be sent to one validator: [`WAITING_BYTES_MAX`], then its link is
//! closed and begins anew. A validator has one link: one that is replaced ends at once, also while its reader takes nothing. A
//! link on which nothing comes for [`SILENCE_MS`] is closed. Strangers in the handshake:
//! [`HANDSHAKES_MAX`], each for [`HANDSHAKE_MS`].

mod link;
pub mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::ids::{ChainId, PublicKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::engine::Handle;
use crate::replica::{MESSAGE_BYTES_MAX, Message};

pub use tls::{Tls, TlsError};

/// What each end says first, before the chain id.
pub const PREFACE: &[u8; 19] = b"distli-validator/1\n";
/// Bytes that may wait to be sent to one validator.
pub const WAITING_BYTES_MAX: usize = 96 << 20;
/// How long nothing may come, in ms.
pub const SILENCE_MS: u64 = 10_000;
/// How many may be in the handshake at once.
pub const HANDSHAKES_MAX: usize = 64;
/// How long a handshake may take, in ms.
pub const HANDSHAKE_MS: u64 = 5_000;
/// The pause after the first failed dial, in ms; it doubles.
const REDIAL_MS_MIN: u64 = 100;
/// The longest pause between dials, in ms.
const REDIAL_MS_MAX: u64 = 2_000;

type Frame = Arc<[u8]>;

/// The links that are up, to send over.
#[derive(Clone, Debug, Default)]
pub struct Links {
    links: Arc<Mutex<BTreeMap<PublicKey, Link>>>,
    generations: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Link {
    generation: u64,
    frames: mpsc::UnboundedSender<Frame>,
    waiting: Arc<AtomicUsize>,
    /// Ends the writing when this is dropped.
    _replaced: oneshot::Sender<Infallible>,
}

/// The end of a link that is written.
#[derive(Debug)]
struct Outgoing {
    generation: u64,
    frames: mpsc::UnboundedReceiver<Frame>,
    waiting: Arc<AtomicUsize>,
    replaced: oneshot::Receiver<Infallible>,
}

impl Links {
    /// Sends a message to a validator, if it is linked.
    pub fn send(&self, to: &PublicKey, message: &Message) {
        let mut links = self.lock();
        if let Some(link) = links.get(to)
            && !link.send(&frame(message))
        {
            // Its reader is too slow or gone: it begins anew, and is told what it missed.
            links.remove(to);
        }
    }

    /// Sends a message to all validators that are linked.
    pub fn broadcast(&self, message: &Message) {
        let mut links = self.lock();
        if links.is_empty() {
            return;
        }
        let frame = frame(message);
        links.retain(|_, link| link.send(&frame));
    }

    /// Ends the links to all but these.
    pub fn retain(&self, members: &BTreeSet<PublicKey>) {
        self.lock().retain(|key, _| members.contains(key));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PublicKey, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new link in; one that was there before ends.
    fn insert(&self, key: PublicKey) -> Outgoing {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let (sender, frames) = mpsc::unbounded_channel();
        let (alive, replaced) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let link = Link {
            generation,
            frames: sender,
            waiting: Arc::clone(&waiting),
            _replaced: alive,
        };
        self.lock().insert(key, link);
        Outgoing {
            generation,
            frames,
            waiting,
            replaced,
        }
    }

    /// Takes a link out; answers whether no other has taken its place.
    fn remove(&self, key: &PublicKey, generation: u64) -> bool {
        let mut links = self.lock();
        match links.get(key) {
            Some(link) if link.generation != generation => false,
            Some(_) => links.remove(key).is_some(),
            None => true,
        }
    }
}

impl Link {
    fn send(&self, frame: &Frame) -> bool {
        let waiting = self.waiting.fetch_add(frame.len(), Ordering::Relaxed);
        waiting < WAITING_BYTES_MAX && self.frames.send(Arc::clone(frame)).is_ok()
    }
}

fn frame(message: &Message) -> Frame {
    let bytes = message.encode();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &bytes].concat().into()
}

/// What the transport needs.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Proves keys.
    pub tls: Tls,
    /// The chain.
    pub chain: ChainId,
    /// This validator.
    pub key: PublicKey,
    /// The way to the engine.
    pub handle: Handle,
    /// The links.
    pub links: Links,
}

impl Transport {
    /// Accepts and dials until `ending` says so.
    pub async fn run(
        self,
        listener: TcpListener,
        peers: BTreeMap<PublicKey, String>,
        mut ending: watch::Receiver<bool>,
    ) {
        let mut tasks = JoinSet::new();
        for (key, address) in peers {
            if self.key < key {
                tasks.spawn(self.clone().keep_dialling(key, address));
            }
        }
        tasks.spawn(self.accept(listener));
        // A closed channel means that the validator itself is gone.
        let _ = ending.wait_for(|ending| *ending).await;
        tasks.shutdown().await;
    }

    async fn accept(self, listener: TcpListener) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, address) = match accepted {
                        Ok(accepted) => accepted,
                        Err(error) => {
                            tracing::warn!(%error, "a validator's connection is not accepted");
                            tokio::time::sleep(Duration::from_millis(REDIAL_MS_MIN)).await;
                            continue;
                        }
                    };
                    let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
                        continue;
                    };
                    links.spawn(self.clone().accepted(stream, address, permit));
                }
                Some(_) = links.join_next(), if !links.is_empty() => {}
            }
        }
    }

    async fn accepted(
        self,
        stream: TcpStream,
        address: SocketAddr,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) {
        let shaken = async {
            let stream = self.tls.accept(stream).await?;
            let key = tls::peer_key(stream.get_ref().1.peer_certificates())?;
            Ok::<_, TlsError>((key, stream))
        };
        let limit = Duration::from_millis(HANDSHAKE_MS);
        match tokio::time::timeout(limit, shaken).await {
            Ok(Ok((key, stream))) => {
                drop(permit);
                self.link(key, stream).await;
            }
            Ok(Err(error)) => tracing::warn!(%address, %error, "a stranger is refused"),
            Err(_) => tracing::warn!(%address, "a handshake took too long"),
        }
    }

    async fn keep_dialling(self, key: PublicKey, address: String) {
        let mut pause = REDIAL_MS_MIN;
        loop {
            let limit = Duration::from_millis(HANDSHAKE_MS);
            match tokio::time::timeout(limit, self.dial(key, &address)).await {
                Ok(Ok(stream)) => {
                    pause = REDIAL_MS_MIN;
                    self.link(key, stream).await;
                }
                Ok(Err(error)) => tracing::debug!(peer = %key, address, %error, "not reached"),
                Err(_) => tracing::debug!(peer = %key, address, "not reached in time"),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pause = pause.saturating_mul(2).min(REDIAL_MS_MAX);
        }
    }

    async fn dial(
        &self,
        key: PublicKey,
        address: &str,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, TlsError> {
        let stream = TcpStream::connect(address).await?;
        self.tls.connect(stream, key).await
    }

    /// Carries messages until the link breaks.
    async fn link<S>(&self, key: PublicKey, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
    {
        if let Err(error) = link::run(self, key, stream).await {
            tracing::info!(peer = %key, %error, "a link to a validator ended");
        }
    }
}
