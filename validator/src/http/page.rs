//! Pages of collections: a bounded `limit`, a `cursor`, and where the next page begins.
//!
//! A cursor is what the answer before gave as `next_cursor` and in its `Link` header (RFC 8288, `rel="next"`); it names a place
//! in the collection and not a number of items to leave out, so that what is decided in between shifts no page. The last
//! page has neither.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use service::Problem;
use utoipa::IntoParams;

/// Items of one page.
pub const PAGE_MAX: usize = 100;

/// A query as axum hands it over.
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

/// `?limit=&cursor=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Items at most.
    pub(super) limit: Option<usize>,
    /// Where to go on, as the page before said.
    pub(super) cursor: Option<String>,
}

/// `?limit=&cursor=&from=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageFrom {
    /// Items at most.
    pub(super) limit: Option<usize>,
    /// Where to go on, as the page before said; goes before `from`.
    pub(super) cursor: Option<String>,
    /// The height or index of the first item, or of the block it is in.
    pub(super) from: Option<u64>,
}

impl PageFrom {
    /// The first item's place, or `otherwise`.
    ///
    /// # Errors
    /// When the cursor is none.
    pub(super) fn first(&self, otherwise: u64) -> Result<u64, Problem> {
        let cursor = place(self.cursor.as_deref())?;
        Ok(cursor.or(self.from).unwrap_or(otherwise))
    }
}

/// `?limit=&cursor=&network=&from=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TransactionsPage {
    /// Items at most.
    pub(super) limit: Option<usize>,
    /// Where to go on, as the page before said.
    pub(super) cursor: Option<String>,
    /// One tenant only: its name or chain id.
    pub(super) network: Option<String>,
    /// The height of the block to begin with: the enterprise block's, or that of the one tenant's block.
    pub(super) from: Option<u64>,
}

/// The limit asked for, or `otherwise`; from 1 to `most`.
pub(super) fn limit(asked: Option<usize>, otherwise: usize, most: usize) -> usize {
    asked.unwrap_or(otherwise).clamp(1, most)
}

/// The query, or the problem that it is none.
pub(super) fn query<T>(asked: Asked<T>) -> Result<T, Problem> {
    asked.map(|Query(query)| query).map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", rejection.body_text())
    })
}

/// A cursor that is a height or an index.
pub(super) fn place(cursor: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(text) = cursor else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.map(Some).ok_or_else(bad_cursor)
}

pub(super) fn bad_cursor() -> Problem {
    let detail = "cursor is not one that this path gave as next_cursor or in its Link header";
    Problem::new(StatusCode::BAD_REQUEST, "bad-cursor", detail)
}

/// A transaction's place: the height of the block that holds or anchors it, and how many newer ones that block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) height: u64,
    pub(super) newer: usize,
}

impl Position {
    /// The place that a cursor names.
    ///
    /// # Errors
    /// When the cursor is none.
    pub(super) fn parse(cursor: Option<&str>) -> Result<Option<Self>, Problem> {
        let Some(text) = cursor else { return Ok(None) };
        let (height, newer) = text.split_once('.').ok_or_else(bad_cursor)?;
        let number = |text| place(Some(text)).map(Option::unwrap_or_default);
        let newer = usize::try_from(number(newer)?).map_err(|_| bad_cursor())?;
        let height = number(height)?;
        Ok(Some(Self { height, newer }))
    }

    /// The place to begin at: the cursor's, or the newest transaction of the block at a height.
    ///
    /// # Errors
    /// When the cursor is none.
    pub(super) fn first(cursor: Option<&str>, from: Option<u64>) -> Result<Option<Self>, Problem> {
        let of_block = |height| Self { height, newer: 0 };
        Ok(Self::parse(cursor)?.or_else(|| from.map(of_block)))
    }

    pub(super) fn cursor(self) -> String {
        format!("{}.{}", self.height, self.newer)
    }
}

/// An answer with the link to the page after it.
#[derive(Debug)]
pub(super) struct Paged<T> {
    body: T,
    next: Option<String>,
}

impl<T> Paged<T> {
    /// A page of `limit` items at most that goes on at `cursor`, if it does.
    pub(super) fn new(body: T, cursor: Option<&str>, limit: usize) -> Self {
        let next = cursor.map(|cursor| format!("limit={limit}&cursor={cursor}"));
        Self { body, next }
    }

    /// Repeats a parameter in the link; its value needs no escaping.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if let Some(next) = &mut self.next {
            next.push_str(&format!("&{name}={value}"));
        }
        self
    }
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        let link = self
            .next
            .and_then(|next| HeaderValue::try_from(format!("<?{next}>; rel=\"next\"")).ok());
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_what_its_cursor_says_and_nothing_else_is_one() {
        let position = Position {
            height: u64::MAX,
            newer: 17,
        };
        let parsed = Position::parse(Some(&position.cursor())).unwrap();
        assert_eq!(parsed, Some(position));
        assert_eq!(Position::parse(None).unwrap(), None);
        for text in [
            "",
            "1",
            "1.",
            ".1",
            "1.2.3",
            "+1.2",
            "-1.2",
            "x.1",
            "18446744073709551616.0",
        ] {
            let problem = Position::parse(Some(text)).unwrap_err();
            assert_eq!(problem.kind, "/problems/bad-cursor", "{text}");
        }
    }

    #[test]
    fn a_limit_is_never_nothing_and_never_beyond_the_most() {
        assert_eq!(limit(None, 10, 100), 10);
        assert_eq!(limit(Some(0), 10, 100), 1);
        assert_eq!(limit(Some(usize::MAX), 10, 100), 100);
    }

    #[test]
    fn only_a_page_that_goes_on_has_a_link() {
        let last = Paged::new((), None, 5)
            .with("network", "shop")
            .into_response();
        assert!(!last.headers().contains_key(header::LINK));
        let more = Paged::new((), Some("7"), 5)
            .with("network", "shop")
            .into_response();
        let link = "<?limit=5&cursor=7&network=shop>; rel=\"next\"";
        assert_eq!(more.headers()[header::LINK], link);
    }
}
