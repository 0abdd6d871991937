//! The pages, looked at in a real Chromium.

mod example;
mod report;
