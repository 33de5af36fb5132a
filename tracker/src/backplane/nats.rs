//! The backplane over NATS. It keeps trying while the server is away, drops what can't be sent then, and tells the hub when it is
//! back. Any order may be dropped while [`limits::CLUSTER_QUEUE_MAX`] wait; the hub repeats those that matter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use shared::ids::ChainId;
use tokio::sync::mpsc;
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
    is_up: Arc<AtomicBool>,
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
    is_up: Arc<AtomicBool>,
}

impl Nats {
    pub(crate) fn new(own: TrackerId) -> (Self, NatsTask) {
        let (sender, orders) = mpsc::channel(limits::CLUSTER_QUEUE_MAX);
        let is_up = Arc::new(AtomicBool::new(false));
        let task = NatsTask {
            own,
            orders,
            is_up: Arc::clone(&is_up),
        };
        let nats = Self {
            own,
            orders: sender,
            is_up,
        };
        (nats, task)
    }

    /// Whether the server is reached.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            tracing::debug!("the backplane is slow: a message to other trackers is dropped");
        }
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
                        carry_out(&client, &mut heard, order).await;
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
            self.is_up.store(true, Ordering::Relaxed);
            engine.handle(Input::ClusterReached);
        } else if matches!(event, Event::Disconnected) {
            self.is_up.store(false, Ordering::Relaxed);
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

async fn carry_out(client: &Client, heard: &mut Heard, order: Order) {
    let done = async {
        match order {
            // While the server is away nothing is kept for it: all is told anew when it is back.
            Order::Publish(..) if client.connection_state() != State::Connected => {}
            Order::Publish(to, bytes) => client
                .publish(to.name(), bytes.into())
                .await
                .map_err(|error| error.to_string())?,
            Order::Follow(chain_id) if heard.followed.contains(&chain_id) => {}
            Order::Follow(chain_id) => {
                let subject = Subject::Network(chain_id);
                let subscribed = client.subscribe(subject.name()).await;
                let subscriber = subscribed.map_err(|error| error.to_string())?;
                heard.streams.insert(subject, subscriber);
                heard.followed.insert(chain_id);
            }
            Order::Unfollow(chain_id) => {
                if heard.followed.remove(&chain_id) {
                    heard.streams.remove(&Subject::Network(chain_id));
                }
            }
        }
        Ok::<(), String>(())
    };
    let done = tokio::time::timeout(SEND_TIMEOUT, done).await;
    let failure = match done {
        Ok(Ok(())) => return,
        Ok(Err(reason)) => reason,
        Err(_) => "it took too long".into(),
    };
    tracing::warn!(reason = failure, "other trackers are not told");
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
