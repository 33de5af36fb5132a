//! A request's JSON, of which no more is held than was sent.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use bytes::BytesMut;
use serde::de::DeserializeOwned;

/// As [`Json`], but the parts in which a body comes are copied together as they come: kept as they are, each would hold
/// the buffer of 8 KiB that it was read into, also one of a single byte.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = JsonRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = BytesMut::from_request(whole, state).await?;
        let request = Request::from_parts(parts, Body::from(bytes.freeze()));
        let Json(value) = Json::from_request(request, state).await?;
        Ok(Self(value))
    }
}
