//! The publisher itself, over replicas in this process.

use super::desk::{Following, PARTITIONS, check, committed, decided, ends, ledger_of, uncommitted, until};
use attestune_ledger::log::kafka::rdkafka::admin::{AdminClient, AdminOptions};
use attestune_ledger::log::kafka::rdkafka::client::DefaultClientContext;
use attestune_ledger::log::kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use attestune_ledger::log::kafka::rdkafka::{ClientConfig, Offset, TopicPartitionList};
use attestune_ledger::log::kafka::{delete, describe};
use attestune_ledger::log::{Kafka, KafkaConfig};
use attestune_ledger::store::Store;
use attestune_proto::v1::{ModelRegistered, RoleWithdrawn, Verdict, event::Body};
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{World, ingested, promotion_and_rollback, the_gate, whole_life};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[test]
fn every_position_is_published_once_and_says_what_it_is() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut world = whole_life();
    world.act("nobody", ingested("tickets", 1));
    let again = world.log[3].1.clone();
    world.push(again);
    world.push(b"no event".to_vec());
    let ledger = ledger_of(cluster, &world);
    let (following, positions) = (Following::open(&ledger), world.log.len() as u64);
    following.publish(None).publishes(positions);

    let records = committed(&decided(&ledger));
    check(&records, positions);
    let id: String = world.ledger.iter().map(|byte| format!("{byte:02x}")).collect();
    for record in &records {
        let (headers, decided) = (&record.headers, record.decided());
        let ours = following.replica.decided(record.position()).unwrap();
        assert_eq!((decided.position, decided.time_ms), (ours.position, ours.time_ms));
        assert_eq!((decided.verdict, &decided.refusal), (ours.verdict, &ours.refusal));
        assert_eq!(decided.effects_digest, ours.effects_digest);
        assert_eq!(headers["ce_specversion"], "1.0");
        assert_eq!(headers["ce_source"], format!("/ledgers/{id}"));
        assert_eq!(headers["ce_subject"], record.key);
        assert_eq!(headers["content-type"], "application/protobuf");
        assert!(headers["ce_time"].starts_with("2026-") && headers["ce_time"].ends_with('Z'), "{headers:?}");
        let leaf = attestune_ledger::rules::entry_leaf(ours.time_ms, &ours.envelope);
        assert_eq!(headers["ce_leafhash"], leaf.to_string());
        if decided.verdict() == Verdict::Garbage {
            assert_eq!((record.key.as_str(), headers["ce_type"].as_str()), ("garbage", "attestune.v1.garbage"));
            assert!(decided.envelope.is_empty(), "nobody has judged its bytes");
        } else {
            assert_eq!(decided.envelope, ours.envelope);
        }
    }
    // Many keys, and each partition has some.
    let partitions: BTreeSet<_> = records.iter().map(|record| record.partition).collect();
    assert_eq!(partitions.len(), PARTITIONS as usize);
}

#[test]
fn an_act_is_keyed_by_what_it_is_about_whether_accepted_or_refused_and_a_refusal_carries_its_figures() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut world = the_gate();
    let long = "x".repeat(70);
    let named = |model: &str| {
        Body::ModelRegistered(ModelRegistered { model: model.into(), base: 1_000_000, ..ModelRegistered::default() })
    };
    world.act("ella", named("elsewhere"));
    world.act("ella", named(&long));
    world.act("ada", Body::RoleWithdrawn(RoleWithdrawn { actor: "nobody".into(), role: 1 }));
    let ledger = ledger_of(cluster, &world);
    let following = Following::open(&ledger);
    following.publish(None).publishes(world.log.len() as u64);
    let records = committed(&decided(&ledger));

    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in &records {
        let kind = record.headers["ce_type"].rsplit('.').next().unwrap().to_owned();
        keys.entry(kind).or_default().insert(record.key.clone());
    }
    let of = |kind: &str| keys[kind].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("ledger-created"), ["ledger"]);
    assert_eq!(of("dataset-frozen"), ["dataset/tickets"]);
    for kind in
        ["training-requested", "training-claimed", "training-completed", "evaluation-completed", "promotion-requested"]
    {
        assert_eq!(of(kind), ["model/triage"], "{kind}");
    }
    assert_eq!(of("model-registered"), ["model/?", "model/elsewhere"]);
    assert!(of("role-withdrawn").contains(&"actor/nobody"));
    let scanned =
        records.iter().find(|record| record.headers["ce_type"].ends_with("accepted.examples-scanned")).unwrap();
    let Some(Body::ExamplesScanned(body)) = scanned.event().body else { panic!("a scan") };
    assert_eq!(scanned.key, format!("batch/{}", body.batch));
    let derived = records.iter().find(|record| record.position() == body.batch).unwrap();
    assert_eq!((derived.key.as_str(), derived.partition), (scanned.key.as_str(), scanned.partition));

    let refused: Vec<_> = records.iter().filter(|record| record.headers["ce_type"].contains(".refused.")).collect();
    assert!(refused.len() >= 5);
    for record in &refused {
        let refusal = record.decided().refusal.unwrap();
        let theirs = &world.folded[record.position() as usize];
        assert_eq!(refusal.code, theirs.code());
        let figures: Vec<_> =
            refusal.figures.iter().map(|figure| (figure.name.as_str(), figure.value.clone())).collect();
        assert_eq!(figures, theirs.refusal.as_ref().unwrap().figures());
    }
    assert!(refused.iter().any(|record| !record.decided().refusal.unwrap().figures.is_empty()));
}

#[test]
fn the_older_of_two_publishers_is_fenced_and_takes_over_once_nobody_publishes() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut world = World::new();
    let ledger = ledger_of(cluster, &world);
    let following = Following::open(&ledger);
    let older = following.publish(None);
    older.publishes(following.replica.position());
    let newer = following.publish(None);
    newer.publishes(following.replica.position());
    // The older one hears of it when it tries the next time.
    following.append(&mut world, "sten", ingested("a", 1));
    newer.publishes(following.replica.position());
    older.gives_up("another process publishes");
    following.append(&mut world, "sten", ingested("b", 1));
    newer.publishes(following.replica.position());
    drop(newer);
    following.append(&mut world, "sten", ingested("c", 1));
    older.publishes(following.replica.position());
    check(&committed(&decided(&ledger)), following.replica.position());
}

#[test]
fn what_a_dead_publisher_left_open_never_was_and_the_next_goes_on_before_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut world = promotion_and_rollback();
    let ledger = ledger_of(cluster, &world);
    let following = Following::open(&ledger);
    following.publish(None).publishes(following.replica.position());
    let topic = decided(&ledger);
    // As one that was killed after it had written and before it had committed; far more than is looked at first.
    let zombie = transactional(&topic, topic.topic());
    zombie.begin_transaction().unwrap();
    write(&zombie, &topic, 500);
    zombie.flush(super::desk::PATIENCE).unwrap();
    until("the open transaction hides what is behind it", || {
        ends(&topic, "read_committed") != ends(&topic, "read_uncommitted")
    });

    following.append(&mut world, "sten", ingested("more", 1));
    let positions = following.replica.position();
    following.publish(None).publishes(positions);
    check(&committed(&topic), positions);
    assert_eq!(uncommitted(&topic).len() as u64, positions + 500);
    // And the dead one, back to life, can't commit it.
    assert!(zombie.commit_transaction(Duration::from_secs(10)).is_err());
    check(&committed(&topic), positions);
    // Once more, from an end of nothing but what was given up.
    let again = following.publish(None);
    again.publishes(positions);
    check(&committed(&topic), positions);
}

#[test]
fn a_transaction_of_somebody_else_is_waited_for_and_records_that_are_not_ours_are_passed_over() {
    let Some(cluster) = Cluster::shared() else { return };
    let world = World::new();
    let ledger = ledger_of(cluster, &world);
    let following = Following::open(&ledger);
    let positions = following.replica.position();
    following.publish(None).publishes(positions);
    let topic = decided(&ledger);
    let foreign = transactional(&topic, "somebody-else");
    foreign.begin_transaction().unwrap();
    write(&foreign, &topic, 100);
    foreign.flush(super::desk::PATIENCE).unwrap();
    let publishing = following.publish(None);
    publishing.gives_up("a transaction of somebody else is open on partition");
    foreign.commit_transaction(super::desk::PATIENCE).unwrap();
    publishing.publishes(positions);
    let ours: Vec<_> = committed(&topic).into_iter().filter(|record| !record.headers.is_empty()).collect();
    check(&ours, positions);
}

#[test]
fn a_topic_that_it_can_not_go_on_from_is_left_alone_with_the_reason() {
    let Some(cluster) = Cluster::shared() else { return };
    let world = World::new();
    let ledger = ledger_of(cluster, &world);
    let topic = decided(&ledger);
    let following = Following::open(&ledger);
    let positions = following.replica.position();
    following.publish(Some(5)).publishes(positions);
    let first = committed(&topic).iter().map(super::desk::Record::position).min();
    assert_eq!(first, Some(5), "a topic without records begins where it is told");

    // All records are gone: it does not begin anew by itself.
    empty(&topic);
    following.publish(None).gives_up("say it with --publish-from");
    following.publish(Some(positions - 1)).publishes(positions);
    assert_eq!(committed(&topic).len(), 1);

    // A ledger of that name that was made anew.
    delete(&ledger).unwrap();
    let mut other = World::empty();
    other.now_ms += 1000;
    other.create(attestune_replay_tests::genesis(attestune_replay_tests::policy()));
    while other.log.len() < world.log.len() {
        other.push(b"x".to_vec());
    }
    super::desk::restored(&ledger, &other);
    Following::open(&ledger).publish(None).gives_up("holds what `/ledgers/");

    // The same ledger with another end.
    delete(&ledger).unwrap();
    let mut forked = World::of_log(&world.log[..world.log.len() - 1]);
    forked.push(b"x".to_vec());
    super::desk::restored(&ledger, &forked);
    let forked = Following::open(&ledger);
    forked.publish(None).gives_up("holds another entry at position");

    // Deleted, it is made anew and holds everything.
    delete(&topic).unwrap();
    forked.publish(None).publishes(positions);
    check(&committed(&topic), positions);
}

#[test]
fn on_three_brokers_that_die_in_turn_two_publishers_publish_each_position_once() {
    let Some(cluster) = Cluster::start(3) else { return };
    let mut world = World::new();
    for _ in 0..2_000 {
        world.must("sten", ingested("tickets", 1));
    }
    let ledger = ledger_of(&cluster, &world);
    let replicas = [(); 2].map(|()| Following::open(&ledger));
    let topic = decided(&ledger);
    let mut publishing = Vec::new();
    for broker in 1..=3 {
        // The newest fences those before it; the brokers' coordinator of transactions dies with one of them.
        publishing.push(replicas[broker % 2].publish(None));
        cluster.kill(broker);
        for _ in 0..20 {
            replicas[0].append(&mut world, "sten", ingested("more", 1));
        }
        cluster.restart(broker);
    }
    let positions = replicas[0].replica.position();
    until("all is published", || committed(&topic).len() as u64 >= positions);
    drop(publishing);
    check(&committed(&topic), positions);
    let found = describe(&topic).unwrap();
    assert_eq!((found.replicas, found.topic_settings["min.insync.replicas"].as_str()), (3, "2"));
}

#[test]
fn with_access_lists_the_rights_that_the_manual_names_are_enough_and_a_missing_one_is_told() {
    let Some(cluster) = Cluster::start_with_access_lists() else { return };
    let world = World::new();
    let super_user = ledger_of(&cluster, &world);
    let mut ledger = KafkaConfig::new(&cluster.read("bootstrap.sasl"), super_user.topic()).unwrap();
    let password = format!("sasl.password={}", cluster.read("password"));
    for setting in ["security.protocol=sasl_plaintext", "sasl.mechanism=PLAIN", "sasl.username=ada", &password] {
        ledger.set(setting).unwrap();
    }
    let open = || {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Default::default()).unwrap();
        Kafka::open(store, ledger.clone()).err()
    };
    let refused = open().expect("ada may do nothing yet");
    assert!(refused.is_refusal(), "{refused}");

    // docs/kafka.md: a replica that appends.
    let (name, published) = (ledger.topic().to_owned(), decided(&ledger).topic().to_owned());
    let operations = ["--operation", "Read", "--operation", "Describe", "--operation", "DescribeConfigs"];
    cluster.allow(&[&operations[..], &["--operation", "Write", "--topic", &name]].concat());
    cluster.allow(&["--operation", "Describe", "--group", "attestune-replica"]);
    until("ada's replica opens", || open().is_none());
    let following = Following::open(&ledger);
    let mut world = world;
    following.append(&mut world, "sten", ingested("tickets", 1));
    following.publish(None).gives_up("ask for that right");

    // docs/consuming.md: a gateway that publishes.
    let operations = ["--operation", "Create", "--operation", "Describe", "--operation", "Read"];
    cluster.allow(&[&operations[..], &["--operation", "Write", "--topic", &published]].concat());
    following.publish(None).gives_up("as transactional id");
    let transactions = ["--operation", "Write", "--operation", "Describe", "--transactional-id", &published];
    cluster.allow(&transactions);
    following.publish(None).publishes(following.replica.position());
    check(&committed(&decided(&super_user)), following.replica.position());
}

#[test]
fn the_topic_is_made_with_settings_that_lose_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = ledger_of(cluster, &World::new());
    let following = Following::open(&ledger);
    following.publish(None).publishes(1);
    let found = describe(&decided(&ledger)).unwrap();
    assert_eq!((found.partitions, found.replicas), (PARTITIONS as usize, 1));
    let settings =
        ["cleanup.policy", "retention.ms", "retention.bytes", "unclean.leader.election.enable", "min.insync.replicas"];
    let kafka = ["doctor", "--kafka", cluster.bootstrap(), "--ledger", ledger.topic()];
    let said = super::common::Ledger::none().run(&kafka);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains(&format!("✗ wrong  replication of {}.decided", ledger.topic())), "{said}");
    assert_eq!(settings.map(|name| found.topic_settings[name].as_str()), ["delete", "-1", "-1", "false", "1"]);
}

fn transactional(topic: &KafkaConfig, id: &str) -> BaseProducer {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", topic.brokers()).set("transactional.id", id);
    let producer: BaseProducer = client.create().unwrap();
    producer.init_transactions(super::desk::PATIENCE).unwrap();
    producer
}

/// Records without headers, so many, on all partitions.
fn write(producer: &BaseProducer, topic: &KafkaConfig, count: usize) {
    for n in 0..count {
        let record = BaseRecord::<[u8], [u8]>::to(topic.topic()).partition(n as i32 % PARTITIONS);
        producer.send(record.payload(b"attempt")).unwrap();
    }
}

/// Deletes every record.
fn empty(topic: &KafkaConfig) {
    let mut client = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> = client.set("bootstrap.servers", topic.brokers()).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        offsets.add_partition_offset(topic.topic(), partition, Offset::End).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.delete_records(&offsets, &AdminOptions::new())).unwrap();
    assert!(committed(topic).is_empty());
}
