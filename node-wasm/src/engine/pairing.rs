//! Invitations and answers as text: `distli1:` and the bytes in base64url, which survives mail and chat.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_bytes::ByteBuf;
use shared::genesis::Genesis;
use shared::mesh::{Invitation, limits::PAIRING_BYTES_MAX};

const PREFIX: &str = "distli1:";
/// Longest text that is looked at: base64 takes four characters for three bytes, and mail adds line breaks.
const TEXT_BYTES_MAX: usize = PAIRING_BYTES_MAX * 2;

/// What an invitation tells before it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// The network's label.
    pub network_id: String,
    /// Its chain, hex.
    pub chain_id: String,
    /// Its genesis bytes.
    pub genesis: ByteBuf,
    /// When the invitation stops being good, in ms since 1970.
    pub expires_at: u64,
}

impl Invited {
    /// Reads the text of an invitation and checks its signature.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let invitation = Invitation::decode(&bytes_of(text)?).map_err(|error| error.to_string())?;
        let genesis = Genesis::decode(invitation.genesis()).map_err(|error| error.to_string())?;
        Ok(Self {
            network_id: genesis.network_id.to_string(),
            chain_id: invitation.chain().to_string(),
            genesis: ByteBuf::from(invitation.genesis()),
            expires_at: invitation.expires_at().0,
        })
    }
}

/// The text of an invitation or an answer.
pub(super) fn text_of(bytes: &[u8]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The bytes of such a text; white space, which mail puts in, is skipped.
pub(super) fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    if text.len() > TEXT_BYTES_MAX {
        let found = text.len();
        return Err(format!(
            "the text has {found} characters, {TEXT_BYTES_MAX} are allowed"
        ));
    }
    let compact: String = text.split_whitespace().collect();
    let digits = compact.strip_prefix(PREFIX).ok_or_else(|| {
        format!("the text is neither an invitation nor an answer: those begin with {PREFIX}")
    })?;
    URL_SAFE_NO_PAD
        .decode(digits)
        .map_err(|_| String::from("the text is damaged: it is cut off or changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_mail_that_breaks_its_lines() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = text_of(&bytes);
        let (head, tail) = text.split_at(60);
        assert_eq!(bytes_of(&format!("  {head}\r\n{tail}\n")), Ok(bytes));
    }

    #[test]
    fn other_texts_are_refused_in_words() {
        for (text, words) in [
            (String::from("hello"), "begin with"),
            (String::from("distli1:a*"), "damaged"),
            (String::from("distli1:AQE"), "damaged"),
            (format!("{PREFIX}{}", "A".repeat(TEXT_BYTES_MAX)), "allowed"),
        ] {
            let reason = Invited::read(&text).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }
}
