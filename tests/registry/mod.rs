//! A schema registry in this process that speaks the real REST calls, and can be told to fail.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // Clippy allows these in test functions only; each test uses a part.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// What it does before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Nothing.
    Fine,
    /// The next so many requests get this status.
    Refuses(u32, u16),
    /// Requests are never answered.
    Silent,
    /// Answers something that no registry would.
    Odd(&'static str),
}

#[derive(Debug)]
struct State {
    mood: Mood,
    login: Option<String>,
    subjects: BTreeMap<String, Vec<u32>>,
    schemas: Vec<String>,
    asked: Vec<String>,
}

/// A running registry; it lives as long as the test.
#[derive(Debug, Clone)]
pub struct Registry {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state =
            State { mood: Mood::Fine, login: None, subjects: BTreeMap::new(), schemas: Vec::new(), asked: Vec::new() };
        let registry = Self { url, state: Arc::new(Mutex::new(state)) };
        let serving = registry.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream.unwrap()));
            }
        });
        registry
    }

    pub fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// From now on asks for this login, as `user:password` in base64.
    pub fn ask_for(&self, login: &str) {
        self.state.lock().unwrap().login = Some(format!("Basic {login}"));
    }

    /// Requests so far, as `GET /path`.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Adds a schema as another writer would.
    pub fn put(&self, text: &str) -> u32 {
        let mut state = self.state.lock().unwrap();
        state.schemas.push(text.to_owned());
        state.schemas.len() as u32
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            let request = line.trim().rsplit_once(' ').unwrap().0.to_owned();
            let (mut length, mut login) = (0, None);
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim().split_once(": ") else { break };
                match name.to_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "authorization" => login = Some(value.to_owned()),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let Some((status, answer)) = self.answer(&request, login.as_ref(), &body) else {
                thread::sleep(Duration::from_mins(1));
                return;
            };
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
            writer.write_all((head + &answer).as_bytes()).unwrap();
            line.clear();
        }
    }

    fn answer(&self, request: &str, login: Option<&String>, body: &[u8]) -> Option<(u16, String)> {
        let mut state = self.state.lock().unwrap();
        state.asked.push(request.to_owned());
        let error = |status: u16, code: u32, text: &str| {
            Some((status, json!({"error_code": code, "message": text}).to_string()))
        };
        match state.mood {
            Mood::Silent => return None,
            Mood::Odd(text) => return Some((200, text.to_owned())),
            Mood::Refuses(times, status) => {
                state.mood = if times > 1 { Mood::Refuses(times - 1, status) } else { Mood::Fine };
                return error(status, u32::from(status) * 100 + 1, "not now");
            }
            Mood::Fine => {}
        }
        if state.login.is_some() && state.login.as_ref() != login {
            return error(401, 401, "Unauthorized");
        }
        let (method, path) = request.split_once(' ').unwrap();
        let parts: Vec<_> = path.split('/').collect();
        match (method, parts.as_slice()) {
            ("POST", ["", "subjects", subject, "versions"]) => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                let text = asked["schema"].as_str().unwrap();
                let schema: Value = serde_json::from_str(text).unwrap();
                let id = if let Some(at) = state.schemas.iter().position(|known| known == text) {
                    at as u32 + 1
                } else {
                    let last = state.subjects.get(*subject).and_then(|ids| ids.last()).copied();
                    if let Some(last) = last {
                        let old: Value = serde_json::from_str(&state.schemas[last as usize - 1]).unwrap();
                        if let Some(name) = retyped(&old, &schema) {
                            let text = format!("Schema being registered is incompatible: TYPE_MISMATCH of {name}");
                            return error(409, 409, &text);
                        }
                    }
                    state.schemas.push(text.to_owned());
                    state.schemas.len() as u32
                };
                state.subjects.entry((*subject).to_owned()).or_default().push(id);
                Some((200, json!({ "id": id }).to_string()))
            }
            ("GET", ["", "schemas", "ids", id]) => {
                let found = id.parse::<usize>().ok().and_then(|id| state.schemas.get(id.wrapping_sub(1)));
                match found {
                    Some(text) => Some((200, json!({ "schema": text }).to_string())),
                    None => error(404, 40403, "Schema not found"),
                }
            }
            _ => error(404, 404, "HTTP 404 Not Found"),
        }
    }
}

/// A field that both schemas have, of different types.
fn retyped(old: &Value, new: &Value) -> Option<String> {
    let fields = |schema: &Value| schema["fields"].as_array().cloned().unwrap_or_default();
    let found = fields(new)
        .into_iter()
        .find(|new| fields(old).iter().any(|old| old["name"] == new["name"] && old["type"] != new["type"]));
    found.map(|field| field["name"].to_string())
}
