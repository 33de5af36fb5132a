//! What the OpenAPI documents of all services share.

use std::collections::BTreeMap;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Ref, Schema, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::ProblemBody;

/// Bytes that the crate `shared` decodes and verifies.
#[derive(Clone, Copy, Debug)]
pub struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let text = ObjectBuilder::new().schema_type(Type::String);
        RefOr::T(text.format(Some(format)).build().into())
    }
}

impl ToSchema for Binary {}

/// Whatever goes wrong is a problem document (RFC 9457).
#[derive(Clone, Copy, Debug)]
pub struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let schema = Ref::from_schema_name(ProblemBody::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description("A problem document: `type` is for programs, `detail` for people")
            .content("application/problem+json", content)
            .build();
        BTreeMap::from([("default".to_owned(), RefOr::T(response))])
    }
}
