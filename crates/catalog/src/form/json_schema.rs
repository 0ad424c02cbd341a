//! The tables as JSON Schema (draft 2020-12), for editors: `catalog/schema/*.json`.

use serde_json::{Map, Value, json};

use super::{CALLERS, DEFAULTS, PLANS, Record, SERVICE, Shape};

/// Names of the schemas that [`json_schema`] writes: one file each, with `.json` behind.
pub const SCHEMAS: [&str; 4] = ["service", "defaults", "plans", "callers"];

/// The JSON Schema with this name; `None` for a name that is not in [`SCHEMAS`].
#[must_use]
pub fn json_schema(name: &str) -> Option<Value> {
    let (record, title) = match name {
        "service" => (&SERVICE, "oaas catalog entry"),
        "defaults" => (&DEFAULTS, "oaas catalog defaults"),
        "plans" => (&PLANS, "oaas plans"),
        "callers" => (&CALLERS, "oaas callers"),
        _ => return None,
    };
    let mut definitions = Map::new();
    let mut schema = record_schema(record, &mut definitions);
    let root = schema.as_object_mut()?;
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!(title));
    root.insert("$defs".to_owned(), Value::Object(definitions));
    Some(schema)
}

fn shape_schema(shape: &Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Text { min, max, pattern } => {
            let mut schema = json!({ "type": "string", "minLength": min, "maxLength": max });
            if let (Some(regex), Some(object)) = (pattern.regex(), schema.as_object_mut()) {
                object.insert("pattern".to_owned(), json!(regex));
            }
            schema
        }
        Shape::Integer { min, max } => json!({
            "type": "integer",
            "minimum": i64::try_from(*min).unwrap_or(i64::MIN),
            "maximum": i64::try_from(*max).unwrap_or(i64::MAX),
        }),
        Shape::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::Record(record) => {
            if !definitions.contains_key(record.name) {
                definitions.insert(record.name.to_owned(), Value::Null);
                let schema = record_schema(record, definitions);
                definitions.insert(record.name.to_owned(), schema);
            }
            json!({ "$ref": format!("#/$defs/{}", record.name) })
        }
        Shape::List { of, min, max } => {
            json!({ "type": "array", "items": shape_schema(of, definitions), "minItems": min, "maxItems": max })
        }
        Shape::Table { key, of, min, max } => json!({
            "type": "object",
            "propertyNames": key.regex().map_or(json!({}), |regex| json!({ "pattern": regex })),
            "additionalProperties": shape_schema(of, definitions),
            "minProperties": min,
            "maxProperties": max,
        }),
        Shape::Either(shapes) => {
            json!({ "anyOf": shapes.iter().map(|shape| shape_schema(shape, definitions)).collect::<Vec<_>>() })
        }
        Shape::Message => json!({ "type": "object" }),
    }
}

fn record_schema(record: &Record, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for field in record.fields {
        let mut schema = shape_schema(&field.shape, definitions);
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".to_owned(), json!(field.doc));
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<&str> = record.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    let mut schema = json!({
        "type": "object", "description": record.doc,
        "properties": properties, "required": required, "additionalProperties": false,
    });
    if let (true, Some(object)) = (record.one_of, schema.as_object_mut()) {
        object.insert("minProperties".to_owned(), json!(1));
        object.insert("maxProperties".to_owned(), json!(1));
    }
    schema
}
