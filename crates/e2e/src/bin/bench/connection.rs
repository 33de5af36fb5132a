//! One kept HTTP connection of a load: requests are bytes that were made before, of an answer only what is needed is read.
//!
//! The load runs on the processors of the programs that are measured; a client library would take a share of them.

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A connection to a port of this machine, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Connection {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// A connection that is not open yet.
    pub(crate) const fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// Sends a request and waits for its answer; over a new connection if the kept one was closed meanwhile.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        if let Some(mut stream) = self.stream.take()
            && let Ok(answer) = exchange(&mut stream, request).await
        {
            self.stream = Some(stream);
            return Ok(answer);
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let answer = exchange(&mut stream, request).await?;
        self.stream = Some(stream);
        Ok(answer)
    }
}

/// The bytes of a POST of JSON.
pub(crate) fn post_of(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> Result<Answer> {
    stream.get_mut().write_all(request).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).context("no status")?.parse()?;
    let mut length = None;
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>()?);
        }
    }
    let length = length.context("an answer without its length")?;
    ensure!(length <= BODY_BYTES_MAX, "an answer of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Answer { status, body })
}

const BODY_BYTES_MAX: usize = 1 << 20;
