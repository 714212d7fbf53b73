//! `appliance.dataplane._native`: the packet path in Rust. `_native.pyi` documents this boundary for Python.

mod batch;
mod binding;
mod clock;
mod confine;
mod counting;
mod crew;
mod dns_binding;
mod dns_server;
mod keys;
mod ntp_decider;
mod ntp_server;
mod sampling;
mod seccomp;
mod socket;
mod stamps;
mod tables;

use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use timeball_core::limit::RateLimit;
use timeball_core::memory::Memory;
use timeball_core::ntp::{self, ClockState, HEADER_BYTES, Moment, Policy, Rule, Snapshot, Source};
use timeball_core::prefix::PrefixTable;

use crate::binding::{WantedTuple, os_error, to_pairs, to_sandbox, to_wanted};
use crate::keys::{KeyRing, KeyTuple};
use crate::sampling::{FocusTuple, SampleTuple};
use crate::tables::{ClientTuple, Readable, RememberedTuple};

/// leap, stratum, refid, reference_ns, root_delay_s, root_dispersion_s, dispersion_rate, (as_of_mono_ns, as_of_wall_ns), correction_s,
/// precision, max_distance_s, expires_mono_ns
type ClockTuple = (u8, u8, [u8; 4], i64, f64, f64, f64, (i64, Option<i64>), f64, i8, f64, i64);
/// IPv6?, network address, prefix length, "allow" | "ignore" | "deny"
type RuleTuple = (bool, u128, u32, String);
/// (interval, burst), (leak, kod), (prefix interval, prefix burst), exempt (IPv6?, network address, prefix length)
type LimitTuple = ((i8, u32), (u32, u32), (i8, u32), Vec<(bool, u128, u32)>);

fn to_clock(t: ClockTuple) -> ClockState {
    ClockState {
        leap: t.0,
        stratum: t.1,
        refid: t.2,
        reference_ns: t.3,
        root_delay_s: t.4,
        root_dispersion_s: t.5,
        dispersion_rate: t.6,
        as_of_mono_ns: t.7.0,
        as_of_wall_ns: t.7.1,
        correction_s: t.8,
        precision: t.9,
        max_distance_s: t.10,
        expires_mono_ns: t.11,
    }
}

fn to_rule(text: &str) -> PyResult<Rule> {
    match text {
        "allow" => Ok(Rule::Allow),
        "ignore" => Ok(Rule::Ignore),
        "deny" => Ok(Rule::Deny),
        other => Err(PyValueError::new_err(format!("no action of a policy: {other}"))),
    }
}

fn to_limit((rate, (leak, kod), networks, exempt): LimitTuple) -> PyResult<RateLimit> {
    if leak > 8 || kod > 8 {
        return Err(PyValueError::new_err("leak and kod are 8 at most"));
    }
    let mut tables: [Vec<(u128, u32, ())>; 2] = [Vec::new(), Vec::new()];
    for (six, network, length) in exempt {
        tables[usize::from(six)].push((network, length, ()));
    }
    let tables = [PrefixTable::new(32, &tables[0]), PrefixTable::new(128, &tables[1])];
    Ok(RateLimit::new(rate, (leak, kod), networks, tables))
}

fn to_policy(rules: Vec<RuleTuple>, default: &str, late_ns: i64, limit: Option<LimitTuple>) -> PyResult<Policy> {
    let mut tables: [Vec<(u128, u32, Rule)>; 2] = [Vec::new(), Vec::new()];
    for (six, network, length, action) in rules {
        tables[usize::from(six)].push((network, length, to_rule(&action)?));
    }
    Ok(Policy {
        v4: PrefixTable::new(32, &tables[0]),
        v6: PrefixTable::new(128, &tables[1]),
        default: to_rule(default)?,
        late_ns,
        limit: limit.map(to_limit).transpose()?,
        ..Policy::default()
    })
}

/// A running NTP service.
#[pyclass]
struct NtpServer {
    inner: ntp_server::Server,
}

#[pymethods]
impl NtpServer {
    #[new]
    #[allow(clippy::too_many_arguments)] // all that a service needs, once
    fn new(
        py: Python<'_>,
        listen: Vec<WantedTuple>,
        clock: ClockTuple,
        rules: Vec<RuleTuple>,
        default: &str,
        late_ns: i64,
        limit: Option<LimitTuple>,
        workers: u32,
        confined: bool,
        clients: usize,
        secret: [u8; 16],
    ) -> PyResult<Self> {
        let addresses = to_wanted(listen)?;
        let policy = to_policy(rules, default, late_ns, limit)?;
        let state = to_clock(clock);
        let workers = workers.max(1);
        let start = || ntp_server::Server::start(&addresses, state, policy, workers, confined, clients, secret);
        let started = py.detach(start);
        Ok(Self { inner: started.map_err(os_error)? })
    }

    /// (host, port) of what is bound.
    #[getter]
    fn endpoints(&self) -> Vec<(String, u16)> {
        to_pairs(&self.inner.endpoints)
    }

    fn set_clock(&self, clock: ClockTuple) {
        self.inner.set_clock(to_clock(clock));
    }

    fn set_policy(
        &self,
        rules: Vec<RuleTuple>,
        default: &str,
        late_ns: i64,
        limit: Option<LimitTuple>,
    ) -> PyResult<()> {
        self.inner.set_policy(to_policy(rules, default, late_ns, limit)?);
        Ok(())
    }

    fn set_keys(&self, keys: Vec<KeyTuple>) -> PyResult<()> {
        let ring = KeyRing::new(keys, None).map_err(PyValueError::new_err)?;
        self.inner.set_keys(Arc::new(ring));
        Ok(())
    }

    /// (mark, packets).
    fn marks(&self) -> Vec<(usize, u64)> {
        self.inner.marks()
    }

    /// (reason, action, packets).
    fn outcomes(&self) -> Vec<(usize, usize, u64)> {
        self.inner.outcomes()
    }

    /// (first byte, IPv6?, packets).
    fn first_bytes(&self) -> Vec<(usize, bool, u64)> {
        self.inner.first_bytes()
    }

    /// (in force?, why not).
    #[getter]
    fn sandbox(&self) -> (bool, String) {
        to_sandbox(self.inner.sandbox())
    }

    fn clients(&self, py: Python<'_>) -> Vec<ClientTuple> {
        py.detach(|| self.inner.clients())
    }

    fn remembered(&self) -> RememberedTuple {
        self.inner.remembered()
    }

    /// Sample one in `every`, of those that are not ordinary one in `unusual`, and what is in focus; `keep` bytes of each.
    fn set_sampling(&self, every: u32, keep: usize, focus: Option<FocusTuple>, unusual: u32) {
        self.inner.switch.turn(every, keep, focus, unusual);
    }

    /// The oldest samples, `most` at most.
    fn take_samples(&self, py: Python<'_>, most: usize) -> Vec<SampleTuple> {
        self.inner.switch.take(py, most)
    }

    /// (taken, dropped).
    fn sampled(&self) -> (u64, u64) {
        self.inner.switch.counts()
    }

    fn failure(&self) -> Option<String> {
        self.inner.failure()
    }

    fn close(&mut self, py: Python<'_>) {
        py.detach(|| self.inner.close());
    }
}

/// The memory of a worker, for the tests that compare it with `ntp_memory.Memory`.
#[pyclass]
struct NtpMemory {
    inner: Memory,
}

#[pymethods]
impl NtpMemory {
    #[new]
    fn new(slots: usize, cells: usize, secret: [u8; 16]) -> PyResult<Self> {
        Ok(Self { inner: tables::memory(slots, tables::networks(cells, secret), secret)? })
    }

    fn clients(&self) -> Vec<ClientTuple> {
        Readable::of(&self.inner).clients()
    }

    fn cells(&self) -> Vec<u64> {
        self.inner.networks.iter().flat_map(|networks| networks.cells()).collect()
    }

    fn remembered(&self) -> RememberedTuple {
        Readable::of(&self.inner).remembered()
    }
}

/// `ntp_decide.decide` in Rust, for the tests that compare the two: (reason, action, reply or None).
#[pyfunction]
#[pyo3(signature = (request, source, own, rx_ns, tx_ns, noise, mono_ns, clock, rules, default, late_ns, limit=None, memory=None))]
#[allow(clippy::too_many_arguments)] // a test's view of one decision
fn ntp_decide(
    request: &[u8],
    source: (bool, u128, u16),
    own: (u128, u16),
    rx_ns: i64,
    tx_ns: i64,
    noise: u64,
    mono_ns: i64,
    clock: ClockTuple,
    rules: Vec<RuleTuple>,
    default: &str,
    late_ns: i64,
    limit: Option<LimitTuple>,
    memory: Option<PyRefMut<'_, NtpMemory>>,
) -> PyResult<(u8, u8, Option<[u8; HEADER_BYTES]>)> {
    let policy = to_policy(rules, default, late_ns, limit)?;
    let from = Source { six: source.0, address: source.1, port: source.2 };
    let to = Source { six: source.0, address: own.0, port: own.1 };
    let snapshot = Snapshot::at(mono_ns, &to_clock(clock));
    let mut reply = [0; HEADER_BYTES];
    let moment = Moment { rx_ns, tx_ns, mono_ns, noise };
    let (mut none, mut given) = (Memory::default(), memory);
    let memory = given.as_mut().map_or(&mut none, |given| &mut given.inner);
    let (reason, action) =
        ntp::answer(request, request.len(), &from, &to, moment, &snapshot, &policy, memory, &mut reply);
    Ok((reason as u8, action as u8, (action != ntp::Action::Ignore).then_some(reply)))
}

/// One system call from a thread that is confined like a worker: its error number, 0 for none.
#[pyfunction]
fn confined_call(py: Python<'_>, number: i64, arguments: [usize; 4]) -> PyResult<i32> {
    py.detach(|| confine::attempt(number as _, arguments)).map_err(PyOSError::new_err)
}

/// Names and numbers of the reasons, to be compared with `interface.Reason`.
#[pyfunction]
fn reasons() -> Vec<(&'static str, u8)> {
    ntp::REASONS.iter().map(|&(name, reason)| (name, reason as u8)).collect()
}

/// The same of the actions, to be compared with `interface.Action`.
#[pyfunction]
fn actions() -> Vec<(&'static str, u8)> {
    ntp::ACTIONS.iter().map(|&(name, action)| (name, action as u8)).collect()
}

/// Names and numbers of what becomes of DNS queries, to be compared with `python_dns`.
#[pyfunction]
fn dns_outcomes() -> Vec<(&'static str, i16)> {
    timeball_core::dns::OUTCOMES.into_iter().chain(dns_server::OWN_OUTCOMES).collect()
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NtpServer>()?;
    module.add_class::<NtpMemory>()?;
    module.add_class::<ntp_decider::NtpDecider>()?;
    module.add_class::<dns_binding::DnsAnswers>()?;
    module.add_class::<dns_binding::DnsHandUp>()?;
    module.add_class::<dns_binding::DnsHanded>()?;
    module.add_class::<dns_binding::DnsLimiter>()?;
    module.add_class::<dns_binding::DnsServer>()?;
    module.add_function(wrap_pyfunction!(ntp_decide, module)?)?;
    module.add_function(wrap_pyfunction!(confined_call, module)?)?;
    module.add_function(wrap_pyfunction!(reasons, module)?)?;
    module.add_function(wrap_pyfunction!(actions, module)?)?;
    module.add_function(wrap_pyfunction!(dns_outcomes, module)?)?;
    module.add_function(wrap_pyfunction!(dns_binding::dns_decide, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    // The boundary as it was when this was built: Python compares it with its own, and does without what is stale.
    module.add("__boundary__", include_str!("../../../_native.pyi"))?;
    Ok(())
}
