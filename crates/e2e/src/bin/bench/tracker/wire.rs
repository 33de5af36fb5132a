//! A lean WebSocket client: one read buffer that is given back when it is empty, frames that are built once.
//!
//! Frames are masked with the key 0, so that the same bytes can be sent many times; a server unmasks them all the same.
//! Pings are answered. What no server here sends (fragments, binary) is an error.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// What was read; taken up to `taken`.
    buffer: Vec<u8>,
    taken: usize,
    received: u64,
}

impl Wire {
    /// Connects from `source`, asks for the upgrade and reads its answer.
    pub(crate) async fn connect(server: SocketAddr, path: &str, source: Ipv4Addr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream,
            buffer: Vec::new(),
            taken: 0,
            received: 0,
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {server}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        wire.stream.write_all(request.as_bytes()).await?;
        wire.read_upgrade().await?;
        Ok(wire)
    }

    /// Sends a frame that [`frame`] made.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(frame).await?)
    }

    /// The next text. Cancel safe, but for the answer to a ping, which is written at once.
    pub(crate) async fn next(&mut self) -> Result<&str> {
        let payload = loop {
            let Some(frame) = self.whole_frame()? else {
                self.fill().await?;
                continue;
            };
            self.taken = frame.end;
            match frame.opcode {
                OPCODE_TEXT => break frame.start..frame.end,
                OPCODE_PING => self.pong(frame.start, frame.end).await?,
                OPCODE_PONG => {}
                OPCODE_CLOSE => {
                    let reason = self.buffer.get(frame.start + 2..frame.end);
                    let reason = String::from_utf8_lossy(reason.unwrap_or_default());
                    bail!("the server closed the connection: {reason}")
                }
                other => bail!("a frame of kind {other}"),
            }
        };
        let bytes = self.buffer.get(payload).context("a frame is whole")?;
        Ok(std::str::from_utf8(bytes)?)
    }

    /// Bytes that came so far, the upgrade's answer included.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    async fn read_upgrade(&mut self) -> Result<()> {
        loop {
            self.fill().await?;
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let is_upgrade = self.buffer.starts_with(b"HTTP/1.1 101 ");
                let head = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default());
                ensure!(is_upgrade, "no upgrade: {head}");
                self.taken = end + 4;
                return Ok(());
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
            // An idle connection of thousands keeps no buffer.
            if self.buffer.capacity() > BUFFER_BYTES {
                self.buffer = Vec::new();
            }
        } else if self.taken > BUFFER_BYTES {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.reserve(BUFFER_BYTES);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(count > 0, "the server hung up");
        self.received += u64::try_from(count)?;
        Ok(())
    }

    fn whole_frame(&self) -> Result<Option<Frame>> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let [first, second, ..] = *rest else {
            return Ok(None);
        };
        ensure!(first & 0x80 != 0, "a fragment");
        ensure!(second & 0x80 == 0, "a masked frame from a server");
        let (head, len) = match (second, rest) {
            (127, [_, _, len @ ..]) => {
                let Some(len) = len.first_chunk::<8>() else {
                    return Ok(None);
                };
                (10, usize::try_from(u64::from_be_bytes(*len))?)
            }
            (126, [_, _, len @ ..]) => {
                let Some(len) = len.first_chunk::<2>() else {
                    return Ok(None);
                };
                (4, usize::from(u16::from_be_bytes(*len)))
            }
            (len, _) => (2, usize::from(len)),
        };
        let start = self.taken + head;
        let end = start + len;
        let is_whole = self.buffer.len() >= end;
        Ok(is_whole.then_some(Frame {
            opcode: first & 0x0f,
            start,
            end,
        }))
    }

    async fn pong(&mut self, start: usize, end: usize) -> Result<()> {
        let payload = self.buffer.get(start..end).context("a frame is whole")?;
        let pong = masked(OPCODE_PONG, payload)?;
        self.send(&pong).await
    }
}

/// A text as a client's frame.
pub(crate) fn frame(text: &str) -> Result<Vec<u8>> {
    masked(OPCODE_TEXT, text.as_bytes())
}

/// Bytes as a client's binary frame.
pub(crate) fn binary(bytes: &[u8]) -> Result<Vec<u8>> {
    masked(OPCODE_BINARY, bytes)
}

fn masked(opcode: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..126) => frame.push(0x80 | u8::try_from(len)?),
        Ok(len) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(payload.len())?.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    Ok(frame)
}

/// An empty ping as clients send it.
pub(crate) const PING: [u8; 6] = [0x80 | OPCODE_PING, 0x80, 0, 0, 0, 0];

/// Where a frame's payload lies in the buffer.
struct Frame {
    opcode: u8,
    start: usize,
    end: usize,
}

const OPCODE_TEXT: u8 = 1;
const OPCODE_BINARY: u8 = 2;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const OPCODE_PONG: u8 = 10;
const BUFFER_BYTES: usize = 4 * 1024;
