//! How much memory what strangers ask takes up while it waits: its texts, and what holds them.

use api::{ReportedBlock, TenantBlock, TenantTransaction};

use super::Input;

impl Input {
    /// In bytes; 0 of a fact of our own.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::RegistrationAsked { wish, .. } => wish.genesis.len(),
            Self::BlocksReported { blocks, .. } => bytes_of_blocks(blocks),
            Self::BlockShown { block, .. } => of_block(block),
            Self::TransactionShown { transaction, .. } => of_transaction(transaction),
            Self::Reported { report, .. } => {
                let genesis = report.genesis.as_ref().map_or(0, Vec::len);
                report
                    .reports
                    .iter()
                    .map(of_report)
                    .sum::<usize>()
                    .saturating_add(genesis)
            }
            Self::ResetAsked { reset, .. } => reset.len(),
            Self::NetworkHeard { .. }
            | Self::ResetAnswered { .. }
            | Self::ResetsTold { .. }
            | Self::FinalityTold { .. }
            | Self::Answered { .. }
            | Self::Woken => 0,
        }
    }
}

/// The same of blocks.
pub(crate) fn bytes_of_blocks(blocks: &[TenantBlock]) -> usize {
    blocks.iter().map(of_block).sum()
}

fn of_block(block: &TenantBlock) -> usize {
    let texts = [
        &block.block_hash,
        &block.previous_hash,
        &block.header,
        &block.miner,
    ];
    let texts: usize = texts.map(String::len).iter().sum();
    let transactions: usize = block.transactions.iter().map(of_transaction).sum();
    size_of::<TenantBlock>()
        .saturating_add(texts)
        .saturating_add(transactions)
}

fn of_transaction(transaction: &TenantTransaction) -> usize {
    let text = transaction.text.as_ref().map_or(0, String::len);
    let texts = [&transaction.tx_id, &transaction.from, &transaction.raw];
    let texts: usize = texts.map(String::len).iter().sum();
    size_of::<TenantTransaction>()
        .saturating_add(texts)
        .saturating_add(text)
}

fn of_report(report: &ReportedBlock) -> usize {
    let texts = report.block_hash.len().saturating_add(report.raw.len());
    size_of::<ReportedBlock>().saturating_add(texts)
}
