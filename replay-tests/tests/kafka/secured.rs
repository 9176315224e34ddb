//! Brokers that ask for a password, and for TLS.

use super::desk::open;
use attestune_ledger::log::kafka::{Stamp, create};
use attestune_ledger::log::{EventLog as _, KafkaConfig, KafkaError};
use attestune_replay_tests::kafka::Cluster;
use std::sync::OnceLock;
use std::time::Duration;

fn cluster() -> Option<&'static Cluster> {
    static SECURED: OnceLock<Option<Cluster>> = OnceLock::new();
    SECURED.get_or_init(Cluster::start_secured).as_ref()
}

fn config(cluster: &Cluster, listener: &str, settings: &[String]) -> KafkaConfig {
    let mut config = KafkaConfig::new(&cluster.read(listener), &cluster.fresh_topic()).unwrap();
    for setting in settings {
        config.set(setting).unwrap();
    }
    config.with_timeouts(Duration::from_secs(20), Duration::from_secs(20))
}

fn sasl(mechanism: &str, password: &str) -> Vec<String> {
    let settings = ["security.protocol=sasl_plaintext", "sasl.username=ada"].map(String::from);
    [&settings[..], &[format!("sasl.mechanism={mechanism}"), format!("sasl.password={password}")]].concat()
}

#[test]
fn plain_and_scram_passwords_let_us_in() {
    let Some(cluster) = cluster() else { return };
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let config = config(cluster, "bootstrap.sasl", &sasl(mechanism, &cluster.read("password")));
        create(&config, Stamp::LogAppendTime).unwrap();
        assert_eq!(open(&config).log.append(vec![b"x".to_vec()]).unwrap(), [0], "{mechanism}");
    }
}

#[test]
fn a_wrong_password_is_told_at_once_and_is_not_printed() {
    let Some(cluster) = cluster() else { return };
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let config = config(cluster, "bootstrap.sasl", &sasl(mechanism, "hunter2"));
        let error = create(&config, Stamp::LogAppendTime).unwrap_err();
        assert!(matches!(error, KafkaError::Refused { .. }), "{mechanism}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn tls_lets_us_in_under_the_right_certificate_only() {
    let Some(cluster) = cluster() else { return };
    let tls = "security.protocol=ssl".to_owned();
    let ca = format!("ssl.ca.location={}", cluster.file("ca.pem").display());
    let good = config(cluster, "bootstrap.tls", &[tls.clone(), ca]);
    create(&good, Stamp::LogAppendTime).unwrap();
    assert_eq!(open(&good).log.append(vec![b"x".to_vec()]).unwrap(), [0]);
    // The certificate authorities of this system do not know the broker's.
    let bad = config(cluster, "bootstrap.tls", &[tls]);
    let mut error = create(&bad, Stamp::LogAppendTime).unwrap_err();
    // On a machine under load the time may be up before the handshake has failed.
    for _ in 0..3 {
        if matches!(error, KafkaError::NoBroker { .. }) {
            error = create(&bad, Stamp::LogAppendTime).unwrap_err();
        }
    }
    assert!(matches!(error, KafkaError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("ssl.ca.location"), "{error}");
}

#[test]
fn plain_text_to_a_tls_listener_is_no_broker_with_a_hint() {
    let Some(cluster) = cluster() else { return };
    let config = config(cluster, "bootstrap.tls", &[]).with_timeouts(Duration::from_secs(4), Duration::from_secs(4));
    let error = create(&config, Stamp::LogAppendTime).unwrap_err();
    assert!(matches!(error, KafkaError::NoBroker { .. }), "{error}");
    assert!(error.to_string().contains("security.protocol"), "{error}");
}
