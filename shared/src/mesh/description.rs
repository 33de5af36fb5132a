//! A session description cut down to what a data channel needs, so that an invitation fits into one QR code.
//!
//! Layout: length 1 and ICE user fragment, length 1 and ICE password, DTLS fingerprint 32, setup 1 (0 actpass, 1 active, 2
//! passive), count 1 and the candidates: kind 1 (0 host, 1 server reflexive, 2 relayed), priority 4, port 2, length 1 and address.
//! Only UDP candidates of component 1 are kept, the first [`PAIRING_CANDIDATES_MAX`]. Every character is checked against the
//! grammar of its field (RFC 8839), so a reduced description can't smuggle lines into the one that is built from it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::encoding::{DecodeError, Reader, Writer, in_range};

use super::limits::PAIRING_CANDIDATES_MAX;
use super::signal::Fingerprint;

/// A reduced session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    user: String,
    password: String,
    pub(super) fingerprint: Fingerprint,
    setup: Setup,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    Either,
    Active,
    Passive,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    kind: Kind,
    priority: u32,
    port: u16,
    address: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Reflexive,
    Relayed,
}

impl Description {
    /// Cuts a browser's description down; `None` if something a data channel needs is missing.
    pub(super) fn of(sdp: &str) -> Option<Self> {
        let attribute = |name: &str| {
            let value = sdp
                .lines()
                .find_map(|line| line.trim_end().strip_prefix(name))?;
            Some(value.to_string())
        };
        let setup = match attribute("a=setup:")?.as_str() {
            "actpass" => Setup::Either,
            "active" => Setup::Active,
            "passive" => Setup::Passive,
            _ => return None,
        };
        let candidates = sdp
            .lines()
            .filter_map(|line| Candidate::parse(line.trim_end().strip_prefix("a=candidate:")?))
            .take(PAIRING_CANDIDATES_MAX)
            .collect();
        let description = Self {
            user: attribute("a=ice-ufrag:")?,
            password: attribute("a=ice-pwd:")?,
            fingerprint: Fingerprint::of_description(sdp).ok()?,
            setup,
            candidates,
        };
        description.is_sound().then_some(description)
    }

    /// The same with the other end's DTLS part fixed: whoever answers waits for a handshake instead of beginning one.
    ///
    /// A guest's browser reaches the host long before the host has the answer. A handshake that it began then would be given up
    /// after some three minutes, and the connection with it; one that it waits for has no time limit.
    pub(super) fn active(self) -> Self {
        Self {
            setup: Setup::Active,
            ..self
        }
    }

    /// The description as a browser takes it.
    pub(super) fn sdp(&self) -> String {
        let digits: Vec<String> = self
            .fingerprint
            .0
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let setup = match self.setup {
            Setup::Either => "actpass",
            Setup::Active => "active",
            Setup::Passive => "passive",
        };
        let mut sdp = String::from(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n",
        );
        for (number, candidate) in (1_u32..).zip(&self.candidates) {
            sdp.push_str(&candidate.line(number));
        }
        sdp.push_str(&format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n\
             a=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n",
            self.user,
            self.password,
            digits.join(":")
        ));
        sdp
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        write_text(writer, &self.user);
        write_text(writer, &self.password);
        writer.bytes(&self.fingerprint.0).u8(match self.setup {
            Setup::Either => 0,
            Setup::Active => 1,
            Setup::Passive => 2,
        });
        writer.u8(u8::try_from(self.candidates.len()).unwrap_or(u8::MAX));
        for candidate in &self.candidates {
            writer
                .u8(match candidate.kind {
                    Kind::Host => 0,
                    Kind::Reflexive => 1,
                    Kind::Relayed => 2,
                })
                .u32(candidate.priority)
                .bytes(&candidate.port.to_be_bytes());
            write_text(writer, &candidate.address);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (user, password) = (read_text(reader)?, read_text(reader)?);
        let fingerprint = Fingerprint(reader.array()?);
        let setup = match choice(reader, "setup")? {
            0 => Setup::Either,
            1 => Setup::Active,
            _ => Setup::Passive,
        };
        let count = reader.u8()?;
        in_range("candidates", count.into(), 0, PAIRING_CANDIDATES_MAX as u64)?;
        let mut candidates = Vec::new();
        for _ in 0..count {
            candidates.push(Candidate {
                kind: match choice(reader, "kind of candidate")? {
                    0 => Kind::Host,
                    1 => Kind::Reflexive,
                    _ => Kind::Relayed,
                },
                priority: reader.u32()?,
                port: reader.u16()?,
                address: read_text(reader)?,
            });
        }
        let description = Self {
            user,
            password,
            fingerprint,
            setup,
            candidates,
        };
        in_range("sound description", description.is_sound().into(), 1, 1)?;
        Ok(description)
    }

    fn is_sound(&self) -> bool {
        let is_ice = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        };
        (4..=64).contains(&self.user.len())
            && (22..=128).contains(&self.password.len())
            && is_ice(&self.user)
            && is_ice(&self.password)
            && self.candidates.iter().all(Candidate::is_sound)
    }
}

impl Candidate {
    /// Reads `foundation component transport priority address port typ type …`.
    fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split(' ');
        let _foundation = fields.next()?;
        let component = fields.next()?;
        let transport = fields.next()?;
        let priority = fields.next()?.parse().ok()?;
        let address = fields.next()?.to_string();
        let port = fields.next()?.parse().ok()?;
        let kind = match (fields.next()?, fields.next()?) {
            ("typ", "host") => Kind::Host,
            ("typ", "srflx") => Kind::Reflexive,
            ("typ", "relay") => Kind::Relayed,
            _ => return None,
        };
        let candidate = Self {
            kind,
            priority,
            port,
            address,
        };
        let is_usable = component == "1" && transport.eq_ignore_ascii_case("udp");
        (is_usable && candidate.is_sound()).then_some(candidate)
    }

    fn line(&self, number: u32) -> String {
        let Self {
            kind,
            priority,
            port,
            address,
        } = self;
        let end = match kind {
            Kind::Host => "host",
            Kind::Reflexive => "srflx raddr 0.0.0.0 rport 0",
            Kind::Relayed => "relay raddr 0.0.0.0 rport 0",
        };
        format!("a=candidate:{number} 1 udp {priority} {address} {port} typ {end}\r\n")
    }

    fn is_sound(&self) -> bool {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-');
        (1..=64).contains(&self.address.len()) && self.address.bytes().all(is_fit)
    }
}

fn choice(reader: &mut Reader<'_>, field: &'static str) -> Result<u8, DecodeError> {
    let found = reader.u8()?;
    in_range(field, found.into(), 0, 2)?;
    Ok(found)
}

fn write_text(writer: &mut Writer, text: &str) {
    writer
        .u8(u8::try_from(text.len()).unwrap_or(u8::MAX))
        .bytes(text.as_bytes());
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let length = reader.u8()?.into();
    let text = core::str::from_utf8(reader.bytes(length)?);
    let text = text.map_err(|_| DecodeError::NotUtf8 {
        field: "description",
    })?;
    Ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Chromium makes them, shortened in nothing but the number of candidates.
    const CHROMIUM: &str = "v=0\r\no=- 4611733056497563312 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
        a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=application 45678 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        c=IN IP4 203.0.113.9\r\n\
        a=candidate:1 1 udp 2113937151 8d3c1f9e-0d6a-4d7c-9a51-5d1a4c1a5d0b.local 45678 typ host generation 0 network-cost 999\r\n\
        a=candidate:2 1 udp 1677729535 203.0.113.9 45678 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-cost 999\r\n\
        a=candidate:3 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0\r\n\
        a=candidate:4 2 udp 1677729534 203.0.113.9 45679 typ srflx raddr 0.0.0.0 rport 0\r\n\
        a=ice-ufrag:Yp3h\r\na=ice-pwd:U2a5eL7V/xC0RsNqhrm+8dKb\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
        a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

    fn encoded(description: &Description) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        description.write(&mut writer);
        writer.finish()
    }

    #[test]
    fn what_matters_survives_and_the_rest_is_gone() {
        let reduced = Description::of(CHROMIUM).unwrap();
        let bytes = encoded(&reduced);
        assert!(bytes.len() < 150, "{}", bytes.len());
        let mut reader = Reader::new(&bytes);
        assert_eq!(Description::read(&mut reader), Ok(reduced.clone()));
        let sdp = reduced.sdp();
        for line in CHROMIUM.lines() {
            let is_kept = ["a=ice-", "a=fingerprint", "a=setup", "a=mid", "a=sctp-port"]
                .iter()
                .any(|start| line.starts_with(start))
                && line != "a=ice-options:trickle";
            if is_kept {
                assert!(sdp.contains(line), "{line}");
            }
        }
        assert_eq!(sdp.matches("a=candidate:").count(), 2, "{sdp}");
        assert_eq!(Description::of(&sdp), Some(reduced));
    }

    #[test]
    fn guest_is_told_to_wait_for_the_handshake() {
        let sdp = Description::of(CHROMIUM).unwrap().active().sdp();
        assert!(sdp.contains("a=setup:active\r\n"), "{sdp}");
        assert!(!sdp.contains("actpass"), "{sdp}");
    }

    #[test]
    fn incomplete_or_foreign_lines_are_no_description() {
        for missing in ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup"] {
            assert_eq!(Description::of(&CHROMIUM.replace(missing, "a=x")), None);
        }
    }

    #[test]
    fn bytes_can_not_smuggle_a_line_in() {
        let good = Description::of(CHROMIUM).unwrap();
        let evil = [
            Description {
                user: String::from("abcd\r\na=x"),
                ..good.clone()
            },
            Description {
                candidates: Vec::from([Candidate {
                    kind: Kind::Host,
                    priority: 1,
                    port: 1,
                    address: String::from("1.2.3.4 1 typ host\r\n"),
                }]),
                ..good.clone()
            },
        ];
        for evil in evil {
            let bytes = encoded(&evil);
            assert!(Description::read(&mut Reader::new(&bytes)).is_err());
        }
    }
}
