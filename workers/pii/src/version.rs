//! The version of a scanner: the crate's, and for all but the default one a digest of what it was told.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Config, Detector, Recognizers, Scanner, VERSION};

/// How much of the digest stands in the version, in hexadecimal digits.
const DIGEST_DIGITS: usize = 12;

/// [`VERSION`], with a digest behind it for all but the default.
pub(crate) fn version(config: &Config, own: &Recognizers, detectors: &[Arc<dyn Detector>]) -> String {
    let name = |detectors: &[Arc<dyn Detector>]| -> Vec<String> {
        detectors.iter().map(|detector| format!("{}@{}", detector.name(), detector.version())).collect()
    };
    let names = name(detectors);
    if own.sha256.is_none() && *config == Config::default() && names == name(&Scanner::detectors()) {
        return VERSION.to_owned();
    }
    let digest = Sha256::digest(said(&(config, &own.sha256, &names)));
    format!("{VERSION}-{}", &hex::encode(digest)[..DIGEST_DIGITS])
}

/// A configuration as it is digested: JSON, its maps in order.
fn said(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("a configuration is made of texts and numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tagger;

    /// Whoever changes what the default looks for raises [`VERSION`], and then these.
    #[test]
    fn the_default_has_the_version_alone_and_it_stands_for_this_configuration() {
        assert_eq!(Scanner::default().version(), VERSION);
        let digest = hex::encode(Sha256::digest(said(&Config::default())));
        assert_eq!((VERSION, tagger::VERSION, &digest[..16]), ("4", "2", "cdf6ef005e751504"));
    }

    #[test]
    fn every_other_configuration_has_a_version_of_its_own() {
        let own = Recognizers::from_yaml("recognizers: [{ entity: project, deny_list: [Bluebird] }]").unwrap();
        let stricter = Config { threshold_ppm: 350_001, ..Config::default() };
        let all = [
            Scanner::patterns(&Config::default()).unwrap(),
            Scanner::with(&Config::default(), &own, Scanner::detectors()).unwrap(),
            Scanner::new(&stricter).unwrap(),
            Scanner::new(&Config::safe_harbor()).unwrap(),
            Scanner::default(),
        ];
        let versions: std::collections::BTreeSet<&str> = all.iter().map(Scanner::version).collect();
        assert_eq!(versions.len(), all.len());
        let is_id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(versions.iter().all(|version| version.len() <= 64 && version.bytes().all(is_id)), "{versions:?}");
        assert_eq!(Scanner::new(&stricter).unwrap().version(), all[2].version(), "the same again");
    }
}
