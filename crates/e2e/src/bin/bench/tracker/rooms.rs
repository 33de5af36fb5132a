//! Rooms of ten, joined as browsers do it: at our tracker with a key and its proof.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use api::ws::{ClientMessage, ServerMessage};
use shared::genesis::{Access, Genesis, Rules};
use shared::identity::Identity;
use shared::ids::{ChainId, NetworkId, PeerId, TimestampMs};
use shared::pow::Target;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::server::{Kind, Server, open};
use super::wire::{Wire, frame};

/// Connections of a room.
pub(crate) const ROOM: usize = 10;

/// How connections join at our tracker; the other server knows no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// With a key and its proof, as browsers do.
    Proven,
    /// With neither.
    Bare,
}

/// A joined connection.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) wire: Wire,
    /// Its id at the server.
    pub(crate) id: String,
}

/// A network that is registered where that is needed, without anybody in it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    number: usize,
    name: String,
    chain_id: ChainId,
}

/// Makes so many rooms; at our tracker each is a network, durably registered by a connection that goes away again.
pub(crate) async fn make(server: &Arc<Server>, count: usize) -> Result<Arc<[Room]>> {
    let mut rooms = Vec::with_capacity(count);
    let gate = Arc::new(Semaphore::new(REGISTRATIONS_AT_ONCE));
    let mut registrations = JoinSet::new();
    for number in 0..count {
        let genesis = genesis(number)?;
        rooms.push(Room {
            number,
            name: genesis.network_id.to_string(),
            chain_id: genesis.chain_id(),
        });
        if server.kind == Kind::Ours {
            let (server, genesis) = (Arc::clone(server), hex::encode(genesis.encode()));
            let permit = Arc::clone(&gate).acquire_owned().await?;
            registrations.spawn(async move {
                let wire = open(&server, "", source(REGISTRARS + number)).await?;
                register(wire, genesis).await?;
                drop(permit);
                Ok::<_, anyhow::Error>(())
            });
        }
    }
    while let Some(registered) = registrations.join_next().await {
        registered??;
    }
    Ok(rooms.into())
}

/// Joins `count` connections to the rooms in order, each room's one after the other, many rooms at a time.
///
/// Says what went wrong, connection by connection, instead of ending at the first.
pub(crate) async fn fill(
    server: &Arc<Server>,
    rooms: &Arc<[Room]>,
    how: Join,
) -> Result<(Vec<Vec<Member>>, Vec<anyhow::Error>)> {
    let gate = Arc::new(Semaphore::new(ROOMS_AT_ONCE));
    let mut tasks = JoinSet::new();
    for number in 0..rooms.len() {
        let permit = Arc::clone(&gate).acquire_owned().await?;
        let (server, rooms) = (Arc::clone(server), Arc::clone(rooms));
        tasks.spawn(async move {
            let (mut members, mut failures) = (Vec::with_capacity(ROOM), Vec::new());
            for place in 0..ROOM {
                let room = rooms.get(number).context("a room")?;
                match join(&server, room, place, how).await {
                    Ok(member) => members.push(member),
                    Err(error) => failures.push(error),
                }
            }
            drop(permit);
            Ok::<_, anyhow::Error>((members, failures))
        });
    }
    let (mut all, mut failed) = (Vec::with_capacity(rooms.len()), Vec::new());
    while let Some(room) = tasks.join_next().await {
        let (members, failures) = room??;
        all.push(members);
        failed.extend(failures);
    }
    Ok((all, failed))
}

/// As [`fill`], where every connection has to succeed.
pub(crate) async fn fill_all(
    server: &Arc<Server>,
    rooms: &Arc<[Room]>,
    how: Join,
) -> Result<Vec<Vec<Member>>> {
    let (members, failures) = fill(server, rooms, how).await?;
    match failures.into_iter().next() {
        Some(error) => Err(error.context("a connection was not joined")),
        None => Ok(members),
    }
}

async fn join(server: &Server, room: &Room, place: usize, how: Join) -> Result<Member> {
    let number = room.number * ROOM + place;
    let mut wire = open(server, &room.name, source(number)).await?;
    let id = match server.kind {
        Kind::Ours | Kind::Bare => join_ours(&mut wire, room, number, how).await?,
        Kind::Matchbox => assigned_id(wire.next().await?)?,
    };
    Ok(Member { wire, id })
}

async fn join_ours(wire: &mut Wire, room: &Room, number: usize, how: Join) -> Result<String> {
    let (provisional, nonce) = welcome(wire).await?;
    let (mut key, mut signature) = (None, None);
    if how == Join::Proven {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&u64::try_from(number)?.to_be_bytes());
        let identity = Identity::from_seed(seed);
        let signed = [*provisional.0.as_bytes(), nonce].concat();
        let proof = identity.sign(JOIN_DOMAIN, room.chain_id, &signed);
        (key, signature) = (
            Some(identity.public_key().to_string()),
            Some(proof.to_string()),
        );
    }
    let join = ClientMessage::JoinNetwork {
        network_id: room.name.clone(),
        chain_id: Some(room.chain_id.to_string()),
        key,
        signature,
    };
    wire.send(&frame(&serde_json::to_string(&join)?)?).await?;
    let text = wire.next().await?;
    let ServerMessage::Joined { peer_id, .. } = serde_json::from_str(text)? else {
        bail!("not joined: {text}")
    };
    Ok(peer_id)
}

pub(crate) async fn welcome(wire: &mut Wire) -> Result<(PeerId, [u8; 32])> {
    let text = wire.next().await?;
    let ServerMessage::Welcome { peer_id, nonce, .. } = serde_json::from_str(text)? else {
        bail!("no welcome: {text}")
    };
    let nonce = shared::hash::parse_hex(&nonce).context("a nonce")?;
    Ok((peer_id.parse()?, nonce))
}

/// Registers a network and goes away.
async fn register(mut wire: Wire, genesis: String) -> Result<()> {
    welcome(&mut wire).await?;
    let create = ClientMessage::CreateNetwork {
        genesis,
        listed: false,
        label: None,
    };
    wire.send(&frame(&serde_json::to_string(&create)?)?).await?;
    let text = wire.next().await?;
    let ServerMessage::NetworkCreated { .. } = serde_json::from_str(text)? else {
        bail!("not created: {text}")
    };
    Ok(())
}

fn assigned_id(text: &str) -> Result<String> {
    let message: serde_json::Value = serde_json::from_str(text)?;
    let id = message.get("IdAssigned").and_then(|id| id.as_str());
    Ok(id.with_context(|| format!("no id: {text}"))?.to_owned())
}

fn genesis(number: usize) -> Result<Genesis> {
    Ok(Genesis {
        network_id: NetworkId::parse(&format!("room{number}"))?,
        rules: Rules::open_default(Target::for_hashes(64).to_compact()),
        created_at: TimestampMs(1_700_000_000_000),
        owner: Identity::from_seed([1; 32]).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    })
}

/// An address of loopback for every connection, as every browser has its own.
pub(crate) fn source(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    Ipv4Addr::from_bits(SOURCES.to_bits().saturating_add(number))
}

const SOURCES: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// Connections that only register networks come from beyond those that join.
const REGISTRARS: usize = 1_000_000;
/// As many as one commit takes.
const REGISTRATIONS_AT_ONCE: usize = 64;
/// More at once would overflow a server's backlog of 128.
const ROOMS_AT_ONCE: usize = 32;
const JOIN_DOMAIN: &str = "distli/join/1";
