//! What happens in a run, drawn from its seed, and written as one line that repeats it.

use core::{fmt, str::FromStr};

use crate::{Kind, Random};

/// How many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 3 to 9 nodes, full mesh.
    Small,
    /// 10 to 20 nodes, a partial mesh.
    Medium,
    /// 50 nodes.
    Large,
}

macro_rules! scenario {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// A run's conditions. All numbers, so that a line of text repeats it and a shrinker can lessen it.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Scenario {
            $($(#[$doc])* pub $field: u64,)*
            /// Who else is there.
            pub actors: Vec<Kind>,
        }

        impl Scenario {
            /// Its numbers by name.
            pub(crate) fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),*]
            }

            /// Sets a number by its name.
            pub(crate) fn set(&mut self, name: &str, value: u64) {
                match name {
                    $(stringify!($field) => self.$field = value,)*
                    _ => {}
                }
            }
        }

        impl fmt::Display for Scenario {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(if self.$field != 0 {
                    write!(f, concat!(stringify!($field), "={} "), self.$field)?;
                })*
                let actors: Vec<&str> = self.actors.iter().map(|kind| kind.name()).collect();
                write!(f, "actors={}", actors.join("+"))
            }
        }

        impl FromStr for Scenario {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let mut scenario = Self::default();
                for pair in text.split_whitespace() {
                    let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair} is not key=value"))?;
                    match key {
                        $(stringify!($field) => {
                            scenario.$field = value.parse().map_err(|error| format!("{pair}: {error}"))?;
                        })*
                        "actors" => {
                            let names = value.split('+').filter(|name| !name.is_empty());
                            scenario.actors = names.map(Kind::from_str).collect::<Result<_, _>>()?;
                        }
                        _ => return Err(format!("{key} is no condition")),
                    }
                }
                Ok(scenario)
            }
        }
    };
}

scenario! {
    /// The seed of everything that the other fields don't fix.
    seed,
    /// Honest nodes.
    nodes,
    /// Target block interval, ms.
    interval_ms,
    /// Median one-way latency of a pair, ms.
    latency_ms,
    /// How much the pairs' latencies differ: sigma of their logarithm, per cent.
    spread,
    /// Up to so much longer, drawn for each chunk; a channel keeps its order all the same.
    jitter_ms,
    /// Bytes a party sends in a millisecond; 0 for no limit.
    uplink,
    /// Chance of a relayed frame to be lost, per mille.
    relay_loss,
    /// To arrive twice, per mille.
    relay_repetition,
    /// To be overtaken, per mille.
    relay_disorder,
    /// Pairs that never get a direct channel, per mille.
    no_direct,
    /// Data channels that break of themselves during the trouble.
    breaks,
    /// A broken channel is noticed within so many ms.
    notice_ms,
    /// Clocks are off by up to so much, ms.
    skew_ms,
    /// Transactions submitted by users.
    submissions,
    /// Crashes, each followed by a restart.
    crashes,
    /// Of the crashes in the middle of a write, so many per mille leave a part of it on the disk, a record cut short.
    torn,
    /// Crash of node 0 at its so manieth write, counted from one; 0 for none.
    crash_at_write,
    /// Partitions, each healed.
    partitions,
    /// Times the tracker is away.
    outages,
    /// Nodes that start only during the trouble.
    late,
    /// Blocks that all but the late nodes hold at the beginning. Everyone knows a final one near their end.
    history,
    /// 1 if all who mine do so always, 0 if most do it only while something is pending.
    mine_always,
    /// 1 if nodes 0 and 1 sign with one key.
    twins,
    /// Virtual time of trouble, ms; afterwards all is healed and everyone must agree.
    trouble_ms,
}

impl Scenario {
    /// Draws the conditions of a seed.
    #[must_use]
    pub fn draw(seed: u64, size: Size, actors: Vec<Kind>) -> Self {
        let mut random = Random::new(seed ^ 0x5ce0_a110);
        let nodes = match size {
            Size::Small => random.between(3, 9),
            Size::Medium => random.between(10, 20),
            Size::Large => 50,
        };
        let interval_ms = [2_000, 4_000, 10_000][random.index(3)];
        let has_liar = actors.contains(&Kind::LyingSnapshot);
        let intervals = if size == Size::Large { 15 } else { 30 };
        Self {
            seed,
            nodes,
            interval_ms,
            latency_ms: random.between(2, 80),
            spread: random.below(60),
            jitter_ms: random.between(0, 300),
            uplink: 0,
            relay_loss: random.below(60),
            relay_repetition: random.below(30),
            relay_disorder: random.below(30),
            no_direct: [0, 0, 300, 1_000][random.index(4)],
            breaks: random.below(8),
            notice_ms: random.between(50, 5_000),
            skew_ms: random.below(interval_ms / 2),
            submissions: random.between(5, 60),
            crashes: random.below(5),
            torn: [0, 500, 1_000][random.index(3)],
            crash_at_write: random.below(2) * random.between(1, 60),
            partitions: random.below(3),
            outages: random.below(3),
            // A lie about a snapshot needs somebody who wants one.
            late: random.below(1 + nodes / 4).max(u64::from(has_liar)),
            history: if has_liar { 300 } else { 0 },
            mine_always: 0,
            twins: u64::from(random.chance(200)),
            trouble_ms: interval_ms * intervals,
            actors,
        }
    }
}
