//! The client of schema registries, against one in this process.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in what they share

mod registry;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use _core::codec::avro::schema_text;
use _core::codec::names::{Case, Names};
use _core::error::ErrorKind;
use _core::kafka::{Registry, RegistryOptions};
use _core::schema::Stream;
use registry::Mood;

static GO: AtomicBool = AtomicBool::new(false);

fn options(pairs: &[(&str, &str)]) -> RegistryOptions {
    RegistryOptions::from_pairs(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))).unwrap()
}

fn client(server: &registry::Registry) -> Registry {
    Registry::new(options(&[("url", &server.url)])).unwrap()
}

fn gps() -> String {
    schema_text(Stream::Gps, Names::contract()).unwrap()
}

#[test]
fn a_schema_keeps_its_id_and_comes_back_as_it_was() {
    let server = registry::Registry::start();
    let client = client(&server);
    let id = client.register("gps_data-value", &gps(), &GO).unwrap();
    assert_eq!(client.register("gps_data-value", &gps(), &GO).unwrap(), id);
    assert_eq!(client.schema(id, &GO).unwrap(), Some(gps()));
    assert_eq!(client.schema(id + 1, &GO).unwrap(), None);
    assert_eq!(server.asked()[0], "POST /subjects/gps_data-value/versions");
    assert_eq!(server.asked()[2], format!("GET /schemas/ids/{id}"));
}

#[test]
fn a_path_of_the_address_and_odd_subjects_are_kept() {
    let server = registry::Registry::start();
    let client = Registry::new(options(&[("url", &format!("{}/sr", server.url))])).unwrap();
    let error = client.register("a/b c-value", &gps(), &GO).unwrap_err();
    assert_eq!(server.asked(), ["POST /sr/subjects/a%2Fb%20c-value/versions"]);
    // Not the registry's own "no such schema": somebody else answered.
    assert!(error.to_string().contains("Check the path"), "{error}");
    assert!(client.schema(1, &GO).is_err());
}

#[test]
fn an_incompatible_schema_is_refused_with_the_registrys_reason() {
    let server = registry::Registry::start();
    let client = client(&server);
    client.register("s-value", &gps(), &GO).unwrap();
    let other = gps().replace("\"double\"", "\"string\"");
    let error = client.register("s-value", &other, &GO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Kafka);
    let text = error.to_string();
    assert!(text.contains("\"s-value\"") && text.contains("TYPE_MISMATCH") && text.contains(&server.url), "{text}");
    // Other names are other fields, which may come and go.
    let snake = schema_text(Stream::Gps, &Names::new(Case::Snake, &[]).unwrap()).unwrap();
    assert!(client.register("s-value", &snake, &GO).is_ok());
}

#[test]
fn a_short_fault_is_got_over_and_a_long_one_ends() {
    let server = registry::Registry::start();
    let client = client(&server);
    for status in [500, 503, 429] {
        server.set(Mood::Refuses(2, status));
        assert!(client.register("s-value", &gps(), &GO).is_ok(), "{status}");
    }
    assert_eq!(server.asked().len(), 9);
    server.set(Mood::Refuses(3, 503));
    let error = client.schema(1, &GO).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true));
    assert!(error.to_string().contains("not now") && error.to_string().contains("schema 1"), "{error}");
    assert_eq!(server.asked().len(), 12, "three tries and no more");
    // A refusal is final.
    server.set(Mood::Refuses(1, 422));
    assert_eq!(client.schema(1, &GO).unwrap_err().kind(), ErrorKind::Kafka);
    assert_eq!(server.asked().len(), 13);
}

#[test]
fn a_registry_that_is_away_or_silent_is_an_error_in_time() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = Registry::new(options(&[("url", &format!("http://{closed}"))])).unwrap();
    let error = away.schema(1, &GO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains(&closed.to_string()) && error.to_string().contains("refused"), "{error}");

    let server = registry::Registry::start();
    server.set(Mood::Silent);
    let mut short = options(&[("url", &server.url)]);
    short.timeout = Duration::from_millis(200);
    let error = Registry::new(short).unwrap().schema(1, &GO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn whoever_wants_to_stop_does_not_wait_for_a_silent_registry() {
    let server = registry::Registry::start();
    server.set(Mood::Silent);
    let cancel = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| client(&server).schema(1, &cancel).unwrap_err().kind());
        while server.asked().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        cancel.store(true, Ordering::Relaxed);
        assert_eq!(asking.join().unwrap(), ErrorKind::Interrupted);
    });
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_login_is_sent_and_never_shown() {
    let server = registry::Registry::start();
    server.ask_for("Y2l0eTpodW50ZXIy");
    let login = |password| options(&[("url", &server.url), ("user", "city"), ("password", password)]);
    assert!(Registry::new(login("hunter2")).unwrap().register("s-value", &gps(), &GO).is_ok());
    let error = Registry::new(login("hunter3")).unwrap().register("s-value", &gps(), &GO).unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("password") && !error.contains("hunter"), "{error}");
}

#[test]
fn what_is_no_registry_is_told_so() {
    let server = registry::Registry::start();
    let client = client(&server);
    for odd in ["<html>", "{}", "{\"id\":-1,\"schema\":3}"] {
        server.set(Mood::Odd(odd));
        for error in [client.register("s", &gps(), &GO).unwrap_err(), client.schema(1, &GO).unwrap_err()] {
            assert!(error.to_string().contains("no schema registry"), "{error}");
        }
    }
}
