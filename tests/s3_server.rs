//! What only a real S3 server shows. Ignored unless asked for:
//!
//! `PYTHONPATH=tests python -m services s3 -- cargo test --profile quick --test s3_server -- --ignored`
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // clippy.toml allows it in test functions, not in what they share

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use _core::error::ErrorKind;
use _core::lake::{Lake, Replace};
use _core::storage::s3::{CreateOnly, Outcome, S3Options, S3Store};
use _core::storage::{Place, block_on};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchIterator, StringArray};
use object_store::path::Path;
use object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, integration,
};

fn options(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn open(bucket: &str, given: &[(&str, &str)]) -> S3Store {
    S3Store::open(bucket, S3Options::new(&options(given)).unwrap()).unwrap()
}

/// The server's bucket. Only the suite uses it, since that deletes what it finds.
fn shared() -> S3Store {
    open(&std::env::var("S3_BUCKET").unwrap(), &[])
}

/// A bucket of its own, as `lake init` makes it.
fn bucket(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{stem}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    open(&name, &[]).protect().unwrap();
    name
}

fn create_only() -> PutMultipartOptions {
    let mut options = PutMultipartOptions::default();
    options.extensions.insert(CreateOnly);
    options
}

async fn read(store: &dyn ObjectStore, key: &Path) -> Vec<u8> {
    store.get(key).await.unwrap().bytes().await.unwrap().to_vec()
}

#[test]
#[ignore = "needs S3"]
fn the_object_store_suite_passes() {
    let store = shared();
    block_on(async {
        integration::put_get_delete_list(&store).await;
        integration::list_uses_directories_correctly(&store).await;
        integration::list_with_delimiter(&store).await;
        integration::list_with_offset_exclusivity(&store).await;
        integration::rename_and_copy(&store).await;
        integration::copy_if_not_exists(&store).await;
        integration::copy_rename_nonexistent_object(&store).await;
        integration::stream_get(&store).await;
        integration::get_opts(&store).await;
        integration::put_opts(&store, true).await;
        integration::put_get_attributes(&store).await;
        integration::multipart_race_condition(&store, true).await;
        integration::multipart_out_of_order(&store).await;
        let missing = integration::get_nonexistent_object(&store, None).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    })
    .unwrap();
}

#[test]
#[ignore = "needs S3"]
fn what_is_there_is_never_replaced_by_a_create_only_write() {
    let name = bucket("create-only");
    let store = open(&name, &[]);
    let key = Path::from("a/b");
    block_on(async {
        let create = PutOptions::from(PutMode::Create);
        store.put_opts(&key, "first".into(), create.clone()).await.unwrap();
        let again = store.put_opts(&key, "second".into(), create).await.unwrap_err();
        assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
        assert!(again.to_string().contains(&format!("s3://{name}/a/b")), "{again}");

        let part = || bytes::Bytes::from(vec![7; 6 << 20]);
        let mut late = store.put_multipart_opts(&key, create_only()).await.unwrap();
        late.put_part(part().into()).await.unwrap();
        let refused = late.complete().await.unwrap_err();
        assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
        assert_eq!(read(&store, &key).await, b"first");

        // Two uploads of one name at the same time: the first to complete has it.
        let other = Path::from("a/c");
        let mut one = store.put_multipart_opts(&other, create_only()).await.unwrap();
        let mut two = store.put_multipart_opts(&other, create_only()).await.unwrap();
        one.put_part(part().into()).await.unwrap();
        two.put_part(bytes::Bytes::from(vec![8; 100]).into()).await.unwrap();
        two.complete().await.unwrap();
        let refused = one.complete().await.unwrap_err();
        assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
        assert_eq!(read(&store, &other).await, vec![8; 100]);
    })
    .unwrap();
}

#[test]
#[ignore = "needs S3"]
fn refused_credentials_are_named_and_not_shown() {
    let name = bucket("refused");
    let path = format!("s3://{name}/lake");
    let wrong = options(&[("access_key_id", "city"), ("secret_access_key", "hunter2-hunter2")]);
    let error = Lake::open_with(&path, &wrong, true).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(text.contains(&path) && text.contains("SignatureDoesNotMatch"), "{text}");
    assert!(text.contains("Correct access_key_id") && !text.contains("hunter2"), "{text}");

    // One that may read and nothing else.
    let reader = options(&[("access_key_id", "reader"), ("secret_access_key", "reader-secret-of-this-run")]);
    let error = Lake::open_with(&path, &reader, true).unwrap_err().to_string();
    assert!(error.contains("AccessDenied") && error.contains("docs/s3.md"), "{error}");
    Lake::open(&path, true).unwrap();
    Lake::open_with(&path, &reader, false).unwrap();

    let error = Lake::open("s3://no-such-bucket-here/lake", true).unwrap_err().to_string();
    assert!(error.contains("NoSuchBucket") && error.contains("lake init"), "{error}");
}

#[test]
#[ignore = "needs S3"]
fn a_bucket_is_made_safe_once_and_what_the_server_lacks_is_named() {
    let name = format!("safe-{}", std::process::id());
    let store = open(&name, &[]);
    let first = store.protect().unwrap();
    let again = store.protect().unwrap();
    let measures: Vec<_> = first.iter().map(|p| p.measure).collect();
    assert_eq!(measures, ["bucket", "public access", "encryption", "versioning", "multipart uploads"]);
    assert_eq!(first[0].outcome, Outcome::Done);
    for (first, again) in first.iter().zip(&again) {
        let expected = if first.outcome == Outcome::Done { Outcome::Held } else { first.outcome };
        assert_eq!(again.outcome, expected, "{first:?} {again:?}");
        assert_ne!(first.outcome, Outcome::Failed, "{first:?}");
    }
}

/// Rows that hardly shrink, of about 120 bytes each.
fn noise(rows: i64) -> RecordBatch {
    let mut state = 1_i64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    };
    let mut text = || {
        let words: [i64; 6] = std::array::from_fn(|_| next());
        words.map(|word| format!("{word:016x}")).concat()
    };
    let texts: Vec<String> = (0..rows).map(|_| text()).collect();
    RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef),
        ("id", Arc::new(StringArray::from(texts)) as ArrayRef),
        ("other", Arc::new(Int64Array::from_iter_values((0..rows).map(|_| next()))) as ArrayRef),
    ])
    .unwrap()
}

#[test]
#[ignore = "needs S3"]
fn a_table_of_large_files_is_written_in_parts_and_read_in_ranges() {
    let name = bucket("large");
    let path = format!("s3://{name}/deep/läke");
    let given = options(&[("part_bytes", "5242880"), ("part_uploads", "2")]);
    let lake = Lake::open_with(&path, &given, true).unwrap();
    let batch = noise(400_000);
    let schema = batch.schema();
    let done = lake
        .replace(
            "gold.noise",
            &mut RecordBatchIterator::new((0..8).map(|i| Ok(batch.slice(i * 50_000, 50_000))), schema),
            &Replace::default(),
        )
        .unwrap();
    assert_eq!((done.rows, done.version), (400_000, 1));
    let snapshot = Lake::open(&path, false).unwrap().snapshot("gold.noise").unwrap();
    assert_eq!(snapshot.files.len(), 1);
    let file = &snapshot.files[0];
    assert!(file.bytes > 15 << 20, "{} bytes are not many parts", file.bytes);
    assert_eq!(file.path.size().unwrap(), file.bytes);
    let mut seen = 0;
    for part in snapshot.scan(None).unwrap() {
        let part = part.unwrap();
        let wanted = batch.slice(seen, part.num_rows());
        assert_eq!(part.columns(), wanted.columns());
        seen += part.num_rows();
    }
    assert_eq!(seen, 400_000);
    let numbers: i64 = snapshot
        .scan(Some(&["n"]))
        .unwrap()
        .map(|b| b.unwrap().column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().iter().sum::<i64>())
        .sum();
    assert_eq!(numbers, 400_000 * 399_999 / 2);
    assert_eq!(lake.names().unwrap(), ["gold.noise"]);

    // A lake that others have written to in the meantime goes on from there.
    let store: Arc<dyn ObjectStore> = Arc::new(open(&name, &[]));
    let other = Lake::open_on(store, &path, false).unwrap();
    other.ensure_tables().unwrap();
    assert_eq!(lake.names().unwrap().len(), 16);
}

#[test]
#[ignore = "needs S3"]
fn an_upload_that_is_given_up_leaves_nothing() {
    use std::io::Write;
    let name = bucket("given-up");
    let store: Arc<dyn ObjectStore> = Arc::new(open(&name, &[]));
    let place = Place::object(Arc::clone(&store), &format!("s3://{name}"), "x/y", Some((5 << 20, 2))).unwrap();
    let mut file = place.create().unwrap();
    file.write_all(&vec![1; 12 << 20]).unwrap();
    drop(file);
    assert_eq!(place.text().unwrap(), None);
}

/// Stands between client and server, and keeps the answer to the first request of `lost` to itself.
fn losing_answers(lost: &str) -> String {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicBool;

    /// A head and the body that it announces.
    fn message(from: &mut TcpStream, body: impl Fn(&str) -> bool) -> Option<(String, Vec<u8>)> {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(b"\r\n\r\n") {
            if from.read(&mut byte).ok()? == 0 {
                return None;
            }
            bytes.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&bytes).to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        if body(&head) {
            let mut rest = vec![0; length];
            from.read_exact(&mut rest).ok()?;
            bytes.extend(rest);
        }
        Some((head, bytes))
    }

    let lost = lost.to_owned();
    let server = std::env::var("AWS_ENDPOINT_URL").unwrap().replace("http://", "");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let done = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, server, done, lost) = (client.unwrap(), server.clone(), Arc::clone(&done), lost.clone());
            std::thread::spawn(move || {
                while let Some((head, request)) = message(&mut client, |_| true) {
                    let mut upstream = TcpStream::connect(&server).unwrap();
                    upstream.write_all(&request).unwrap();
                    let Some((_, answer)) = message(&mut upstream, |_| !head.starts_with("head")) else { return };
                    if head.starts_with(&lost) && !done.swap(true, Ordering::SeqCst) {
                        return;
                    }
                    client.write_all(&answer).unwrap();
                }
            });
        }
    });
    address
}

#[test]
#[ignore = "needs S3"]
fn a_write_whose_answer_was_lost_is_known_as_ones_own() {
    let name = bucket("lost");
    let key = Path::from("a/b");
    let put = open(&name, &[("endpoint_url", &losing_answers("put")), ("allow_http", "true")]);
    block_on(async {
        put.put_opts(&key, "mine".into(), PutOptions::from(PutMode::Create)).await.unwrap();
        let again = put.put_opts(&key, "other".into(), PutOptions::from(PutMode::Create)).await.unwrap_err();
        assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
        assert_eq!(read(&put, &key).await, b"mine");
    })
    .unwrap();

    // A POST with the id of an upload completes it.
    let lost = losing_answers(&format!("post /{name}/a/c?uploadid="));
    let upload = open(&name, &[("endpoint_url", &lost), ("allow_http", "true")]);
    block_on(async {
        let key = Path::from("a/c");
        let mut parts = upload.put_multipart_opts(&key, create_only()).await.unwrap();
        parts.put_part("mine".into()).await.unwrap();
        parts.complete().await.unwrap();
        assert_eq!(read(&upload, &key).await, b"mine");
    })
    .unwrap();
}
