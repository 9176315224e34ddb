//! Personal data detection: text in, findings out.
