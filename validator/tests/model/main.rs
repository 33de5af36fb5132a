//! A model of what keeps a validator from contradicting itself: the vote log, the store that lags behind it, cutting the
//! log, and abstaining after its loss (ADR 0105). Every interleaving of a few heights and crashes is visited.
//!
//! The rules that the code follows are switches here, and each is shown to be needed: without it the checker finds a
//! validator that published two votes of one height.

use std::collections::BTreeMap;

use stateright::{Checker as _, Model, Property};

/// Heights that are played.
const HEIGHTS: u8 = 3;
/// Crashes that are played.
const CRASHES: u8 = 2;

/// The rules.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// The log is durable before a vote is published.
    flushes_before_publishing: bool,
    /// The log is cut only when the store holds every decided height, and before anything of the next one is in it.
    cuts_behind_the_store: bool,
    /// A validator without its log signs nothing until a block is decided that is younger than its start.
    abstains_without_log: bool,
    /// The new log begins when the store holds that block.
    begins_behind_the_store: bool,
    /// A log of heights above the store's is used when these come.
    keeps_the_tail: bool,
}

const ALL: Rules = Rules {
    flushes_before_publishing: true,
    cuts_behind_the_store: true,
    abstains_without_log: true,
    begins_behind_the_store: true,
    keeps_the_tail: true,
};

/// One validator, and how far the others are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Heights below are decided here.
    height: u8,
    /// Heights below are decided by the others, who need no vote of this one.
    network: u8,
    /// Heights below are in the store.
    stored: u8,
    /// This validator's votes in memory, by height.
    votes: BTreeMap<u8, bool>,
    /// Votes in the log that are not durable.
    buffer: BTreeMap<u8, bool>,
    /// Votes in the log that are.
    log: BTreeMap<u8, bool>,
    /// Set while there is no log: the first height that the others had not decided at the start.
    abstains_below: Option<u8>,
    /// All that was ever told: by height, whether "yes" and "no" were.
    told: BTreeMap<u8, [bool; 2]>,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Vote(bool),
    Publish,
    OthersDecide,
    Decide,
    Store,
    Cut,
    BeginLog,
    /// What was not flushed is lost, or is not.
    Crash {
        keeps_buffer: bool,
    },
    CrashAndLoseTheLog,
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            height: 1,
            network: 1,
            stored: 1,
            votes: BTreeMap::new(),
            buffer: BTreeMap::new(),
            log: BTreeMap::new(),
            abstains_below: None,
            told: BTreeMap::new(),
            crashes: 0,
        }]
    }

    fn actions(&self, _state: &State, actions: &mut Vec<Action>) {
        use Action::{Crash, CrashAndLoseTheLog, Cut, Decide, OthersDecide, Publish, Store, Vote};
        actions.extend([
            Vote(false),
            Vote(true),
            Publish,
            OthersDecide,
            Decide,
            Store,
            Cut,
        ]);
        actions.extend([true, false].map(|keeps_buffer| Crash { keeps_buffer }));
        actions.extend([CrashAndLoseTheLog, Action::BeginLog]);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Vote(value) => {
                let is_free = state.abstains_below.is_none() && state.height <= HEIGHTS;
                if !is_free || state.votes.contains_key(&state.height) {
                    return None;
                }
                state.votes.insert(state.height, value);
                state.buffer.insert(state.height, value);
            }
            Action::Publish => {
                let value = *state.votes.get(&state.height)?;
                if self.flushes_before_publishing {
                    state.log.append(&mut state.buffer);
                }
                state.told.entry(state.height).or_default()[usize::from(value)] = true;
            }
            Action::OthersDecide if state.network <= HEIGHTS => state.network += 1,
            Action::Decide if state.height < state.network => state.height += 1,
            Action::BeginLog => {
                let is_younger = state.height > state.abstains_below?;
                let is_behind = state.stored == state.height;
                if !is_younger || (self.begins_behind_the_store && !is_behind) {
                    return None;
                }
                state.abstains_below = None;
            }
            Action::Store if state.stored < state.height => state.stored += 1,
            Action::Cut => {
                let is_behind = state.stored == state.height;
                let mut logged = state.log.keys().chain(state.buffer.keys());
                let is_fresh = !logged.any(|at| *at >= state.height);
                if self.cuts_behind_the_store && !(is_behind && is_fresh) {
                    return None;
                }
                state.log.clear();
                state.buffer.clear();
            }
            Action::Crash { keeps_buffer } if state.crashes < CRASHES => {
                if keeps_buffer {
                    state.log.append(&mut state.buffer);
                }
                state.restart(self.keeps_the_tail);
            }
            Action::CrashAndLoseTheLog if state.crashes < CRASHES => {
                state.log.clear();
                state.restart(self.keeps_the_tail);
                if self.abstains_without_log {
                    state.abstains_below = Some(state.network);
                }
            }
            Action::OthersDecide
            | Action::Decide
            | Action::Store
            | Action::Crash { .. }
            | Action::CrashAndLoseTheLog => return None,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two votes of one height", |_, state: &State| {
                state.told.values().all(|told| *told != [true, true])
            }),
            Property::sometimes("votes again after losing the log", |_, state: &State| {
                state.crashes > 0 && state.log.is_empty() && !state.buffer.is_empty()
            }),
        ]
    }
}

impl State {
    fn restart(&mut self, keeps_the_tail: bool) {
        self.crashes += 1;
        self.buffer.clear();
        self.abstains_below = self.abstains_below.map(|_| self.network);
        self.height = self.stored;
        let (height, log) = (self.height, self.log.clone());
        self.votes = log
            .into_iter()
            .filter(|(at, _)| *at == height || (keeps_the_tail && *at > height))
            .collect();
    }
}

#[test]
fn no_interleaving_makes_a_validator_contradict_itself() {
    let checker = ALL.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000);
}

#[test]
fn each_rule_is_needed() {
    let without = [
        Rules {
            flushes_before_publishing: false,
            ..ALL
        },
        Rules {
            cuts_behind_the_store: false,
            ..ALL
        },
        Rules {
            abstains_without_log: false,
            ..ALL
        },
        Rules {
            begins_behind_the_store: false,
            ..ALL
        },
        Rules {
            keeps_the_tail: false,
            ..ALL
        },
    ];
    for rules in without {
        let checker = rules.checker().spawn_bfs().join();
        let found = checker.discovery("no two votes of one height");
        assert!(found.is_some(), "{rules:?} changes nothing");
    }
}
