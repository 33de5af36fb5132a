//! Links between parties and what becomes of a message on its way.

use std::collections::BTreeMap;

use crate::{Random, Scenario};

/// Index of a party: honest nodes first, hostile ones after them.
pub(crate) type Party = usize;

/// Which links there are. A link has a generation, so that a message of an earlier one is not delivered.
#[derive(Debug, Default)]
pub(crate) struct Network {
    links: BTreeMap<(Party, Party), Link>,
    /// The side of the partition each party is on, while there is one.
    sides: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Link {
    is_up: bool,
    generation: u64,
}

impl Network {
    /// Who is to be linked: everyone with everyone, or a ring with random chords.
    pub(crate) fn topology(
        random: &mut Random,
        nodes: usize,
        degree: usize,
    ) -> Vec<(Party, Party)> {
        let mut pairs: Vec<(Party, Party)> = (0..nodes)
            .flat_map(|a| (a + 1..nodes).map(move |b| (a, b)))
            .collect();
        if degree >= nodes {
            return pairs;
        }
        pairs.retain(|(a, b)| b - a == 1 || (*a == 0 && *b == nodes - 1));
        while pairs.len() < nodes * degree / 2 {
            let (a, b) = (random.index(nodes), random.index(nodes));
            let pair = (a.min(b), a.max(b));
            if a != b && !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
        pairs
    }

    pub(crate) fn is_up(&self, a: Party, b: Party) -> bool {
        self.links.get(&key(a, b)).is_some_and(|link| link.is_up)
    }

    pub(crate) fn generation(&self, a: Party, b: Party) -> u64 {
        self.links.get(&key(a, b)).map_or(0, |link| link.generation)
    }

    /// Puts a link up or down; true if it was otherwise before.
    pub(crate) fn set(&mut self, a: Party, b: Party, is_up: bool) -> bool {
        let link = self.links.entry(key(a, b)).or_default();
        let changes = link.is_up != is_up;
        link.is_up = is_up;
        link.generation += u64::from(changes);
        changes
    }

    /// The parties linked to this one.
    pub(crate) fn linked(&self, party: Party) -> Vec<Party> {
        let of =
            |((a, b), link): (&(Party, Party), &Link)| match (link.is_up, *a == party, *b == party)
            {
                (true, true, _) => Some(*b),
                (true, _, true) => Some(*a),
                _ => None,
            };
        self.links.iter().filter_map(of).collect()
    }

    pub(crate) fn part(&mut self, sides: Vec<u8>) {
        self.sides = Some(sides);
    }

    pub(crate) fn heal(&mut self) {
        self.sides = None;
    }

    /// True if a partition lies between the two.
    pub(crate) fn are_parted(&self, a: Party, b: Party) -> bool {
        self.sides
            .as_ref()
            .is_some_and(|sides| sides.get(a) != sides.get(b))
    }

    /// After how long copies of a message arrive: none if it is lost, two if it is repeated.
    pub(crate) fn arrivals(
        &self,
        random: &mut Random,
        scenario: &Scenario,
        from: Party,
        to: Party,
    ) -> Vec<u64> {
        if self.are_parted(from, to) || random.chance(scenario.loss) {
            return Vec::new();
        }
        let copies = if random.chance(scenario.repetition) {
            2
        } else {
            1
        };
        (0..copies)
            .map(|_| scenario.latency_ms + random.below(scenario.jitter_ms + 1))
            .collect()
    }
}

const fn key(a: Party, b: Party) -> (Party, Party) {
    if a < b { (a, b) } else { (b, a) }
}
