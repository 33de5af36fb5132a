//! The driver of the hub: one lock around the machine, and the queues of the connections.
//!
//! A connection's task calls [`Engine::handle`]; under the lock the machine decides and its orders are put into the
//! receivers' queues, so that every receiver sees one order of events. Nothing under the lock waits: a full queue
//! closes its connection, and what needs the disk or a chain goes to the ledger's own thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use api::ws::ErrorCode;
use api::{TenantBlock, TipReference};
use axum::extract::ws::Utf8Bytes;
use shared::ids::{ChainId, PeerId, TimestampMs};
use shared::private::RoomId;
use tokio::sync::{Notify, mpsc, watch};

use crate::backplane::Backplane;
use crate::edge::Creator;
use crate::hub::message::Wish;
use crate::hub::{Asked, ConnectionId, Hub, Input, Output, ResetOutcome, UpdateOutcome};
use crate::ledger::{self, MemberReport};
use crate::limits;
use crate::recorder::LedgerSender;
use crate::turns::{Turn, Turns};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Engine {
    state: Mutex<State>,
    ledger: LedgerSender,
    backplane: Option<Arc<dyn Backplane>>,
    /// What members of private rooms ask the enterprise chain.
    questions: mpsc::UnboundedSender<Asked>,
    next_connection: AtomicU64,
    wake: watch::Sender<Option<TimestampMs>>,
    /// Turns of those that may wait.
    turns: Turns,
}

#[derive(Debug)]
struct State {
    hub: Hub,
    queues: BTreeMap<ConnectionId, Arc<Gate>>,
}

/// The receiving end of one connection's queue.
#[derive(Debug)]
pub(crate) struct Orders {
    gate: Arc<Gate>,
}

/// One connection's queue; it holds no memory while nothing waits.
#[derive(Debug)]
struct Gate {
    creator: Creator,
    waiting: Mutex<Waiting>,
    /// Set once: the connection is to end for this reason, whatever waits.
    closing: OnceLock<&'static str>,
    /// Something waits, or the connection is to end.
    changed: Notify,
    /// Nothing is read from the client before this time, in ms.
    resume_at: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    texts: VecDeque<Utf8Bytes>,
    bytes: usize,
}

impl Engine {
    pub(crate) fn new(
        hub: Hub,
        ledger: LedgerSender,
        backplane: Option<Arc<dyn Backplane>>,
        questions: mpsc::UnboundedSender<Asked>,
    ) -> Self {
        let state = Mutex::new(State {
            hub,
            queues: BTreeMap::new(),
        });
        Self {
            state,
            ledger,
            backplane,
            questions,
            next_connection: AtomicU64::new(1),
            wake: watch::Sender::new(None),
            turns: Turns::new(),
        }
    }

    /// The turn of one that may wait, behind all that have something to do already.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        self.turns.next().await
    }

    /// Takes in a new connection.
    pub(crate) fn connect(
        &self,
        peer: PeerId,
        nonce: [u8; 32],
        host: Arc<str>,
        creator: Creator,
    ) -> (ConnectionId, Orders) {
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let gate = Arc::new(Gate::new(creator));
        let mut state = self.lock();
        state.queues.insert(connection, Arc::clone(&gate));
        self.step(
            &mut state,
            Input::Connected {
                connection,
                peer,
                nonce,
                host,
            },
        );
        (connection, Orders { gate })
    }

    /// Takes out a connection that ended.
    pub(crate) fn disconnect(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.queues.remove(&connection);
        self.step(&mut state, Input::Closed { connection });
    }

    /// Takes in one fact and performs what follows.
    pub(crate) fn handle(&self, input: Input) {
        self.step(&mut self.lock(), input);
    }

    /// Reads from the hub.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Hub) -> T) -> T {
        read(&self.lock().hub)
    }

    /// Asks every connection to close.
    pub(crate) fn close_all(&self, reason: &'static str) {
        for gate in self.lock().queues.values() {
            gate.close(reason);
        }
    }

    /// Tells every client when to come back.
    pub(crate) fn drain(&self) {
        self.handle(Input::Draining);
    }

    /// Wakes the hub when it asked for it; never returns.
    pub(crate) async fn run_timer(&self) {
        let mut wake = self.wake.subscribe();
        loop {
            let at = *wake.borrow_and_update();
            let pause = async {
                match at {
                    Some(at) => tokio::time::sleep(until(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = wake.changed() => if changed.is_err() { return },
                () = pause => {
                    // The hub asks anew while it handles this; forget what has passed first.
                    self.wake.send_replace(None);
                    wake.mark_unchanged();
                    self.handle(Input::Woken);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, state: &mut State, input: Input) {
        let now = TimestampMs(service::now_ms());
        state.hub.handle(now, input);
        while let Some(output) = state.hub.poll() {
            self.perform(state, now, output);
        }
    }

    fn perform(&self, state: &mut State, now: TimestampMs, output: Output) {
        match output {
            Output::Send { connections, text } => send(state, &connections, text),
            Output::Disconnect { connection, reason } => {
                if let Some(gate) = state.queues.get(&connection) {
                    gate.close(reason);
                }
            }
            Output::Pause { connection, until } => {
                if let Some(gate) = state.queues.get(&connection) {
                    gate.resume_at.store(until.0, Ordering::Relaxed);
                }
            }
            Output::GiveBack { connection } => {
                if let Some(gate) = state.queues.get(&connection) {
                    gate.creator.give_back();
                }
            }
            Output::Register { connection, wish } => self.register(state, now, connection, wish),
            Output::Check {
                connection,
                chain_id,
                blocks,
            } => {
                self.check(state, now, connection, chain_id, blocks);
            }
            Output::CheckReports { connection, report } => {
                self.check_reports(state, now, connection, report);
            }
            Output::CheckReset {
                connection,
                room,
                reset,
            } => self.check_reset(state, now, (connection, room), reset),
            // Nobody listens any more when the tracker stops.
            Output::Ask(asked) => drop(self.questions.send(asked)),
            Output::CheckBlock {
                connection,
                chain_id,
                block,
            } => {
                self.drop_if_busy(ledger::Input::BlockShown {
                    connection,
                    chain_id,
                    block,
                });
            }
            Output::CheckTransaction {
                connection,
                chain_id,
                transaction,
            } => {
                self.drop_if_busy(ledger::Input::TransactionShown {
                    connection,
                    chain_id,
                    transaction,
                });
            }
            Output::WakeAt { at } => {
                self.wake.send_replace(Some(at));
            }
            Output::Adopt { wish } => self.ledger.tell(ledger::Input::NetworkHeard { wish }),
            Output::Publish { to, message } => {
                self.to_others(|others| others.publish(to, &message));
            }
            Output::Follow { chain_id } => self.to_others(|others| others.follow(chain_id)),
            Output::Unfollow { chain_id } => self.to_others(|others| others.unfollow(chain_id)),
        }
    }

    fn register(&self, state: &mut State, now: TimestampMs, connection: ConnectionId, wish: Wish) {
        let input = ledger::Input::RegistrationAsked { connection, wish };
        if self.ledger.ask(input).is_err() {
            refuse_registration(state, now, connection);
        }
    }

    fn check_reports(
        &self,
        state: &mut State,
        now: TimestampMs,
        connection: ConnectionId,
        report: Box<MemberReport>,
    ) {
        let room = report.room;
        let input = ledger::Input::Reported { connection, report };
        if self.ledger.ask(input).is_err() {
            let refused = busy_with_reports(state, connection, room);
            state.hub.handle(now, refused);
        }
    }

    fn check_reset(
        &self,
        state: &mut State,
        now: TimestampMs,
        (connection, room): (ConnectionId, RoomId),
        reset: Vec<u8>,
    ) {
        let input = ledger::Input::ResetAsked {
            connection,
            room,
            reset,
        };
        if self.ledger.ask(input).is_err() {
            state.hub.handle(now, busy_with_reset(connection, room));
        }
    }

    fn check(
        &self,
        state: &mut State,
        now: TimestampMs,
        connection: ConnectionId,
        chain_id: ChainId,
        blocks: Vec<TenantBlock>,
    ) {
        let asker = ledger::Asker::Connection(connection);
        let network = ledger::NetworkName::Chain(chain_id);
        if self
            .ledger
            .ask(ledger::Input::BlocksReported {
                asker,
                network,
                blocks,
            })
            .is_err()
        {
            refuse_update(state, now, connection, chain_id);
        }
    }

    /// What is for other trackers; a tracker alone orders none of it.
    fn to_others(&self, tell: impl FnOnce(&dyn Backplane)) {
        if let Some(backplane) = &self.backplane {
            tell(&**backplane);
        }
    }

    /// Blocks and transactions for a room reach the peers by their own links too: losing one here loses nothing.
    fn drop_if_busy(&self, shown: ledger::Input) {
        if self.ledger.ask(shown).is_err() {
            tracing::debug!("the ledger is busy: a message for a room was dropped");
        }
    }
}

fn send(state: &State, connections: &[ConnectionId], text: String) {
    let text = Utf8Bytes::from(text);
    for gate in connections
        .iter()
        .filter_map(|connection| state.queues.get(connection))
    {
        gate.send(text.clone());
    }
}

fn refuse_registration(state: &mut State, now: TimestampMs, connection: ConnectionId) {
    let (code, reason) = (ErrorCode::Full, BUSY.to_owned());
    state.hub.handle(
        now,
        Input::RegistrationRefused {
            connection,
            code,
            reason,
            suggestion: None,
        },
    );
}

fn refuse_update(state: &mut State, now: TimestampMs, connection: ConnectionId, chain_id: ChainId) {
    let Some(network) = state.hub.network_of_chain(chain_id) else {
        return;
    };
    let none = TipReference {
        height: 0,
        hash: chain_id.to_string(),
    };
    let tip = network.tip.clone().unwrap_or(none);
    let outcome = UpdateOutcome::Refused(tip, BUSY.into());
    state.hub.handle(
        now,
        Input::UpdateChecked {
            connection,
            chain_id,
            outcome,
        },
    );
}

fn busy_with_reports(state: &State, connection: ConnectionId, room: RoomId) -> Input {
    let none = TipReference {
        height: 0,
        hash: room.0.to_string(),
    };
    let known = state.hub.reported(room);
    let tip = known.and_then(|network| network.tip.clone());
    Input::UpdateChecked {
        connection,
        chain_id: room.as_chain(),
        outcome: UpdateOutcome::Refused(tip.unwrap_or(none), BUSY.into()),
    }
}

fn busy_with_reset(connection: ConnectionId, room: RoomId) -> Input {
    Input::ResetChecked {
        connection: Some(connection),
        room,
        // Nobody has looked which one it is.
        number: 0,
        outcome: ResetOutcome::Refused(BUSY.into()),
    }
}

impl Gate {
    fn new(creator: Creator) -> Self {
        Self {
            creator,
            waiting: Mutex::default(),
            closing: OnceLock::new(),
            changed: Notify::new(),
            resume_at: AtomicU64::new(0),
        }
    }

    fn send(&self, text: Utf8Bytes) {
        let mut waiting = self.lock();
        let bytes = waiting.bytes.saturating_add(text.len());
        let is_full = waiting.texts.len() >= limits::QUEUE_MESSAGES_MAX;
        if is_full || bytes > limits::QUEUE_BYTES_MAX {
            drop(waiting);
            return self.close("too slow");
        }
        waiting.bytes = bytes;
        waiting.texts.push_back(text);
        drop(waiting);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Utf8Bytes> {
        let mut waiting = self.lock();
        let text = waiting.texts.pop_front()?;
        waiting.bytes = waiting.bytes.saturating_sub(text.len());
        if waiting.texts.is_empty() {
            waiting.texts = VecDeque::new();
        }
        Some(text)
    }

    fn close(&self, reason: &'static str) {
        // Only the first reason counts.
        let _ = self.closing.set(reason);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Orders {
    /// The next text to send, or why to close. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Utf8Bytes, &'static str> {
        loop {
            if let Some(reason) = self.gate.closing.get() {
                return Err(reason);
            }
            if let Some(text) = self.gate.take() {
                return Ok(text);
            }
            self.gate.changed.notified().await;
        }
    }

    /// The next text, if one waits.
    pub(crate) fn next_now(&mut self) -> Option<Utf8Bytes> {
        self.gate.take()
    }

    /// How long to read nothing from the client; zero nearly always.
    pub(crate) fn pause(&self) -> Duration {
        let resume_at = self.gate.resume_at.load(Ordering::Relaxed);
        if resume_at == 0 {
            Duration::ZERO
        } else {
            until(TimestampMs(resume_at))
        }
    }
}

fn until(at: TimestampMs) -> Duration {
    Duration::from_millis(at.since(TimestampMs(service::now_ms())))
}

/// Why connections are closed when the tracker stops.
pub(crate) const STOPPING: &str = "the tracker stops";
const BUSY: &str = "the tracker is busy; try again";
