//! What `tracker_integration.json` says: the counts of every open network, and the newest blocks of those where they fit.
//!
//! The file is made in memory on the ledger's thread, so it is bounded whatever the networks hold, and that before anything of
//! it is made: [`limits::EXPORT_BLOCKS`] blocks of a network in [`limits::EXPORT_NETWORK_BYTES_MAX`], the newest first, and those
//! of all in [`limits::EXPORT_BYTES_MAX`], the networks with the least to show first, so that a few large ones displace nobody.

use api::TrackerIntegration;
use shared::block::Block;
use shared::ids::{ChainId, Height};
use shared::transaction::{Payload, Transaction};

use super::branches::{BLOCK_JSON_BYTES, json_bytes_of};
use super::{Book, Ledger};
use crate::limits;

/// A network's newest blocks that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Recent {
    /// At most so many bytes of the file.
    bytes: usize,
    chain_id: ChainId,
    blocks: u32,
}

impl Ledger {
    /// What `tracker_integration.json` says.
    pub fn integration(&self) -> TrackerIntegration {
        let mut integration = TrackerIntegration::default();
        for recent in self.recent(limits::EXPORT_BYTES_MAX) {
            let Some(book) = self.books.get(&recent.chain_id) else {
                continue;
            };
            let (reported, state) = book.exported(recent.blocks);
            integration
                .last_reported_state
                .insert(book.label.to_string(), reported);
            integration
                .network_blockchain_state
                .insert(book.label.to_string(), state);
        }
        integration
    }

    /// Which blocks of every open network are shown, in so many bytes.
    fn recent(&self, bytes_max: usize) -> Vec<Recent> {
        let open = self.books.values();
        let open = open.filter(|book| book.chain.room().is_none());
        let mut all: Vec<_> = open.map(recent_of).collect();
        all.sort_unstable();
        let mut free = bytes_max;
        for recent in &mut all {
            match free.checked_sub(recent.bytes) {
                Some(rest) => free = rest,
                None => (recent.bytes, recent.blocks) = (0, 0),
            }
        }
        all
    }
}

/// The newest blocks of a network that fit.
fn recent_of(book: &Book) -> Recent {
    let mut recent = Recent {
        bytes: 0,
        chain_id: book.chain_id(),
        blocks: 0,
    };
    let mut at = book.chain.tip().height;
    while recent.blocks < limits::EXPORT_BLOCKS
        && let Some(block) = book.block_at(at)
    {
        let free = limits::EXPORT_NETWORK_BYTES_MAX.saturating_sub(recent.bytes);
        let Some(bytes) = shown_bytes(block, free) else {
            break;
        };
        recent.bytes = recent.bytes.saturating_add(bytes);
        recent.blocks = recent.blocks.saturating_add(1);
        at = Height(at.0.saturating_sub(1));
    }
    recent
}

/// How long a block is in the file at most; none if that is more than `max`, however much more.
fn shown_bytes(block: &Block, max: usize) -> Option<usize> {
    let mut bytes = BLOCK_JSON_BYTES.saturating_add(BLOCK_INDENT_BYTES);
    for transaction in block.transactions() {
        let data = json_bytes_of(transaction).saturating_add(TRANSACTION_INDENT_BYTES);
        bytes = bytes.saturating_add(data);
        if bytes > max {
            return None;
        }
        bytes = bytes.saturating_add(text_bytes(transaction));
    }
    (bytes <= max).then_some(bytes)
}

/// How long a transaction's text is as JSON.
fn text_bytes(transaction: &Transaction) -> usize {
    match transaction.payload() {
        Payload::Message(text) => text.bytes().map(escaped_bytes).sum(),
        Payload::Record(_) => 0,
    }
}

const fn escaped_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' => 2,
        ..0x20 => r"\u0000".len(),
        _ => 1,
    }
}

/// What lines and their indentation add to a block and to a transaction.
const BLOCK_INDENT_BYTES: usize = 160;
const TRANSACTION_INDENT_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use api::TenantBlock;
    use shared::block::MinerRecord;
    use shared::chain::Chain;
    use shared::identity::Identity;
    use shared::ids::{NetworkId, Sequence};
    use shared::miner::{Miner, Step};

    use super::super::tests::{NOW, drain, genesis, registered, report};
    use super::super::{Asker, Forwarding, Input, NetworkName};
    use super::*;
    use crate::hub::ConnectionId;
    use crate::hub::message::{Listing, Wish};

    /// Mines a block with these texts.
    fn mine(chain: &mut Chain, sequence: &mut u64, texts: &[String]) -> Block {
        let genesis = chain.genesis().clone();
        let at = chain
            .tip()
            .timestamp
            .plus_ms(u64::from(genesis.rules.interval_ms));
        let sender = Identity::from_seed([1; 32]);
        let transactions = texts.iter().map(|text| {
            let payload = Payload::Message(text.clone());
            let (chain_id, at_sequence) = (genesis.chain_id(), Sequence(*sequence));
            *sequence += 1;
            Transaction::create(&sender, chain_id, &genesis.rules, at_sequence, at, payload)
                .unwrap()
        });
        let transactions = transactions.collect();
        let record = MinerRecord {
            key: genesis.owner,
            free: [0; 8],
        };
        let template = chain.template(record, transactions, at);
        let target = template.header.target.target();
        let Step::Found(solution) =
            Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
        else {
            panic!("an easy target is met");
        };
        let block = template.solved(&genesis, solution).unwrap();
        chain.insert(block.clone(), at).unwrap();
        block
    }

    fn network(seed: u8, name: &str) -> Chain {
        let mut genesis = genesis(seed);
        genesis.network_id = NetworkId::parse(name).unwrap();
        genesis.rules.stamp_bits = 4;
        Chain::new(genesis)
    }

    /// The heights that the file shows, and its length.
    fn shown(ledger: &Ledger) -> (Vec<u32>, usize) {
        let integration = ledger.integration();
        let state = &integration.network_blockchain_state["demo"];
        let heights = state.recent_blocks.iter().map(|block| block.block_id);
        let bytes = serde_json::to_vec_pretty(&integration).unwrap();
        (heights.collect(), bytes.len())
    }

    #[test]
    fn the_newest_blocks_of_a_network_are_shown_while_they_fit() {
        let mut chain = network(1, "demo");
        let mut ledger = registered(chain.genesis());
        let (id, mut sequence) = (chain.chain_id(), 0);
        let tame = "a".repeat(4 << 10);
        // As raw bytes and as text, about 12 KiB each.
        let small = std::slice::from_ref(&tame);
        let counts = [small, small, &[tame.clone(), tame.clone()], small, small];
        for texts in counts {
            report(&mut ledger, id, &[mine(&mut chain, &mut sequence, texts)]);
        }
        let (heights, length) = shown(&ledger);
        assert_eq!(heights, [3, 4, 5], "oldest first, without the oldest");
        assert!(length < limits::EXPORT_NETWORK_BYTES_MAX, "{length}");

        let large = vec![tame; 8];
        report(&mut ledger, id, &[mine(&mut chain, &mut sequence, &large)]);
        let (heights, length) = shown(&ledger);
        assert_eq!(heights, [] as [u32; 0]);
        assert!(length < 1_024, "{length}");
        let state = &ledger.integration().network_blockchain_state["demo"];
        let counts = (state.total_blocks, state.total_transactions);
        assert_eq!((counts, state.last_block_id), ((6, 14), 6));
    }

    #[test]
    fn no_block_is_longer_in_the_file_than_it_counts() {
        let texts = ["a", "é\u{1}\n\"\\\u{7f}\u{2028}", "\u{1}", "\""];
        let texts = texts.map(|text| text.repeat(100)).to_vec();
        let (mut chain, mut sequence) = (network(1, "demo"), 0);
        for texts in [&texts[..0], &texts[..]] {
            let mut ledger = registered(chain.genesis());
            let empty = serde_json::to_vec_pretty(&ledger.integration()).unwrap();
            let block = mine(&mut chain, &mut sequence, texts);
            let bytes = shown_bytes(&block, usize::MAX).unwrap();
            assert_eq!(shown_bytes(&block, bytes), Some(bytes));
            assert_eq!(shown_bytes(&block, bytes - 1), None);
            let all: Vec<_> = (1..=block.header().height.0)
                .filter_map(|height| chain.block(&chain.hash_at(Height(height))?).cloned())
                .collect();
            let id = chain.chain_id();
            assert!(!report(&mut ledger, id, &all).is_empty());
            let mut integration = ledger.integration();
            let state = integration.network_blockchain_state.get_mut("demo");
            let state = state.unwrap();
            state
                .recent_blocks
                .retain(|shown| shown.block_id == block.header().height.0);
            let with = serde_json::to_vec_pretty(&integration).unwrap();
            let found = with.len() - empty.len();
            assert!(found > bytes / 2 && found < bytes, "{found} of {bytes}");
        }
    }

    #[test]
    fn large_networks_displace_no_small_ones_beyond_what_all_may_show() {
        let mut ledger = Ledger::new(Forwarding::On);
        let mut bytes = Vec::new();
        for seed in 1..=4 {
            let (mut chain, mut sequence) = (network(seed, &format!("demo-{seed}")), 0);
            let texts = vec!["a".repeat(100 * usize::from(seed))];
            let block = mine(&mut chain, &mut sequence, &texts);
            bytes.push(shown_bytes(&block, usize::MAX).unwrap());
            let wish = Wish {
                genesis: chain.genesis().encode(),
                listing: Listing::Listed,
                label: None,
            };
            let connection = ConnectionId(1);
            ledger.handle(NOW, Input::RegistrationAsked { connection, wish });
            ledger.handle(
                NOW,
                Input::BlocksReported {
                    asker: Asker::Connection(connection),
                    network: NetworkName::Chain(chain.chain_id()),
                    blocks: vec![TenantBlock::from(&block)],
                },
            );
            drain(&mut ledger);
        }
        let shown = |bytes_max| {
            let recent = ledger.recent(bytes_max);
            let blocks: Vec<_> = recent.iter().map(|recent| recent.blocks).collect();
            blocks
        };
        assert_eq!(shown(usize::MAX), [1, 1, 1, 1]);
        assert_eq!(shown(bytes[0] + bytes[1]), [1, 1, 0, 0]);
        assert_eq!(shown(bytes[0] + bytes[1] - 1), [1, 0, 0, 0]);
        assert_eq!(shown(0), [0, 0, 0, 0]);
    }
}
