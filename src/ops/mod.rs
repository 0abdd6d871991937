//! Telemetry, metrics, health endpoints and leader election.
