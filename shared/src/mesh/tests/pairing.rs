//! Two browsers that know no server are linked by two texts.

use super::super::description::Description;
use super::world::genesis;
use super::*;

const HOST: usize = 0;
const GUEST: usize = 1;

/// The text that an end was last given, or why not.
fn told(world: &mut World, end: usize) -> Result<Vec<u8>, PairingError> {
    world.settle();
    world.ends[end].pairing.pop().unwrap().1
}

fn invitation(world: &mut World, host: usize) -> Vec<u8> {
    world.give(host, Input::InvitationRequested { request: 1 });
    told(world, host).unwrap()
}

fn answer(world: &mut World, guest: usize, bytes: &[u8]) -> Result<Vec<u8>, PairingError> {
    let bytes = bytes.to_vec();
    world.give(guest, Input::InvitationReceived { request: 2, bytes });
    told(world, guest)
}

fn complete(world: &mut World, host: usize, bytes: &[u8]) -> Option<PairingError> {
    let bytes = bytes.to_vec();
    world.give(host, Input::AnswerReceived { request: 3, bytes });
    world.settle();
    world.ends[host]
        .pairing
        .pop()
        .map(|(_, result)| result.unwrap_err())
}

#[test]
fn two_texts_link_two_browsers_that_know_no_server() {
    for (host, guest) in [(0, 1), (1, 0)] {
        let mut world = World::new(2);
        let invitation = invitation(&mut world, host);
        world.advance(200_000);
        let answer = answer(&mut world, guest, &invitation).unwrap();
        world.advance(300_000);
        assert_eq!(world.transport(guest, host), Some(Transport::Connecting));
        assert_eq!(complete(&mut world, host, &answer), None);
        assert_eq!(world.transports(0, 1), DIRECT);
        assert!(exchange(&mut world, 0, 1));
        assert!(world.ends.iter().all(|end| end.errors.is_empty()));
        world.advance(1_200_000);
        assert_eq!(world.transports(0, 1), DIRECT);
        assert_eq!(world.ends[host].ups[&world.peer(guest)], 1);
    }
}

#[test]
fn guest_of_one_member_is_linked_to_all() {
    let mut world = World::new(4);
    for end in 0..3 {
        world.connect(end);
    }
    world.advance(2_000);
    world.kill_tracker();
    let invitation = invitation(&mut world, 2);
    let answer = answer(&mut world, 3, &invitation).unwrap();
    assert_eq!(complete(&mut world, 2, &answer), None);
    world.advance(5_000);
    for other in 0..3 {
        assert_eq!(world.transports(3, other), DIRECT, "{other}");
    }
}

#[test]
fn texts_fit_into_a_qr_code() {
    let mut world = World::new(2);
    let invitation = invitation(&mut world, HOST);
    let answer = answer(&mut world, GUEST, &invitation).unwrap();
    assert!(invitation.len() < 450, "{}", invitation.len());
    assert!(answer.len() < 350, "{}", answer.len());
    let read = Invitation::decode(&invitation).unwrap();
    assert_eq!(read.genesis(), genesis().encode());
    assert_eq!((read.chain(), read.host()), (chain(), world.peer(HOST)));
}

#[test]
fn no_changed_or_cut_text_is_taken() {
    let mut world = World::new(2);
    let invitation = invitation(&mut world, HOST);
    let reply = answer(&mut world, GUEST, &invitation).unwrap();
    for (text, end) in [(&invitation, 1), (&reply, 0)] {
        for bit in 0..text.len() * 8 {
            let mut changed = text.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let refused = match end {
                0 => complete(&mut world, HOST, &changed).is_some(),
                _ => Invitation::decode(&changed).is_err(),
            };
            assert!(refused, "bit {bit}");
        }
        for length in 0..text.len() {
            let refused = match end {
                0 => complete(&mut world, HOST, &text[..length]).is_some(),
                _ => Invitation::decode(&text[..length]).is_err(),
            };
            assert!(refused, "length {length}");
        }
    }
    assert_eq!(complete(&mut world, HOST, &reply), None, "the true one is");
}

#[test]
fn texts_in_the_wrong_place_are_refused_by_name() {
    let mut world = World::new(3);
    let invitation = invitation(&mut world, HOST);
    assert_eq!(
        answer(&mut world, HOST, &invitation),
        Err(PairingError::Own)
    );
    let reply = answer(&mut world, GUEST, &invitation).unwrap();
    let refused = answer(&mut world, 2, &reply);
    assert_eq!(refused, Err(PairingError::NoInvitation));
    let refused = complete(&mut world, HOST, &invitation);
    assert_eq!(refused, Some(PairingError::NoAnswer));
    let refused = complete(&mut world, 2, &reply);
    assert_eq!(refused, Some(PairingError::NotInvited));
    assert_eq!(complete(&mut world, HOST, &reply), None);
    let peer = world.peer(GUEST);
    let refused = complete(&mut world, HOST, &reply);
    assert_eq!(refused, Some(PairingError::AlreadyLinked { peer }));
    let refused = answer(&mut world, GUEST, &invitation);
    let peer = world.peer(HOST);
    assert_eq!(refused, Err(PairingError::AlreadyLinked { peer }));
    let found = limits::PAIRING_BYTES_MAX + 1;
    let allowed = limits::PAIRING_BYTES_MAX;
    let refused = answer(&mut world, 2, &vec![1; found]);
    assert_eq!(refused, Err(PairingError::TooLong { found, allowed }));
    let refused = answer(&mut world, 2, &[2, 1]);
    assert!(matches!(
        refused,
        Err(PairingError::Version { found: 2, .. })
    ));
}

#[test]
fn answer_is_good_once() {
    let mut world = World::new(3);
    let invitation = invitation(&mut world, HOST);
    let first = answer(&mut world, GUEST, &invitation).unwrap();
    let second = answer(&mut world, 2, &invitation).unwrap();
    assert_eq!(complete(&mut world, HOST, &first), None);
    let refused = complete(&mut world, HOST, &second);
    assert_eq!(refused, Some(PairingError::NotInvited));
}

#[test]
fn expired_invitation_is_refused_on_both_sides() {
    let mut world = World::new(3);
    let invitation = invitation(&mut world, HOST);
    let reply = answer(&mut world, GUEST, &invitation).unwrap();
    world.advance(limits::PAIRING_MS);
    assert_eq!(
        answer(&mut world, 2, &invitation),
        Err(PairingError::Expired)
    );
    let refused = complete(&mut world, HOST, &reply);
    assert_eq!(refused, Some(PairingError::NotInvited));
    assert_eq!(world.transport(GUEST, HOST), None, "the guest gave up");
    assert!(world.ends[HOST].mesh.pairings.is_empty());
}

#[test]
fn invitation_to_another_network_is_refused() {
    let mut world = World::new(2);
    let mut other = genesis();
    other.created_at = TimestampMs(2);
    let sdp = format!(
        "a=ice-ufrag:abcd\na=ice-pwd:0123456789abcdefghijkl\na=setup:actpass\na=fingerprint:sha-256 {}\n",
        ["AB"; 32].join(":")
    );
    let bytes = Invitation::encode(
        &Identity::from_seed([9; 32]),
        &other.encode(),
        other.chain_id(),
        (wire::Incarnation(5), world.now.plus_ms(1_000)),
        &Description::of(&sdp).unwrap(),
    );
    let found = other.chain_id();
    let refused = answer(&mut world, GUEST, &bytes);
    assert_eq!(refused, Err(PairingError::OtherChain { found }));
}

#[test]
fn open_invitations_are_bounded_and_a_failed_one_is_told() {
    let mut world = World::new(1);
    for _ in 0..limits::PAIRINGS_MAX {
        invitation(&mut world, HOST);
    }
    world.give(HOST, Input::InvitationRequested { request: 1 });
    let allowed = limits::PAIRINGS_MAX;
    assert_eq!(
        told(&mut world, HOST),
        Err(PairingError::TooMany { allowed })
    );
    world.advance(limits::PAIRING_MS);
    invitation(&mut world, HOST);
    // A browser that gives no connection.
    let mesh = &mut world.ends[HOST].mesh;
    mesh.handle(world.now, Input::InvitationRequested { request: 7 })
        .unwrap();
    let mut made = None;
    while let Some(output) = mesh.poll() {
        if let Output::CreatePairing { link, .. } = output {
            made = Some(link);
        }
    }
    let link = made.unwrap();
    world.give(HOST, Input::ChannelClosed { link });
    assert_eq!(told(&mut world, HOST), Err(PairingError::NoConnection));
}
