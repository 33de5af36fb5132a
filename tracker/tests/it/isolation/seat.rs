//! One connection: what it said, what it has to hear for it, and what it heard.

use std::collections::BTreeMap;

use api::UpdateStatus;
use api::ws::{ErrorCode, ServerMessage};
use shared::identity::Identity;
use tokio::time::Instant;

use super::Tenant;
use crate::support::{Client, Running, identity};

/// What a message of the seat's own is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Error(ErrorCode),
    Taken,
    NotTaken,
}

pub(super) struct Seat {
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) tenant: usize,
    connected: Instant,
    /// All that came, byte for byte.
    heard: Vec<String>,
    /// What others sent it, as it has to come.
    pub(super) deliveries: Vec<String>,
    /// The answers to come, and what they answer.
    answers: Vec<(Answer, String)>,
    /// Malformed messages, of which a connection has only so many.
    pub(super) mistakes: usize,
    /// Networks that it wanted to register.
    pub(super) registrations: u32,
}

impl Seat {
    /// Connects and enters its tenant's room.
    pub(super) async fn enter(tracker: &Running, tenant: (usize, &Tenant), seed: u8) -> Self {
        let (number, tenant) = tenant;
        let identity = identity(seed);
        let client = Client::connect(tracker).await;
        let mut seat = Self {
            client,
            identity,
            tenant: number,
            connected: Instant::now(),
            heard: Vec::new(),
            deliveries: Vec::new(),
            answers: Vec::new(),
            mistakes: 0,
            registrations: 0,
        };
        let enter = match &tenant.keys {
            Some(keys) => seat.client.entry(tracker, keys, seat.identity.peer_id()),
            None => seat.client.join_message(&tenant.network, &seat.identity),
        };
        seat.client.send(&enter).await;
        seat.listen().await;
        let entered = ["\"type\":\"joined\"", "\"type\":\"room_joined\""];
        let is_in = |text: &String| entered.iter().any(|kind| text.contains(kind));
        assert!(seat.heard.iter().any(is_in), "{:?}", seat.heard);
        seat
    }

    pub(super) fn id(&self) -> String {
        self.identity.peer_id().to_string()
    }

    /// Whether the nonce of its `welcome` is certainly still good, if it was not used.
    pub(super) fn is_fresh(&self) -> bool {
        self.connected.elapsed().as_secs() < 45
    }

    /// Says something that is answered.
    pub(super) async fn ask(&mut self, text: String, answer: Answer) {
        self.answers.push((answer, text.clone()));
        self.client.send_text(text).await;
    }

    /// Says something, maybe nonsense; what that is answered with may hold only what it says itself.
    pub(super) async fn mumble(&mut self, text: String) {
        self.answers
            .push((Answer::Error(ErrorCode::BadMessage), text.clone()));
        self.client.send_text(text).await;
    }

    pub(super) async fn ask_binary(&mut self, bytes: Vec<u8>) {
        let answer = Answer::Error(ErrorCode::BadMessage);
        self.answers.push((answer, "binary".into()));
        self.client.send_binary(bytes).await;
    }

    /// What the last answer may name, as it was said in other letters.
    pub(super) fn may_hear(&mut self, text: &str) {
        let (_, said) = self.answers.last_mut().unwrap();
        said.push_str(text);
    }

    /// Hears what waits here: up to the answer to a question of its own, behind all that it said before.
    pub(super) async fn listen(&mut self) {
        self.client.send_text(r#"{"type":"ping"}"#.into()).await;
        loop {
            let text = self.next().await;
            if text == r#"{"type":"pong"}"# {
                return;
            }
            self.heard.push(text);
        }
    }

    /// Hears until all is answered, also what the ledger has to look at.
    pub(super) async fn until_answered(&mut self) {
        let mut answered = self.heard.iter().filter_map(|text| answer_of(text)).count();
        while answered < self.answers.len() {
            let text = self.next().await;
            answered += usize::from(answer_of(&text).is_some());
            self.heard.push(text);
        }
    }

    async fn next(&mut self) -> String {
        let text = self.client.text_or_end().await;
        text.expect("the connection was closed")
    }

    /// No mark of a stranger came, all that had to come did, and nothing else of the kind.
    pub(super) fn check(&self, tenants: &[Tenant]) {
        let mut answers = self.answers.iter();
        let (mut deliveries, mut count) = (Vec::new(), None);
        let places = tenants[self.tenant].places;
        for text in &self.heard {
            let said = match answer_of(text) {
                None => "",
                Some(found) => {
                    let (expected, said) = answers.next().expect(text);
                    assert_eq!(found, *expected, "{text} to {said}");
                    said
                }
            };
            self.holds_nothing_foreign(text, said, tenants);
            match serde_json::from_str(text).unwrap() {
                ServerMessage::Offer { .. }
                | ServerMessage::Answer { .. }
                | ServerMessage::Candidate { .. }
                | ServerMessage::Relay { .. } => deliveries.push(text.clone()),
                ServerMessage::NetworkInfo { peer_count, .. } => {
                    assert!(peer_count <= places + 1, "{text}");
                    count = Some(peer_count);
                }
                _ => {}
            }
        }
        assert_eq!(answers.next(), None, "it was not answered");
        // What a mutant came to, nobody can say before: only that it is its tenant's own, which is checked above.
        let mutant = tenants[self.tenant].mutant.as_str();
        deliveries.retain(|text| !text.contains(mutant));
        deliveries.sort();
        let mut expected = self.deliveries.clone();
        expected.sort();
        assert_eq!(deliveries, expected);
        // The mutant may be on its way back just now.
        assert!(count.is_none_or(|count| count >= places), "{count:?}");
    }

    /// Of a mutant: nothing foreign came that it had not said itself.
    pub(super) fn check_mumbling(&self, tenants: &[Tenant]) {
        let said: Vec<_> = self.answers.iter().map(|(_, said)| said.as_str()).collect();
        let said = said.concat();
        for text in &self.heard {
            let said = match answer_of(text) {
                Some(_) => said.as_str(),
                None => "",
            };
            self.holds_nothing_foreign(text, said, tenants);
        }
    }

    fn holds_nothing_foreign(&self, text: &str, said: &str, tenants: &[Tenant]) {
        for (number, tenant) in tenants.iter().enumerate() {
            if number == self.tenant {
                continue;
            }
            if let Some(mark) = leaked(text, said, &tenant.marks) {
                panic!("{mark} of another tenant in {text}, which answers {said:?}");
            }
        }
    }

    pub(super) fn delivered(&self) -> usize {
        self.deliveries.len()
    }

    pub(super) fn count_answers(&self, into: &mut BTreeMap<String, usize>) {
        for (answer, _) in &self.answers {
            *into.entry(format!("{answer:?}")).or_default() += 1;
        }
    }
}

/// A mark that is in a text, but not in what the text answers.
pub(super) fn leaked<'a>(text: &str, said: &str, marks: &'a [String]) -> Option<&'a String> {
    marks
        .iter()
        .find(|mark| text.contains(*mark) && !said.contains(*mark))
}

fn answer_of(text: &str) -> Option<Answer> {
    match serde_json::from_str(text).unwrap() {
        ServerMessage::Error { code, .. } => Some(Answer::Error(code)),
        ServerMessage::UpdateResult { status, .. } => Some(match status {
            UpdateStatus::Accepted => Answer::Taken,
            UpdateStatus::Refused => Answer::NotTaken,
        }),
        _ => None,
    }
}
