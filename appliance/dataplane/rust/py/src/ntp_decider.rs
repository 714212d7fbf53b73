//! One worker without a socket, for the tests that compare sequences of decisions with those of `ntp_decide.py`.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use timeball_core::interleaved::Interleaved;
use timeball_core::memory::Memory;
use timeball_core::ntp::{self, Action, HEADER_BYTES, Moment, Policy, Snapshot, Source};

use crate::keys::{KeyRing, KeyTuple};
use crate::{ClockTuple, to_clock};

/// Reason, action, reply with its MAC (empty when there is none), number of the fault, interleaved?, to be stamped?
type Decision = (u8, u8, Vec<u8>, u8, bool, bool);

/// What a worker of the NTP service has: keys, policy and memory.
#[pyclass]
pub struct NtpDecider {
    policy: Policy,
    memory: Memory,
}

#[pymethods]
impl NtpDecider {
    #[new]
    fn new(keys: Vec<KeyTuple>, delay_ns: i64, capacity: usize) -> PyResult<Self> {
        let ring = KeyRing::new(keys, Some(delay_ns)).map_err(PyValueError::new_err)?;
        let memory = Memory { interleaved: Interleaved::new(capacity), ..Memory::default() };
        Ok(Self { policy: Policy { keys: Arc::new(ring), ..Policy::default() }, memory })
    }

    /// One decision; times as in `ntp_decide`.
    fn decide(
        &mut self,
        request: &[u8],
        source: (bool, u128, u16),
        times: (i64, i64, i64),
        noise: u64,
        clock: ClockTuple,
    ) -> Decision {
        let (rx_ns, tx_ns, mono_ns) = times;
        let from = Source { six: source.0, address: source.1, port: source.2 };
        let to = Source { six: source.0, address: 0, port: 0 };
        let snapshot = Snapshot::at(mono_ns, &to_clock(clock));
        let moment = Moment { rx_ns, tx_ns, mono_ns, noise };
        let mut reply = [0; HEADER_BYTES];
        let memory = &mut self.memory;
        let (reason, action) =
            ntp::answer(request, request.len(), &from, &to, moment, &snapshot, &self.policy, memory, &mut reply);
        let annex = &memory.annex;
        let sent = if action == Action::Ignore { Vec::new() } else { [&reply, annex.mac()].concat() };
        let fault = annex.fault.map_or(0, |fault| fault as u8);
        (reason as u8, action as u8, sent, fault, annex.interleaved, annex.stamp)
    }

    /// The kernel sent this frame then.
    fn stamp(&mut self, frame: &[u8], tx_ns: i64) -> bool {
        self.memory.interleaved.stamp_in(frame, tx_ns)
    }

    /// What the clocks say.
    fn watch_clock(&mut self, wall_ns: i64, mono_ns: i64) {
        self.memory.interleaved.watch_clock(wall_ns, mono_ns);
    }

    /// How many exchanges are remembered.
    fn remembered(&self) -> usize {
        self.memory.interleaved.len()
    }
}
