//! What the description of this API says of values that are written as text, of the outcomes of single commands, and of
//! problems. All else says of itself what it is, by `ToSchema`, where it is defined.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::problem::{PROBLEM_JSON, Problem};
use crate::audit::TrailOutcome;
use crate::fingerprint::{Fingerprint, Kind};
use crate::journal::Link;
use crate::list::{Category, Flag, Flags, ListName};
use crate::store::command::Outcome;

/// Text of some form.
fn text(description: &str, pattern: Option<String>) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
    text.description(Some(description)).pattern(pattern).into()
}

impl PartialSchema for Fingerprint {
    fn schema() -> RefOr<Schema> {
        let one = |kind: Kind| format!("{}:[0-9a-fA-F]{{{}}}", kind.name(), 2 * kind.width());
        let pattern = format!("^({})$", Kind::ALL.map(one).join("|"));
        text("A hash with its kind in front, as `md5:00…`, in hex.", Some(pattern))
    }
}

impl ToSchema for Fingerprint {}

impl PartialSchema for ListName {
    fn schema() -> RefOr<Schema> {
        text("The name of a list.", Some("^[a-z0-9_][a-z0-9._-]{0,63}$".to_owned()))
    }
}

impl ToSchema for ListName {}

impl PartialSchema for Category {
    fn schema() -> RefOr<Schema> {
        text("An issuer's raw category, `SCHEME:CODE` or `CODE`.", None)
    }
}

impl ToSchema for Category {}

impl PartialSchema for Flags {
    fn schema() -> RefOr<Schema> {
        let names = Flag::ALL.map(Flag::name);
        let flag = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(names));
        ArrayBuilder::new().items(flag).description(Some("What else an issuer says.")).into()
    }
}

impl ToSchema for Flags {}

impl PartialSchema for Link {
    fn schema() -> RefOr<Schema> {
        text("A record's link, in hex.", Some("^[0-9a-f]{64}$".to_owned()))
    }
}

impl ToSchema for Link {}

/// Bytes of whatever sort.
pub(super) struct Bytes;

impl PartialSchema for Bytes {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some("Bytes, as they are.")).into()
    }
}

impl ToSchema for Bytes {}

/// Types that stand for single outcomes in the description, each as the type of all outcomes says what it is.
macro_rules! outcomes {
    ($all:ty: $($name:ident = $variant:literal,)*) => {$(
        #[doc = concat!("The outcome `", $variant, "`.")]
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                outcome::<$all>($variant)
            }
        }

        impl ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                <$all as ToSchema>::schemas(schemas);
            }
        }
    )*};
}

outcomes! { Outcome:
    ListsOutcome = "lists",
    InspectedOutcome = "inspected",
    RemovedOutcome = "removed",
    StateSetOutcome = "state_set",
    RadiusSetOutcome = "radius_set",
    RolledBackOutcome = "rolled_back",
    HeldOutcome = "held",
    AcceptedOutcome = "accepted",
    AcknowledgedOutcome = "acknowledged",
    CategoriesOutcome = "categories",
    ContentsOutcome = "contents",
    EntriesOutcome = "entries",
    WithdrawalsOutcome = "withdrawals",
    AddedOutcome = "added",
    WithdrawnOutcome = "withdrawn",
    ExplainedOutcome = "explained",
    SuppressionsOutcome = "suppressions",
    SuppressedOutcome = "suppressed",
    LiftedOutcome = "lifted",
}

outcomes! { TrailOutcome:
    AuditRecordsOutcome = "audit_records",
    AuditCheckpointOutcome = "audit_checkpoint",
}

/// Of the schema of all outcomes: that of one.
fn outcome<T: PartialSchema>(name: &str) -> RefOr<Schema> {
    let RefOr::T(Schema::OneOf(all)) = T::schema() else { unreachable!("outcomes are alternatives") };
    let is_it = |schema: &RefOr<Schema>| {
        let json = serde_json::to_value(schema).expect("a schema is plain data");
        let tagged = |part: &Value| part["properties"]["outcome"]["enum"][0] == name;
        tagged(&json) || json["allOf"].as_array().is_some_and(|parts| parts.iter().any(tagged))
    };
    all.items.into_iter().find(is_it).unwrap_or_else(|| panic!("expected an outcome `{name}`, found none"))
}

/// The statuses with which there is a problem instead of an answer.
const PROBLEMS: [(&str, &str); 15] = [
    ("400", "What was asked is not what this description says."),
    ("401", "Nobody has this token."),
    ("403", "Who asks lacks the right."),
    ("404", "There is no such path."),
    ("408", "The request did not come in time."),
    ("409", "Something else was changed meanwhile; trying again may help."),
    ("410", "What was asked for is no longer kept."),
    ("411", "It is not said how long the body is."),
    ("413", "A limit is exceeded."),
    ("415", "The body is not simply the bytes that are meant: compressed, or a form."),
    ("422", "What was asked is understood and refused."),
    ("429", "The budget is used up; Retry-After says until when, if ever there is room."),
    ("500", "The daemon failed; its log says why."),
    ("503", "No room now; try again."),
    ("505", "Answers that come bit by bit need HTTP/1.1."),
];

impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem =
            |(status, _): (&str, _)| (status.to_owned(), Ref::from_response_name(format!("problem-{status}")).into());
        PROBLEMS.map(problem).into()
    }
}

/// Adds what no handler says of itself: problems, that requests may bring a token, and that an answer is one.
pub(super) fn complete(description: &mut OpenApi) {
    for path in description.paths.paths.values_mut() {
        let of_path = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().flatten();
        for response in of_path.flat_map(|operation| operation.responses.responses.values_mut()) {
            if let RefOr::T(response) = response
                && response.description.is_empty()
            {
                response.description = "The answer.".to_owned();
            }
        }
    }
    let components = description.components.get_or_insert_default();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert("token".to_owned(), scheme.into());
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (status, means) in PROBLEMS {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let mut response = ResponseBuilder::new().description(means).content(PROBLEM_JSON, body);
        if matches!(status, "429" | "503") {
            let seconds = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(1));
            let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds until there is room."));
            response = response.header("Retry-After", header.build());
        }
        components.responses.insert(format!("problem-{status}"), response.build().into());
    }
    let either = [SecurityRequirement::default(), SecurityRequirement::new("token", Vec::<String>::new())];
    description.security = Some(either.to_vec());
}

/// The description as it is given out.
pub(super) fn to_json(description: &OpenApi) -> Vec<u8> {
    let mut json = serde_json::to_value(description).expect("a description is plain data");
    open_parts(&mut json);
    tidy(&mut json);
    serde_json::to_vec(&json).expect("a description is plain data")
}

/// What is a part of something else has the fields of the whole besides its own.
fn open_parts(description: &mut Value) {
    fn parts(json: &Value, names: &mut BTreeSet<String>) {
        match json {
            Value::Object(fields) => {
                for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                    let name = part["$ref"].as_str().and_then(|name| name.rsplit('/').next());
                    names.extend(name.map(str::to_owned));
                }
                fields.values().for_each(|field| parts(field, names));
            }
            Value::Array(items) => items.iter().for_each(|item| parts(item, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    parts(description, &mut names);
    for name in names {
        if let Some(Value::Object(schema)) = description.pointer_mut(&format!("/components/schemas/{name}")) {
            schema.remove("additionalProperties");
        }
    }
}

/// Says of numbers how large they may be, and of alternatives that are told apart by their one field that there is no
/// other. Comments name other items of the code in brackets, which mean nothing here.
fn tidy(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            // `u-int` is how utoipa writes them.
            let format = fields.get("format").and_then(Value::as_str).and_then(|format| format.strip_prefix("u-int"));
            if let Some(bits) = format.and_then(|bits| bits.parse::<u32>().ok()) {
                fields.insert("format".to_owned(), format!("uint{bits}").into());
                fields.insert("minimum".to_owned(), 0.into());
                fields.insert("maximum".to_owned(), (u64::MAX >> (64 - bits)).into());
            }
            let is_one_field = |one: &Value| one["properties"].as_object().is_some_and(|fields| fields.len() == 1);
            let alternatives = fields.get_mut("oneOf").and_then(Value::as_array_mut);
            for one in alternatives.filter(|all| all.iter().all(is_one_field)).into_iter().flatten() {
                one["additionalProperties"] = false.into();
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::String(text) if text.contains("[`") => *text = text.replace("[`", "`").replace("`]", "`"),
        _ => {}
    }
}
