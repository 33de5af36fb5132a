//! The backplane over NATS. It keeps trying while the server is away, drops what can't be sent then, and tells the hub when it is
//! back. Any order may be dropped while [`limits::CLUSTER_QUEUE_MAX`] wait; the hub repeats those that matter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use shared::ids::ChainId;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::{StreamExt as _, StreamMap};

use super::{Backplane, Message, Subject, TrackerId, decode, encode};
use crate::engine::Engine;
use crate::hub::Input;
use crate::limits;

/// Orders that are carried out before the subscriptions are looked at again.
const BATCH_MAX: usize = 64;
/// Messages of one subscription that wait to be read; beyond, NATS drops them.
const SUBSCRIPTION_MAX: usize = 1_024;
/// How long one message may take to be handed over.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The hub's end.
#[derive(Clone, Debug)]
pub(crate) struct Nats {
    own: TrackerId,
    orders: mpsc::Sender<Order>,
    standing: Arc<Standing>,
}

/// What both ends know of the server.
#[derive(Debug, Default)]
struct Standing {
    is_up: AtomicBool,
    dropped_full: AtomicU64,
    dropped_away: AtomicU64,
    dropped_failed: AtomicU64,
}

/// Orders that were not carried out since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// As many waited as may.
    pub(crate) queue_full: u64,
    /// The server was away.
    pub(crate) away: u64,
    /// The client refused it or took too long.
    pub(crate) failed: u64,
}

/// Why one was not.
#[derive(Debug)]
enum Lost {
    Away,
    Failed(String),
}

#[derive(Debug)]
enum Order {
    Publish(Subject, Vec<u8>),
    Follow(ChainId),
    Unfollow(ChainId),
}

impl Backplane for Nats {
    fn publish(&self, to: Subject, message: &Message) {
        self.order(Order::Publish(to, encode(self.own, message)));
    }

    fn follow(&self, chain_id: ChainId) {
        self.order(Order::Follow(chain_id));
    }

    fn unfollow(&self, chain_id: ChainId) {
        self.order(Order::Unfollow(chain_id));
    }
}

/// The task's end.
#[derive(Debug)]
pub(crate) struct NatsTask {
    own: TrackerId,
    orders: mpsc::Receiver<Order>,
    standing: Arc<Standing>,
}

impl Nats {
    pub(crate) fn new(own: TrackerId) -> (Self, NatsTask) {
        let (sender, orders) = mpsc::channel(limits::CLUSTER_QUEUE_MAX);
        let standing = Arc::new(Standing::default());
        let task = NatsTask {
            own,
            orders,
            standing: Arc::clone(&standing),
        };
        let nats = Self {
            own,
            orders: sender,
            standing,
        };
        (nats, task)
    }

    /// Whether the server is reached.
    pub(crate) fn is_up(&self) -> bool {
        self.standing.is_up.load(Ordering::Relaxed)
    }

    /// What was dropped since the start.
    pub(crate) fn dropped(&self) -> Dropped {
        Dropped {
            queue_full: self.standing.dropped_full.load(Ordering::Relaxed),
            away: self.standing.dropped_away.load(Ordering::Relaxed),
            failed: self.standing.dropped_failed.load(Ordering::Relaxed),
        }
    }

    fn order(&self, order: Order) {
        let counter = match self.orders.try_send(order) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => &self.standing.dropped_full,
            // The URL can't be used, or the tracker stops.
            Err(TrySendError::Closed(_)) => &self.standing.dropped_away,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::debug!("a message to other trackers is dropped");
    }
}

impl NatsTask {
    /// Carries messages until the hub's end is gone.
    ///
    /// # Errors
    /// The URL can't be used.
    pub(crate) async fn run(
        mut self,
        url: String,
        engine: Arc<Engine>,
    ) -> Result<(), async_nats::Error> {
        let (told, mut events) = mpsc::channel(16);
        let client = ConnectOptions::new()
            .name("distli-tracker")
            .no_echo()
            .retry_on_initial_connect()
            .subscription_capacity(SUBSCRIPTION_MAX)
            .max_reconnects(None)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(u64::try_from(attempts).unwrap_or(20).min(20) * 100)
            })
            .event_callback(move |event| {
                let told = told.clone();
                async move {
                    // The task may be ending.
                    let _ = told.send(event).await;
                }
            })
            .connect(url)
            .await?;
        let mut heard = Heard::default();
        for subject in [Subject::Networks, Subject::Tracker(self.own)] {
            let subscriber = client.subscribe(subject.name()).await?;
            heard.streams.insert(subject, subscriber);
        }
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                count = self.orders.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for order in batch.drain(..) {
                        let done = carry_out(&client, &mut heard, order).await;
                        done.unwrap_or_else(|lost| self.standing.count(&lost));
                    }
                }
                Some((subject, message)) = heard.streams.next() => hear(&engine, subject, &message.payload),
                Some(event) = events.recv() => self.on_event(&engine, &event),
            }
        }
    }

    fn on_event(&self, engine: &Engine, event: &Event) {
        tracing::info!(tracker = %self.own, %event, "the backplane");
        if matches!(event, Event::Connected) {
            self.standing.is_up.store(true, Ordering::Relaxed);
            engine.handle(Input::ClusterReached);
        } else if matches!(event, Event::Disconnected) {
            self.standing.is_up.store(false, Ordering::Relaxed);
        }
    }
}

/// What is subscribed to.
#[derive(Default)]
struct Heard {
    streams: StreamMap<Subject, Subscriber>,
    /// The networks among them: asked often, and the streams are looked through one by one.
    followed: BTreeSet<ChainId>,
}

impl Standing {
    fn count(&self, lost: &Lost) {
        let counter = match lost {
            Lost::Away => &self.dropped_away,
            Lost::Failed(reason) => {
                tracing::warn!(reason, "other trackers are not told");
                &self.dropped_failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

async fn carry_out(client: &Client, heard: &mut Heard, order: Order) -> Result<(), Lost> {
    let done = async {
        match order {
            // While the server is away nothing is kept for it: all is told anew when it is back.
            Order::Publish(..) if client.connection_state() != State::Connected => {
                return Err(Lost::Away);
            }
            Order::Publish(to, bytes) => client
                .publish(to.name(), bytes.into())
                .await
                .map_err(|error| Lost::Failed(error.to_string()))?,
            Order::Follow(chain_id) if heard.followed.contains(&chain_id) => {}
            Order::Follow(chain_id) => {
                let subject = Subject::Network(chain_id);
                let subscribed = client.subscribe(subject.name()).await;
                let subscriber = subscribed.map_err(|error| Lost::Failed(error.to_string()))?;
                heard.streams.insert(subject, subscriber);
                heard.followed.insert(chain_id);
            }
            Order::Unfollow(chain_id) => {
                if heard.followed.remove(&chain_id) {
                    heard.streams.remove(&Subject::Network(chain_id));
                }
            }
        }
        Ok(())
    };
    let done = tokio::time::timeout(SEND_TIMEOUT, done).await;
    done.unwrap_or_else(|_| Err(Lost::Failed("it took too long".into())))
}

/// Takes a message if it is what its subject is for.
fn hear(engine: &Engine, subject: Subject, bytes: &[u8]) {
    let (from, message) = match decode(bytes) {
        Ok(read) => read,
        Err(error) => return tracing::warn!(%error, "a message of another tracker is malformed"),
    };
    let is_right = match &message {
        Message::Network { .. } => matches!(subject, Subject::Networks | Subject::Tracker(_)),
        Message::Tracker { .. } | Message::Registry(_) => subject == Subject::Networks,
        Message::About(chain_id, _) => match subject {
            Subject::Network(network) => network == *chain_id,
            Subject::Tracker(_) => true,
            Subject::Networks => false,
        },
    };
    if is_right {
        engine.handle(Input::ClusterSaid { from, message });
    } else {
        tracing::warn!(tracker = %from, "a message of another tracker came under a wrong subject");
    }
}
