//! Reading a `text/event-stream` (WHATWG HTML, "Server-sent events"), as bytes come in.
//!
//! Only `event` and `data` matter here; comments, `id` and `retry` are skipped. A line ends with LF or CR LF.
//! At most [`EVENT_BYTES_MAX`] bytes of one event are kept; then the stream is refused.

use crate::limits::EVENT_BYTES_MAX;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name, `message` by default.
    pub name: String,
    /// Its data, lines joined by LF.
    pub data: String,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// An event is too long.
    #[error("an event has more than {allowed} bytes")]
    TooLong {
        /// The most that is allowed.
        allowed: usize,
    },
    /// The stream is not UTF-8.
    #[error("the stream is not UTF-8")]
    NotUtf8,
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    name: String,
    data: Option<String>,
}

impl Reader {
    /// Takes the next bytes and returns the events they complete.
    ///
    /// # Errors
    /// [`SseError`]; the reader is of no use after it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut events = Vec::new();
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            self.line.extend_from_slice(part);
            let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
            if held > EVENT_BYTES_MAX {
                return Err(SseError::TooLong {
                    allowed: EVENT_BYTES_MAX,
                });
            }
            if parts.peek().is_some() {
                events.extend(self.end_line()?);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseError> {
        let line =
            String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| SseError::NotUtf8)?;
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if line.is_empty() {
            return Ok(self.end_event());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        Ok(None)
    }

    fn end_event(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = self.data.take()?;
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        Some(Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = Reader::default();
        chunks
            .iter()
            .flat_map(|chunk| reader.push(chunk).unwrap())
            .map(|event| (event.name, event.data))
            .collect()
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn an_event_may_come_in_any_pieces() {
        let whole = "event: block\ndata: {\"text\":\"grüße\"}\n\ndata: x\n\n".as_bytes();
        let expected = [
            event("block", "{\"text\":\"grüße\"}"),
            event("message", "x"),
        ];
        for size in 1..whole.len() {
            let chunks: Vec<&[u8]> = whole.chunks(size).collect();
            assert_eq!(events(&chunks), expected, "pieces of {size} bytes");
        }
    }

    #[test]
    fn comments_other_fields_and_crlf_are_read_over() {
        let stream =
            b": keep-alive\r\n\r\nid: 7\r\nretry: 10\r\nevent: a\r\ndata:one\r\ndata: two\r\n\r\n";
        assert_eq!(events(&[stream]), [event("a", "one\ntwo")]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = Reader::default();
        let chunk = vec![b'x'; EVENT_BYTES_MAX];
        assert_eq!(reader.push(&chunk), Ok(vec![]));
        assert!(matches!(reader.push(b"xx"), Err(SseError::TooLong { .. })));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(
            Reader::default().push(b"data: \xff\n"),
            Err(SseError::NotUtf8)
        );
    }
}
