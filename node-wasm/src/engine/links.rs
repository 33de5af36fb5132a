//! The mesh's orders about connections, other tabs and pairing, in the drivers' words.

use serde_bytes::ByteBuf;
use shared::frame::lane_of;
use shared::mesh;
use shared::mesh::signal::Role;

use super::{Engine, pairing};
use crate::seam::{Event, Output};

impl Engine {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller keeps what is about the tracker and the node"
    )]
    pub(super) fn on_link_output(&mut self, output: mesh::Output) {
        match output {
            mesh::Output::CreateLink { link, peer, role } => self.push(Output::RtcCreate {
                link: link.0,
                peer: Some(peer.to_string()),
                initiator: role == Role::Initiator,
                complete: false,
                ice_servers: self.ice_servers.clone(),
            }),
            mesh::Output::CreatePairing { link, role } => self.push(Output::RtcCreate {
                link: link.0,
                peer: None,
                initiator: role == Role::Initiator,
                complete: true,
                ice_servers: self.ice_servers.clone(),
            }),
            mesh::Output::PairingReady {
                request,
                bytes,
                expires_at,
            } => self.event(Event::PairingText {
                request,
                text: pairing::text_of(&bytes),
                expires_at: expires_at.0,
            }),
            mesh::Output::Paired { request, peer } => self.event(Event::Paired {
                request,
                peer: peer.to_string(),
            }),
            mesh::Output::PairingRefused { request, reason } => {
                self.event(Event::PairingRefused {
                    request,
                    reason: reason.to_string(),
                });
            }
            mesh::Output::SetRemote { link, kind, sdp } => {
                self.push(Output::RtcRemote {
                    link: link.0,
                    kind: kind.into(),
                    sdp,
                });
            }
            mesh::Output::AddCandidate { link, candidate } => {
                self.push(Output::RtcAddCandidate {
                    link: link.0,
                    candidate,
                });
            }
            mesh::Output::SendChannel { link, bytes } => {
                self.push(Output::RtcSend {
                    link: link.0,
                    lane: lane_of(&bytes).number(),
                    bytes: ByteBuf::from(bytes),
                });
            }
            mesh::Output::Local { to, packet } => self.push(Output::LocalSend {
                to: to.map(|peer| peer.to_string()),
                bytes: ByteBuf::from(packet),
            }),
            mesh::Output::CloseLink { link } => self.push(Output::RtcClose { link: link.0 }),
            _ => {}
        }
    }
}
