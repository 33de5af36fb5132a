//! Receipts of resets: what proves that a final suffix is void, and that nothing else does.

use super::tests::{certificate, genesis, header, identity, tenant};
use super::*;
use crate::genesis::{Access, Genesis};
use crate::hash::Hash;
use crate::ids::{ChainId, Height};
use crate::merkle::Tree;
use crate::report::Report;

fn private() -> Genesis {
    Genesis {
        access: Access::Private {
            join_key: identity(8).public_key(),
            reporters: vec![identity(7).public_key()],
        },
        ..tenant()
    }
}

/// Three final blocks, a reset from the second on, and the second anew; the log's entries and the receipt.
struct World {
    trust: Trust,
    log: Vec<LogEntry>,
    receipt: ResetReceipt,
}

fn reports(id: ChainId, mut previous: Hash, from: u32, count: u32, nonce: u32) -> Vec<Entry> {
    let mut entries = Vec::new();
    for height in from..from + count {
        let header = header(height, previous, nonce);
        previous = header.hash();
        let report = Report::sign(&identity(7), id, header, b"sealed");
        entries.push(Entry::ReportAnchored(Box::new(report)));
    }
    entries
}

fn world() -> World {
    let (genesis, id) = (genesis(4), private().chain_id());
    let mut first = vec![Entry::TenantRegistered(Box::new(private()))];
    first.extend(reports(id, id.0, 1, 3, 0));
    let stays = header(1, id.0, 0).hash();
    let reset = Reset::sign(&identity(9), id, 1, Height(2), stays);
    let delay = tenant().rules.finality_delay_ms;
    let blocks = [
        (5_000, first),
        (delay, vec![Entry::TenantReset(Box::new(reset.clone()))]),
        (1, reports(id, stays, 2, 1, 1)),
        (delay, Vec::new()),
    ];
    let (mut state, mut verifier) = (Tenants::new(&genesis), Verifier::new(&genesis));
    let (mut log, mut checkpoint) = (Vec::new(), None);
    for (wait, entries) in blocks {
        let now = verifier.time().plus_ms(wait);
        let version = EnterpriseHeader::VERSION;
        let effects = state.execute(version, now, &entries).unwrap();
        log.extend(effects.entries().iter().cloned());
        let root = EnterpriseBlock::data_root(&entries);
        let header = verifier.next_header(now, root, &effects, identity(1).public_key());
        let block = EnterpriseBlock::new(header, entries).unwrap();
        state.apply(effects);
        let certificate = certificate(&verifier, &block, 1..=3);
        checkpoint = Some(Checkpoint {
            header: block.header().clone(),
            certificate: certificate.clone(),
        });
        verifier.advance(block, certificate).unwrap();
    }
    let tree = Tree::new(log.iter().map(LogEntry::leaf).collect());
    let index = log
        .iter()
        .position(|entry| matches!(entry, LogEntry::Reset(_)))
        .unwrap();
    let receipt = ResetReceipt {
        reset,
        index: u64::try_from(index).unwrap(),
        path: tree.inclusion(index, log.len()).unwrap(),
        checkpoint: checkpoint.unwrap(),
    };
    World {
        trust: Trust::new(&genesis, genesis.hash()).unwrap(),
        log,
        receipt,
    }
}

#[test]
fn a_receipt_of_a_reset_comes_back_from_its_bytes_and_tells_what_is_void() {
    let World {
        trust,
        log,
        receipt,
    } = world();
    let again = ResetReceipt::decode(&receipt.encode()).unwrap();
    assert_eq!(again, receipt);
    let executed = again.verify(&private(), &trust).unwrap();
    assert_eq!(executed.reset(), &receipt.reset);
    let told: Vec<(u32, u32, bool)> = log
        .iter()
        .filter_map(|entry| match entry {
            LogEntry::Final(block) => {
                let is_void = executed.voids(block);
                Some((block.height().0, block.resets(), is_void))
            }
            LogEntry::Reset(_) => None,
        })
        .collect();
    let expected = [
        (1, 0, false),
        (2, 0, true),
        (3, 0, true),
        (1, 1, false),
        (2, 1, false),
    ];
    assert_eq!(told, expected);
    let other = ChainId(Hash([3; 32]));
    let foreign = FinalBlock::executed(other, Height(2), Hash([1; 32]), crate::ids::Work::ZERO, 0);
    assert!(!executed.voids(&foreign), "of another tenant");
}

#[test]
fn no_changed_byte_of_a_receipt_of_a_reset_is_taken() {
    let World { trust, receipt, .. } = world();
    let bytes = receipt.encode();
    let taken = |bytes: &[u8]| {
        let receipt = ResetReceipt::decode(bytes);
        receipt.is_ok_and(|receipt| receipt.verify(&private(), &trust).is_ok())
    };
    assert!(taken(&bytes));
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            assert!(!taken(&changed), "byte {at}");
        }
    }
    for length in 0..bytes.len() {
        assert!(!taken(&bytes[..length]), "cut to {length}");
    }
    assert!(!taken(&[bytes.as_slice(), &[0]].concat()));
}

#[test]
fn a_reset_that_its_owner_did_not_sign_or_of_another_tenant_proves_nothing() {
    let World { trust, receipt, .. } = world();
    let mut forged = receipt.clone();
    let Reset {
        chain_id,
        number,
        from,
        stays,
        ..
    } = receipt.reset;
    forged.reset = Reset::sign(&identity(7), chain_id, number, from, stays);
    let error = forged.verify(&private(), &trust).unwrap_err();
    let owner = EnterpriseError::NotTheOwner(chain_id);
    assert_eq!(error, ReceiptError::from(owner));
    assert!(receipt.verify(&tenant(), &trust).is_err(), "an open tenant");
    let stranger = Trust::new(&genesis(1), genesis(1).hash()).unwrap();
    assert!(receipt.verify(&private(), &stranger).is_err());
    let mut elsewhere = receipt;
    elsewhere.index += 1;
    assert!(elsewhere.verify(&private(), &trust).is_err());
}
