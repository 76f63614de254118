//! The tables, for editors and for people.

use serde_json::{Map, Value, json};

use crate::TOP;
use crate::schema::{Field, Schema, Shape, Status, Unknown};
use crate::stages::{NAMES, STEP};

/// The JSON Schema (draft 7) of user-data, with a description of every key, for editors.
///
/// It says what one key alone must be. What needs two keys or the content of a value is only known to [`crate::parse`].
pub fn json_schema() -> Value {
    let mut schema = object(&TOP);
    if let Some(map) = schema.as_object_mut() {
        let version = "http://json-schema.org/draft-07/schema#";
        map.insert("$schema".to_owned(), version.into());
        map.insert("title".to_owned(), "User-data of an edge host".into());
    }
    schema
}

fn object(schema: &Schema) -> Value {
    let properties: Map<String, Value> = fields(schema)
        .map(|field| (field.name.to_owned(), property(field)))
        .collect();
    let mut object = json!({ "type": "object", "properties": properties });
    let others = match schema.unknown {
        Unknown::Refused => Some(Value::Bool(false)),
        Unknown::Scalars => Some(value(Shape::Scalar)),
        Unknown::Warned | Unknown::Kept => None,
    };
    if let (Some(others), Some(map)) = (others, object.as_object_mut()) {
        map.insert("additionalProperties".to_owned(), others);
    }
    object
}

fn fields(schema: &Schema) -> impl Iterator<Item = &'static Field> {
    schema.fields.iter().flat_map(|group| group.iter())
}

fn property(field: &Field) -> Value {
    let mut property = match field.status {
        Status::Refused(_) => json!({ "not": {} }),
        _ => value(field.shape),
    };
    if let Some(map) = property.as_object_mut() {
        map.insert("description".to_owned(), description(field).into());
        if matches!(field.status, Status::Legacy(..)) {
            map.insert("deprecated".to_owned(), true.into());
        }
    }
    property
}

/// What the key is for, and what its status means for whoever writes it.
fn description(field: &Field) -> String {
    match field.status {
        Status::Current => field.doc.to_owned(),
        Status::Legacy(_, advice) => format!("{} Old: {advice}.", field.doc),
        Status::NotCarriedOut => format!("{} Not carried out by this version.", field.doc),
        Status::Refused(advice) => format!("{} Refused: {advice}.", field.doc),
    }
}

fn value(shape: Shape) -> Value {
    let text = || json!({ "type": "string" });
    match shape {
        Shape::Text => text(),
        Shape::Choice(values) => json!({ "type": "string", "enum": values }),
        Shape::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Count => json!({ "type": "integer", "minimum": 0 }),
        Shape::Texts => list(&text()),
        Shape::TextOrTexts => json!({ "anyOf": [text(), list(&text())] }),
        Shape::Scalars => named(&value(Shape::Scalar)),
        Shape::NamedTexts => named(&list(&text())),
        Shape::Object(schema) => object(schema),
        Shape::Objects(schema) => list(&object(schema)),
        Shape::Named(schema) => named(&object(schema)),
        Shape::ObjectsOrNamed(schema) => {
            json!({ "anyOf": [list(&object(schema)), named(&object(schema))] })
        }
        Shape::Users(schema) => list(&json!({ "anyOf": [object(schema), { "const": "default" }] })),
        Shape::Stages => stages(),
        Shape::Any => json!({}),
    }
}

fn list(item: &Value) -> Value {
    json!({ "type": "array", "items": item })
}

fn named(value: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

fn stages() -> Value {
    let steps = list(&object(&STEP));
    let properties: Map<String, Value> = NAMES
        .iter()
        .map(|(name, when)| {
            let mut stage = steps.clone();
            if let Some(map) = stage.as_object_mut() {
                map.insert("description".to_owned(), (*when).into());
            }
            ((*name).to_owned(), stage)
        })
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": steps })
}

/// Every key of user-data as a page of Markdown: one table for each mapping.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# The keys of user-data\n\nMade from the tables that the parser itself uses; do not edit.\n",
    );
    let mut open = vec![(String::new(), &TOP)];
    while let Some((path, schema)) = open.pop() {
        let mut below = Vec::new();
        let title = if path.is_empty() {
            "The top level".to_owned()
        } else {
            format!("`{path}`")
        };
        page.extend([format!(
            "\n## {title}\n\n| key | value | meaning |\n| --- | --- | --- |\n"
        )]);
        for field in fields(schema) {
            let (name, kind) = (field.name, kind(field.shape));
            let meaning = description(field).replace('|', "\\|");
            page.extend([format!("| `{name}` | {kind} | {meaning} |\n")]);
            let full = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            below.extend(inner(field.shape).map(|(suffix, inner)| (full + suffix, inner)));
        }
        if matches!(schema.unknown, Unknown::Scalars) {
            page.push_str("| any other | text or a number | A name of the author's own. |\n");
        }
        // The last one pushed is the next one written.
        open.extend(below.into_iter().rev());
    }
    page + &stages_page()
}

fn stages_page() -> String {
    let mut page = String::from("\n## The stages\n\nEach also with `.before` and `.after`.\n\n");
    page.push_str("| stage | when |\n| --- | --- |\n");
    for (name, when) in NAMES {
        page.extend([format!("| `{name}` | {when} |\n")]);
    }
    page
}

/// The mapping inside of a value, and how its path goes on.
fn inner(shape: Shape) -> Option<(&'static str, &'static Schema)> {
    match shape {
        Shape::Object(schema) => Some(("", schema)),
        Shape::Objects(schema) | Shape::ObjectsOrNamed(schema) | Shape::Users(schema) => {
            Some(("[]", schema))
        }
        Shape::Named(schema) => Some((".<name>", schema)),
        Shape::Stages => Some((".<stage>[]", &STEP)),
        _ => None,
    }
}

fn kind(shape: Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Choice(values) => {
            let shown = values.iter().filter(|value| !value.is_empty());
            let shown: Vec<String> = shown.map(|value| format!("`{value}`")).collect();
            shown.join(", ")
        }
        Shape::Scalar => "text or a number".to_owned(),
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Count => "whole number".to_owned(),
        Shape::Texts => "list of texts".to_owned(),
        Shape::TextOrTexts => "text or list of texts".to_owned(),
        Shape::Scalars => "texts or numbers by name".to_owned(),
        Shape::NamedTexts => "lists of texts by name".to_owned(),
        Shape::Object(_) => "mapping".to_owned(),
        Shape::Objects(_) | Shape::Users(_) => "list of mappings".to_owned(),
        Shape::Named(_) => "mappings by name".to_owned(),
        Shape::ObjectsOrNamed(_) => "list of mappings, or mappings by name".to_owned(),
        Shape::Stages => "lists of steps by stage".to_owned(),
        Shape::Any => "anything".to_owned(),
    }
}
