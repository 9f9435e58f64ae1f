//! Tells the crate the name of the profile that it is built in; Cargo tells only "release" or "debug".

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // OUT_DIR is target/<profile>/build/<crate>/out.
    let out = env::var("OUT_DIR").unwrap_or_default();
    let profile = Path::new(&out).ancestors().nth(3).and_then(|p| p.file_name()).and_then(|p| p.to_str());
    println!("cargo::rustc-env=CITYSTREAM_PROFILE={}", profile.unwrap_or("unknown"));
}
