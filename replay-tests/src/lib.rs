//! Golden logs, differential replicas, faults and conformance.
