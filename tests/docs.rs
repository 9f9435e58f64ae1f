//! `docs/streams.md` is what `src/schema` says. Renew it with `DOCS=write cargo test --profile quick --test docs`.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use _core::schema::{Field, Kind, Origin, Stream};

fn wire(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "string",
        Kind::Int | Kind::Long => "integer",
        Kind::Double => "number",
        Kind::Time => "ISO 8601 UTC, milliseconds",
        Kind::Point => "[lat, lon]",
        Kind::Ints => "[integer, …]",
        Kind::Line => "[[lat, lon], …]",
        Kind::Struct(_) => "object",
    }
}

fn rows(page: &mut String, fields: &[Field], prefix: &str) {
    for field in fields {
        let arrow = match field.kind {
            Kind::Struct(_) => "Struct".to_owned(),
            kind => kind.to_arrow().to_string().replace("non-null ", "").replace('|', "\\|"),
        };
        let origin = if field.origin == Origin::Original { "original" } else { "added" };
        let null = if field.null_when.is_empty() { "never" } else { field.null_when };
        let silver = match field.kind {
            Kind::Point => "lat, lon",
            _ => field.silver,
        };
        let name = format!("{prefix}{}", field.name);
        let (wire, unit, doc) = (wire(field.kind), field.unit, field.doc);
        writeln!(page, "| {name} | {wire} | `{arrow}` | {unit} | {null} | {origin} | {silver} | {doc} |").unwrap();
        if let Kind::Struct(inner) = field.kind {
            rows(page, inner, &format!("{name}."));
        }
    }
}

fn page() -> String {
    let mut page = String::from(
        "# Streams\n\nEvery column of every stream: on the wire (JSON), in Arrow, and its name in silver. Made from `src/schema`; \
         change it there.\n\nOriginal fields are those of the smart-city scripts that citystream stands in for, with their \
         names, types and meaning.\n",
    );
    for stream in Stream::ALL {
        let (name, topic, key) = (stream.name(), stream.default_topic(), stream.key_column());
        write!(page, "\n## {name}\n\nTopic `{topic}`, key `{key}`.\n\n").unwrap();
        page.push_str("| field | JSON | Arrow | unit | null when | origin | silver | meaning |\n");
        page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
        rows(&mut page, stream.fields(), "");
    }
    page
}

#[test]
fn the_page_is_what_the_schema_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/streams.md");
    let page = page();
    assert!(page.lines().count() > 100);
    if std::env::var("DOCS").is_ok_and(|v| v == "write") {
        fs::write(&file, &page).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), page, "see the head of this file");
}
