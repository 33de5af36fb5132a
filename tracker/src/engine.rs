//! The driver of the hub: one lock around the machine, and the way to the connections' queues ([`crate::queue`]).
//!
//! A connection's task calls [`Engine::handle`]; under the lock the machine decides and its orders are put into the
//! receivers' queues, so that every receiver sees one order of events. Nothing under the lock waits: a full queue
//! closes its connection, and what needs the disk or a chain goes to the ledger's own thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::ws::ErrorCode;
use api::{TenantBlock, TipReference};
use axum::extract::ws::Utf8Bytes;
use service::Room;
use shared::ids::{ChainId, PeerId, TimestampMs};
use shared::private::RoomId;
use tokio::sync::{mpsc, watch};

use crate::backplane::Backplane;
use crate::edge::Creator;
use crate::ending::Ending;
use crate::hub::message::Wish;
use crate::hub::{Asked, ConnectionId, Hub, Input, Output, ResetOutcome, UpdateOutcome};
use crate::inbox::Busy;
use crate::ledger::{self, MemberReport};
use crate::limits;
use crate::queue::{Gate, Orders, until};
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
    clients: BTreeMap<ConnectionId, Client>,
    /// What all queues share.
    room: Arc<Room>,
}

/// A connection as its task left it here.
#[derive(Debug)]
struct Client {
    gate: Arc<Gate>,
    creator: Creator,
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
            clients: BTreeMap::new(),
            room: Arc::new(Room::of(limits::QUEUES_BYTES_MAX)),
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
        let mut state = self.lock();
        let gate = Arc::new(Gate::new(Arc::clone(&state.room)));
        let client = Client {
            gate: Arc::clone(&gate),
            creator,
        };
        state.clients.insert(connection, client);
        self.step(
            &mut state,
            Input::Connected {
                connection,
                peer,
                nonce,
                host,
            },
        );
        (connection, Orders::of(gate))
    }

    /// Takes out a connection that ended.
    pub(crate) fn disconnect(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.clients.remove(&connection);
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
    pub(crate) fn close_all(&self, reason: Ending) {
        for client in self.lock().clients.values() {
            client.gate.close(reason);
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
        let now = TimestampMs(service::steady_ms());
        state.hub.handle(now, input);
        while let Some(output) = state.hub.poll() {
            self.perform(state, now, output);
        }
    }

    fn perform(&self, state: &mut State, now: TimestampMs, output: Output) {
        match output {
            Output::Send { connections, text } => send(state, &connections, text),
            Output::Disconnect { connection, reason } => {
                if let Some(client) = state.clients.get(&connection) {
                    client.gate.close(reason);
                }
            }
            Output::Pause { connection, until } => {
                if let Some(client) = state.clients.get(&connection) {
                    client.gate.resume_at(until);
                }
            }
            Output::GiveBack { connection } => {
                if let Some(client) = state.clients.get(&connection) {
                    client.creator.give_back();
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
                let input = ledger::Input::BlockShown {
                    connection,
                    chain_id,
                    block,
                };
                self.drop_if_busy(state, connection, input);
            }
            Output::CheckTransaction {
                connection,
                chain_id,
                transaction,
            } => {
                let input = ledger::Input::TransactionShown {
                    connection,
                    chain_id,
                    transaction,
                };
                self.drop_if_busy(state, connection, input);
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
        if self.ask(state, connection, input).is_err() {
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
        let client = state.clients.get(&connection);
        // A network that is not known here is one that its reporter's address registers.
        let is_new = report.genesis.is_some()
            && !report.reports.is_empty()
            && state.hub.reported(room).is_none();
        let charged = client.filter(|_| is_new).map(|client| &client.creator);
        let charged = charged.filter(|creator| creator.create().is_ok()).cloned();
        let input = ledger::Input::Reported {
            connection,
            report,
            may_register: charged.is_some(),
        };
        if self.ask(state, connection, input).is_err() {
            if let Some(creator) = charged {
                creator.give_back();
            }
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
        if self.ask(state, connection, input).is_err() {
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
        let input = ledger::Input::BlocksReported {
            asker: ledger::Asker::Connection(connection),
            network: ledger::NetworkName::Chain(chain_id),
            blocks,
        };
        if self.ask(state, connection, input).is_err() {
            refuse_update(state, now, connection, chain_id);
        }
    }

    /// Hands over to the ledger what a client asks.
    fn ask(
        &self,
        state: &State,
        connection: ConnectionId,
        input: ledger::Input,
    ) -> Result<(), Busy> {
        let client = state.clients.get(&connection).ok_or(Busy)?;
        self.ledger.ask(client.creator.source(), input)
    }

    /// What is for other trackers; a tracker alone orders none of it.
    fn to_others(&self, tell: impl FnOnce(&dyn Backplane)) {
        if let Some(backplane) = &self.backplane {
            tell(&**backplane);
        }
    }

    /// Blocks and transactions for a room reach the peers by their own links too: losing one here loses nothing.
    fn drop_if_busy(&self, state: &State, connection: ConnectionId, shown: ledger::Input) {
        if self.ask(state, connection, shown).is_err() {
            tracing::debug!("the ledger is busy: a message for a room was dropped");
        }
    }
}

fn send(state: &State, connections: &[ConnectionId], text: String) {
    let text = Utf8Bytes::from(text);
    for client in connections
        .iter()
        .filter_map(|connection| state.clients.get(connection))
    {
        client.gate.send(text.clone());
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

const BUSY: &str = "the tracker is busy; try again";
