//! Restarts: the same tip over intact data, a refusal with the remedy over anything else.

use std::fs;
use std::path::Path;

use api::{Status, Tenants};
use redb::ReadableTable as _;
use shared::ids::NetworkId;
use validator::start::{Files, StartError, open};

use crate::server::{Server, hour_ago};
use crate::tenant::TestTenant;

fn id() -> NetworkId {
    NetworkId::parse("v").unwrap()
}

fn files(directory: &Path) -> Files {
    Files::new(directory, &id())
}

/// A directory in which a validator decided five blocks of one tenant and ended.
async fn decided() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    for _ in 0..5 {
        let block = tenant.mine(&["Hello, this is a message that makes the body longer"]);
        server.accepted(&tenant.update(&[block])).await;
    }
    server.stop().await;
    directory
}

fn refusal(directory: &Path) -> StartError {
    open(&files(directory), &id(), None, None).expect_err("it starts over damaged data")
}

#[tokio::test]
async fn a_restart_stands_on_the_same_tip() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut main = TestTenant::new("shop", 1, hour_ago());
    let mut other = main.fork(4);
    let (blocks, branch) = (main.mine_many(3), other.mine_many(4));
    server.accepted(&main.update(&blocks)).await;
    server.accepted(&other.update(&branch[..3])).await;
    let (status, tenants): (Status, Tenants) = (
        server.get("/api/status").await,
        server.get("/api/tenants").await,
    );
    server.stop().await;
    let server = Server::start(directory.path()).await;
    let again: Status = server.get("/api/status").await;
    assert_eq!(
        (again.height, &again.latest_hash),
        (status.height, &status.latest_hash)
    );
    assert_eq!(again.total_transactions, status.total_transactions);
    assert_eq!(server.get::<Tenants>("/api/tenants").await, tenants);
    let known = server.accepted(&main.update(&blocks)).await;
    assert_eq!(known.already_known, 3);
    let won = server.accepted(&other.update(&branch[3..])).await;
    assert_eq!(
        won.tenant_hash,
        other.tip().to_string(),
        "the held branch survived the restart"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_truncated_store_is_refused_with_the_remedy() {
    let directory = decided().await;
    let store = files(directory.path()).store;
    let whole = fs::read(&store).unwrap();
    for kept in [0, 100, whole.len() / 2, whole.len() - 4096] {
        fs::write(&store, &whole[..kept]).unwrap();
        let text = refusal(directory.path()).to_string();
        assert!(text.contains("is damaged"), "{kept}: {text}");
        assert!(
            text.contains("backup") && text.contains("--id v import"),
            "{kept}: {text}"
        );
    }
    fs::write(&store, &whole).unwrap();
    assert!(open(&files(directory.path()), &id(), None, None).is_ok());
}

/// A flipped byte either changes nothing that is in use, or is refused: it never loses or changes a block.
#[tokio::test]
async fn a_flipped_byte_is_refused_or_without_consequence() {
    let directory = decided().await;
    let store = files(directory.path()).store;
    let whole = fs::read(&store).unwrap();
    let opened = open(&files(directory.path()), &id(), None, None).unwrap();
    let tip = opened.ledger.verifier().hash();
    drop(opened);
    let mut refused = 0;
    let step = (whole.len() / 250).max(1) | 1;
    for offset in (0..whole.len()).step_by(step) {
        let mut flipped = whole.clone();
        flipped[offset] ^= 0x55;
        fs::write(&store, &flipped).unwrap();
        match open(&files(directory.path()), &id(), None, None) {
            Ok(opened) => assert_eq!(opened.ledger.verifier().hash(), tip, "offset {offset}"),
            Err(error) => {
                assert!(
                    matches!(error, StartError::Damaged { .. }),
                    "offset {offset}: {error}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "no byte in use was hit");
}

type Bytes = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;
type Blocks = redb::TableDefinition<'static, u64, &'static [u8]>;
const BODIES: Bytes = redb::TableDefinition::new("bodies");
const BLOCKS: Blocks = redb::TableDefinition::new("blocks");

/// Changes the store as a program would that knows its format, so that every page is intact.
fn edit(directory: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(files(directory).store).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_missing_record_is_refused_by_name() {
    let directory = decided().await;
    let whole = fs::read(files(directory.path()).store).unwrap();
    edit(directory.path(), |transaction| {
        transaction.open_table(BLOCKS).unwrap().remove(3).unwrap();
    });
    let text = refusal(directory.path()).to_string();
    assert!(
        text.contains("it holds 4 blocks above block 0, its tip says 5"),
        "{text}"
    );
    fs::write(files(directory.path()).store, whole).unwrap();
    edit(directory.path(), |transaction| {
        transaction
            .open_table(BODIES)
            .unwrap()
            .pop_first()
            .unwrap()
            .unwrap();
    });
    let text = refusal(directory.path()).to_string();
    assert!(
        text.contains("tenant block") && text.contains("is missing"),
        "{text}"
    );
}

#[tokio::test]
async fn records_that_changed_places_are_refused() {
    let directory = decided().await;
    edit(directory.path(), |transaction| {
        let mut blocks = transaction.open_table(BLOCKS).unwrap();
        let second = blocks.get(2).unwrap().unwrap().value().to_vec();
        blocks.insert(3, second.as_slice()).unwrap();
    });
    let text = refusal(directory.path()).to_string();
    assert!(
        text.contains("block 3: the checksum does not match"),
        "{text}"
    );
}

#[tokio::test]
async fn an_old_copy_of_the_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = files(directory.path()).store;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let server = Server::start(directory.path()).await;
    let block = tenant.mine_many(1);
    server.accepted(&tenant.update(&block)).await;
    server.stop().await;
    let old = fs::read(&store).unwrap();
    let server = Server::start(directory.path()).await;
    let block = tenant.mine_many(1);
    server.accepted(&tenant.update(&block)).await;
    server.stop().await;
    fs::write(&store, old).unwrap();
    let text = refusal(directory.path()).to_string();
    assert!(
        text.contains("ends at block 1, but block 2 was decided"),
        "{text}"
    );
}

#[tokio::test]
async fn a_crash_at_any_byte_of_the_head_file_stops_no_start() {
    let directory = tempfile::tempdir().unwrap();
    let head = files(directory.path()).head;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let mut heads = Vec::new();
    for _ in 0..2 {
        let server = Server::start(directory.path()).await;
        let block = tenant.mine_many(1);
        server.accepted(&tenant.update(&block)).await;
        server.stop().await;
        heads.push(fs::read(&head).unwrap());
    }
    let [old, new] = heads.try_into().unwrap();
    assert_eq!(old.len(), new.len());
    for torn in 0..=new.len() {
        // The store is at block 2: what is behind, torn or cut says nothing against it.
        for found in [[&new[..torn], &old[torn..]].concat(), new[..torn].to_vec()] {
            fs::write(&head, &found).unwrap();
            let opened = open(&files(directory.path()), &id(), None, None);
            let opened = opened.unwrap_or_else(|error| panic!("torn at {torn}: {error}"));
            assert_eq!(opened.ledger.verifier().height().0, 2);
        }
    }
}

#[tokio::test]
async fn a_missing_store_or_key_is_not_begun_anew() {
    let directory = decided().await;
    let Files { key, store, .. } = files(directory.path());
    let (secret, blocks) = (fs::read(&key).unwrap(), fs::read(&store).unwrap());
    fs::remove_file(&store).unwrap();
    assert!(matches!(
        refusal(directory.path()),
        StartError::StoreMissing { .. }
    ));
    fs::write(&store, blocks).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(matches!(
        refusal(directory.path()),
        StartError::KeyMissing { .. }
    ));
    fs::write(&key, "not a key\n").unwrap();
    private(&key);
    assert!(matches!(refusal(directory.path()), StartError::Key { .. }));
    fs::write(&key, format!("{}\n", hex::encode([5; 32]))).unwrap();
    assert!(matches!(
        refusal(directory.path()),
        StartError::OtherKey { .. }
    ));
    fs::write(&key, secret).unwrap();
    assert!(open(&files(directory.path()), &id(), None, None).is_ok());
}

#[tokio::test]
async fn the_key_is_made_private_and_an_exposed_one_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = decided().await;
    let key = files(directory.path()).key;
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let text = refusal(directory.path()).to_string();
    assert!(text.contains("chmod 600"), "{text}");
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn another_chain_than_the_one_asked_for_is_refused() {
    let directory = decided().await;
    let wanted = Some(shared::hash::Hash([1; 32]));
    let error = open(&files(directory.path()), &id(), wanted, None).unwrap_err();
    assert!(matches!(error, StartError::OtherChain { .. }), "{error}");
    let opened = open(&files(directory.path()), &id(), None, None).unwrap();
    let right = Some(opened.store.genesis().hash());
    let in_use = open(&files(directory.path()), &id(), None, None).unwrap_err();
    assert!(matches!(in_use, StartError::InUse { .. }), "{in_use}");
    drop(opened);
    assert!(open(&files(directory.path()), &id(), right, None).is_ok());
}

#[tokio::test]
async fn the_export_rebuilds_an_empty_store_and_a_changed_one_does_not() {
    let directory = decided().await;
    let Files {
        store,
        head,
        export,
        ..
    } = files(directory.path());
    let before = open(&files(directory.path()), &id(), None, None).unwrap();
    let tip = before.ledger.verifier().hash();
    drop(before);
    let occupied = validator::export::import(&export, &store, &head).unwrap_err();
    assert!(occupied.to_string().contains("exists"), "{occupied}");
    fs::remove_file(&store).unwrap();
    fs::remove_file(&head).unwrap();
    let text = fs::read_to_string(&export).unwrap();
    let at = text.rfind("\"bodies\":[\"").unwrap() + 600;
    let mut changed = text.clone().into_bytes();
    changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
    fs::write(&export, changed).unwrap();
    validator::export::import(&export, &store, &head).expect_err("a changed export is imported");
    assert!(!store.exists());
    fs::write(&export, text).unwrap();
    assert_eq!(
        validator::export::import(&export, &store, &head).unwrap(),
        5
    );
    let after = open(&files(directory.path()), &id(), None, None).unwrap();
    assert_eq!(after.ledger.verifier().hash(), tip);
}
