//! A private tenant on four real processes: what is reported at one is final at all, what its owner voids is void at all,
//! and both are proved with the crate `shared` alone.

use serde_json::{Value, json};
use shared::enterprise::{EnterpriseGenesis, Receipt, ResetReceipt, Trust};
use shared::ids::TimestampMs;

use crate::cluster::{COUNT, Cluster};
use crate::tenant::{TestTenant, make_private};

/// All show this of the tenant.
async fn all_show(cluster: &Cluster, what: &str, holds: impl Fn(&Value) -> bool) {
    cluster
        .eventually(what, async || {
            for index in 0..COUNT {
                if !holds(&cluster.get(index, "/api/tenants/secret").await.1) {
                    return false;
                }
            }
            true
        })
        .await;
}

async fn trust(cluster: &Cluster) -> Trust {
    let (_, genesis) = cluster.get(0, "/api/genesis").await;
    let bytes = hex::decode(genesis["genesis"].as_str().unwrap()).unwrap();
    let genesis = EnterpriseGenesis::decode(&bytes).unwrap();
    Trust::new(&genesis, genesis.hash()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_tenant_is_final_and_void_on_every_validator_with_proofs() {
    let mut cluster = Cluster::start_all().await;
    let trust = trust(&cluster).await;
    let day_ago = TimestampMs(service::now_ms() - 86_400_000);
    let mut secret = TestTenant::with("secret", 9, day_ago, |genesis| {
        genesis.rules.finality_delay_ms = 1;
        make_private(genesis);
    });
    let first = secret.mine_many(1);
    let after_first = secret.clone();
    let blocks = [first, secret.mine_many(1)].concat();
    let update = secret.reports(&secret.seal_all(&blocks, 1));
    let (status, answer) = cluster.post(0, "/api/tenant-update", &update).await;
    assert_eq!(status, 200, "{answer}");
    all_show(&cluster, "final", |shown| shown["final_height"] == 2).await;
    let receipt = cluster.bytes(3, "/api/tenants/secret/receipts/2").await;
    let old = Receipt::decode(&receipt).unwrap().verify(&trust).unwrap();
    assert_eq!(old.block().hash(), blocks[1].hash());

    let reset = secret.reset(1, 2, blocks[0].hash());
    let body = json!({ "reset": hex::encode(reset.encode()) });
    let (status, answer) = cluster.post(1, "/api/resets", &body).await;
    assert_eq!(status, 202, "{answer}");
    let stays = blocks[0].hash().to_string();
    all_show(&cluster, "void", |shown| {
        shown["resets"] == 1 && shown["final_hash"] == stays && shown["height"] == 1
    })
    .await;
    let receipt = cluster.bytes(2, "/api/tenants/secret/resets/1").await;
    let executed = ResetReceipt::decode(&receipt).unwrap();
    let executed = executed.verify(&secret.genesis, &trust).unwrap();
    assert!(executed.voids(old.block()));

    let mut new = after_first.fork(3);
    let second = new.mine_many(1);
    let update = new.reports(&new.seal_all(&second, 2));
    let (status, answer) = cluster.post(3, "/api/tenant-update", &update).await;
    assert_eq!(status, 200, "{answer}");
    let tip = second[0].hash().to_string();
    let is_anew = |shown: &Value| shown["final_hash"] == tip && shown["resets"] == 1;
    all_show(&cluster, "final anew", is_anew).await;
    cluster.kill(2);
    cluster.start(2).await;
    all_show(&cluster, "the same after a restart", is_anew).await;
    let receipt = cluster.bytes(2, "/api/tenants/secret/receipts/2").await;
    let anew = Receipt::decode(&receipt).unwrap().verify(&trust).unwrap();
    assert_eq!(anew.block().hash(), second[0].hash());
    assert!(!executed.voids(anew.block()));
    let chains = cluster.chains().await;
    crate::check::same(&chains).unwrap();
    cluster.end_and_verify().await;
}
