//! `cargo bench -p benches`: the parts of the library one by one, for whoever changes one of them.

#![allow(clippy::unwrap_used, reason = "what is measured here works, or the benchmark is wrong")]
#![allow(missing_docs, reason = "criterion's macros make items without")]

#[allow(dead_code, reason = "the other half is for make bench")]
#[path = "../src/library/rows.rs"]
mod rows;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ovsdb::notation;
use ovsdb::operation::{Condition, Mutation, Mutator, Operation, Row};
use ovsdb::schema::DatabaseSchema;
use ovsdb::transaction::Transaction;
use ovsdb::value::Value;
use ovsdb::wire::frame::Framer;
use ovsdb::wire::message::Message;

const SCHEMA: &str = include_str!("../../tests/data/vswitch-8.3.1.ovsschema");

fn framing(criterion: &mut Criterion) {
    let reply = rows::reply(10_000);
    let notification = br#"{"id":null,"method":"update3","params":["monitor-1","00000000-0000-0000-0000-000000000000",{"Interface":{"6f4d5c2b-8a1e-4b7f-9c3d-2e1f0a9b8c7d":{"modify":{"ofport":7}}}}]}"#;
    let many = notification.repeat(10_000);
    let mut group = criterion.benchmark_group("framing");
    for (name, stream) in [("one reply of 10,000 rows", &reply), ("10,000 updates of one row", &many)] {
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut framer = Framer::default();
                let mut texts = 0;
                for piece in stream.chunks(64 * 1024) {
                    framer.space().extend_from_slice(piece);
                    while framer.next_text().unwrap().is_some() {
                        texts += 1;
                    }
                }
                texts
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("the envelope of an update", |bencher| {
        bencher.iter(|| matches!(Message::parse(black_box(&notification[..])), Ok(Message::Notification { .. })));
    });
    group.finish();
}

fn values(criterion: &mut Criterion) {
    let row = rows::interface(7);
    let mut group = criterion.benchmark_group("values");
    group.throughput(Throughput::Bytes(row.len() as u64));
    group.bench_function("a row, typed", |bencher| {
        bencher.iter(|| serde_json::from_str::<rows::Interface>(black_box(&row)).unwrap());
    });
    group.bench_function("a row of any table", |bencher| {
        bencher.iter(|| serde_json::from_str::<Row>(black_box(&row)).unwrap());
    });
    let parsed: Row = serde_json::from_str(&row).unwrap();
    group.bench_function("a row written", |bencher| bencher.iter(|| serde_json::to_vec(black_box(&parsed)).unwrap()));
    group.finish();
}

fn text_notation(criterion: &mut Criterion) {
    let schema: DatabaseSchema = serde_json::from_str(SCHEMA).unwrap();
    let (table_name, table) = notation::table(&schema, "Port").unwrap();
    let mut group = criterion.benchmark_group("text notation");
    for argument in ["tag=5", "trunks=10-19,30", "external_ids:iface-id=\"x y\"", "other_config={a=b,c=d}"] {
        group.bench_function(argument, |bencher| {
            bencher.iter(|| notation::assignment(table_name, table, black_box(argument)).unwrap());
        });
    }
    group.bench_function("a table by an abbreviation", |bencher| {
        bencher.iter(|| notation::table(&schema, black_box("interf")).unwrap());
    });
    let map = Value::string_map([("b", "two words"), ("a", "1")]);
    group.bench_function("a map printed", |bencher| bencher.iter(|| notation::to_text(black_box(&map))));
    group.finish();
}

/// A port with its interface on a bridge: the shape of most transactions.
fn add_port(name: &str) -> Transaction {
    let mut transaction = Transaction::new();
    let guard = Condition::equal("name", "br0");
    let interface = transaction.insert("Interface", Row::from([("name".into(), Value::from(name))]));
    let port = Row::from([
        ("name".into(), Value::from(name)),
        ("interfaces".into(), Value::from(interface)),
        ("tag".into(), Value::from(5i64)),
        ("external_ids".into(), Value::string_map([("ovs-plugin", "port")])),
    ]);
    let port = transaction.insert("Port", port);
    transaction.push(Operation::Mutate {
        table: "Bridge".into(),
        r#where: vec![guard],
        mutations: vec![Mutation("ports".into(), Mutator::Insert, port.into())],
    });
    transaction.push(Operation::Mutate {
        table: "Open_vSwitch".into(),
        r#where: Vec::new(),
        mutations: vec![Mutation("next_cfg".into(), Mutator::Add, 1i64.into())],
    });
    transaction.select("Open_vSwitch", Vec::new(), &["next_cfg"]);
    transaction
}

fn transactions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transactions");
    group.bench_function("a port added: built", |bencher| bencher.iter(|| add_port(black_box("tap0"))));
    group.bench_function("a port added: written", |bencher| {
        let transaction = add_port("tap0");
        bencher.iter_batched(
            || Vec::with_capacity(4096),
            |mut bytes| {
                serde_json::to_writer(&mut bytes, black_box(&transaction.operations)).unwrap();
                bytes
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(library, framing, values, text_notation, transactions);
criterion_main!(library);
