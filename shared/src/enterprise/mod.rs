//! The enterprise chain: tenant updates, blocks, certificates and receipts, and their verification.
