//! DNS as Python sees it: snapshots from tuples, the server, and one decision for the tests.

use std::net::IpAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use timeball_core::dns::{self, Arrival};
use timeball_core::dns_rate::{Kind, Level, Limiter, RateLimit};
use timeball_core::dns_snapshot::{Denial, HandUp, MAX_REPLY_BYTES, Node, Rotation, Section, Snapshot, Table};
use timeball_core::prefix::PrefixTable;

use crate::binding::{WantedTuple, os_error, to_pairs, to_sandbox, to_wanted};
use crate::clock::monotonic_ns;
use crate::crew::locked;
use crate::dns_server;
use crate::sampling::{FocusTuple, SampleTuple};

/// answers, body, additional, extra
type SectionTuple = (u16, PyBackedBytes, u16, PyBackedBytes);
/// rcode, pieces of the SOA record, content of the EDE option
type DenialTuple = (u8, Vec<PyBackedBytes>, PyBackedBytes);
/// cuts, sets one after the other, size, stride, mark
type TableTuple = (Vec<u32>, PyBackedBytes, u16, usize, u32);
/// number of the table, offset, turn
type RotationTuple = (usize, u64, i64);
/// static, rotating, denied, alias
type NodeTuple = (Vec<(u16, SectionTuple)>, Vec<(u16, RotationTuple)>, Vec<(u16, DenialTuple)>, Option<SectionTuple>);
/// octets, interval, tolerance
type LevelTuple = (usize, u64, u64);
/// levels for IPv4 and IPv6, bound, slip, exempt: (IPv6?, network address, prefix length)
type RateTuple = (Vec<LevelTuple>, Vec<LevelTuple>, u64, u64, Vec<(bool, u128, u32)>);
/// zone, names, tables, (nodata, nxdomain), ANY, (expire, NSID), CHAOS, (draw secret, slot, cookie secrets, largest unproven),
/// handed up (names, opcodes, signed), rate limit
type AnswersTuple = (
    PyBackedBytes,
    Vec<(PyBackedBytes, NodeTuple)>,
    Vec<TableTuple>,
    (DenialTuple, DenialTuple),
    SectionTuple,
    (u32, PyBackedBytes),
    Vec<(PyBackedBytes, SectionTuple)>,
    ([u8; 16], i64, Vec<[u8; 16]>, usize),
    (Vec<PyBackedBytes>, u16, bool),
    Option<RateTuple>,
);

fn to_section(t: SectionTuple) -> Section {
    Section { answers: t.0, body: (*t.1).into(), additional: t.2, extra: (*t.3).into() }
}

fn to_denial(t: DenialTuple) -> Denial {
    Denial { rcode: t.0, soa: t.1.iter().map(|piece| (**piece).into()).collect(), extended_error: (*t.2).into() }
}

fn to_node(t: NodeTuple) -> Node {
    Node {
        fixed: t.0.into_iter().map(|(qtype, section)| (qtype, to_section(section))).collect(),
        rotating: t.1.into_iter().map(|(qtype, r)| (qtype, Rotation { table: r.0, offset: r.1, turn: r.2 })).collect(),
        denied: t.2.into_iter().map(|(qtype, denial)| (qtype, to_denial(denial))).collect(),
        alias: t.3.map(to_section),
    }
}

fn to_table(t: TableTuple) -> Table {
    Table { cuts: t.0.into(), records: (*t.1).into(), size: t.2, stride: t.3, mark: t.4 }
}

fn to_rate(t: RateTuple) -> RateLimit {
    let levels = |rows: Vec<LevelTuple>| rows.into_iter().map(|r| Level { octets: r.0, interval: r.1, tolerance: r.2 });
    let mut exempt: [Vec<(u128, u32, ())>; 2] = [Vec::new(), Vec::new()];
    for (six, network, length) in t.4 {
        exempt[usize::from(six)].push((network, length, ()));
    }
    RateLimit {
        levels4: levels(t.0).collect(),
        levels6: levels(t.1).collect(),
        bound: t.2,
        slip: t.3,
        exempt4: PrefixTable::new(32, &exempt[0]),
        exempt6: PrefixTable::new(128, &exempt[1]),
    }
}

fn to_snapshot(t: AnswersTuple) -> PyResult<Snapshot> {
    let snapshot = Snapshot {
        zone: (*t.0).into(),
        names: t.1.into_iter().map(|(name, node)| ((*name).into(), to_node(node))).collect(),
        tables: t.2.into_iter().map(to_table).collect(),
        nodata: to_denial(t.3.0),
        nxdomain: to_denial(t.3.1),
        any_section: to_section(t.4),
        expire_s: t.5.0,
        nsid: (*t.5.1).into(),
        chaos: t.6.into_iter().map(|(name, section)| ((*name).into(), to_section(section))).collect(),
        draw_secret: t.7.0,
        slot_ns: t.7.1,
        cookie_secrets: t.7.2.into(),
        largest_unproven: t.7.3,
        hand_up: HandUp { names: t.8.0.iter().map(|name| (**name).into()).collect(), opcodes: t.8.1, signed: t.8.2 },
        rate_limit: t.9.map(to_rate),
    };
    snapshot.checked().map_err(PyValueError::new_err)
}

/// A snapshot, ready to be answered from.
#[pyclass(frozen)]
pub struct DnsAnswers {
    snapshot: Arc<Snapshot>,
}

#[pymethods]
impl DnsAnswers {
    #[new]
    fn new(answers: AnswersTuple) -> PyResult<Self> {
        Ok(Self { snapshot: Arc::new(to_snapshot(answers)?) })
    }
}

/// A running DNS service over UDP.
#[pyclass]
pub struct DnsServer {
    inner: dns_server::Server,
}

#[pymethods]
impl DnsServer {
    #[new]
    fn new(
        py: Python<'_>,
        listen: Vec<WantedTuple>,
        answers: &DnsAnswers,
        limiter_key: [u8; 16],
        workers: u32,
        confined: bool,
    ) -> PyResult<Self> {
        let addresses = to_wanted(listen)?;
        let (snapshot, limiter) = (answers.snapshot.clone(), Limiter::new(limiter_key));
        let started = py.detach(|| dns_server::Server::start(&addresses, snapshot, limiter, workers.max(1), confined));
        Ok(Self { inner: started.map_err(os_error)? })
    }

    /// (host, port) of what is bound.
    #[getter]
    fn endpoints(&self) -> Vec<(String, u16)> {
        to_pairs(&self.inner.endpoints)
    }

    /// The number of the new epoch.
    fn set_answers(&self, py: Python<'_>, answers: &DnsAnswers) -> u64 {
        let snapshot = answers.snapshot.clone();
        py.detach(|| self.inner.set_answers(snapshot))
    }

    /// (epoch, whether it is over, (mark, answers)).
    fn tallies(&self, py: Python<'_>) -> Vec<dns_server::Tally> {
        py.detach(|| self.inner.tallies())
    }

    /// (query type, outcome, queries).
    fn outcomes(&self) -> Vec<(u16, i16, u64)> {
        self.inner.outcomes()
    }

    /// (in force?, why not).
    #[getter]
    fn sandbox(&self) -> (bool, String) {
        to_sandbox(self.inner.sandbox())
    }

    /// What the workers hand up; once.
    fn hand_up(&self) -> Option<DnsHandUp> {
        locked(&self.inner.handed).take().map(|queue| DnsHandUp { queue: Mutex::new(queue) })
    }

    /// (octets of a network over the limit, limited replies, monotonic time of the last in ns).
    fn offenders(&self, py: Python<'_>) -> Vec<(Py<PyBytes>, u64, i64)> {
        let rows = self.inner.offenders().into_iter();
        rows.map(|(network, limited, last_ns)| (PyBytes::new(py, &network).unbind(), limited, last_ns)).collect()
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

/// The queue of what the workers do not answer.
#[pyclass(frozen)]
pub struct DnsHandUp {
    queue: Mutex<Receiver<dns_server::Handed>>,
}

#[pymethods]
impl DnsHandUp {
    /// Wait for the next query; None when the service is closed.
    fn take(&self, py: Python<'_>) -> Option<DnsHanded> {
        py.detach(|| locked(&self.queue).recv().ok().map(|inner| DnsHanded { inner }))
    }
}

/// One query that was handed up.
#[pyclass(frozen)]
pub struct DnsHanded {
    inner: dns_server::Handed,
}

#[pymethods]
impl DnsHanded {
    #[getter]
    fn query<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.query)
    }

    #[getter]
    fn source(&self) -> String {
        self.inner.source.ip().to_string()
    }

    /// How long it has waited.
    fn age_ns(&self) -> i64 {
        monotonic_ns() - self.inner.mono_ns
    }

    /// Send the reply; false when it could not be sent.
    fn reply(&self, message: &[u8]) -> bool {
        self.inner.reply(message)
    }
}

/// What was sent to whom, for the tests that compare it with `dns_rate.Limiter`.
#[pyclass(frozen)]
pub struct DnsLimiter {
    limiter: Limiter,
}

#[pymethods]
impl DnsLimiter {
    #[new]
    fn new(key: [u8; 16]) -> Self {
        Self { limiter: Limiter::new(key) }
    }

    /// The verdict's number.
    fn charge(&self, answers: &DnsAnswers, source: &str, error: bool, mono_ns: i64) -> PyResult<u8> {
        let source = to_address(source)?;
        let kind = if error { Kind::Error } else { Kind::Answer };
        let rate = answers.snapshot.rate_limit.as_ref();
        let rate = rate.ok_or_else(|| PyValueError::new_err("these answers have no rate limit"))?;
        Ok(self.limiter.charge(rate, source, kind, mono_ns) as u8)
    }
}

fn to_address(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("not an IP address: {text}")))
}

/// `dns_decide.decide` in Rust over UDP, for the tests that compare the two: (reply or None, outcome, type, mark or -1).
#[pyfunction]
#[pyo3(signature = (query, source, now_ns, answers, sequence, mono_ns = 0, limiter = None))]
#[allow(clippy::too_many_arguments)] // a test's view of one decision
pub fn dns_decide<'py>(
    py: Python<'py>,
    query: &[u8],
    source: &str,
    now_ns: i64,
    answers: &DnsAnswers,
    sequence: u64,
    mono_ns: i64,
    limiter: Option<&DnsLimiter>,
) -> PyResult<(Option<Bound<'py, PyBytes>>, i16, u16, i64)> {
    let mut room = [0; MAX_REPLY_BYTES];
    let arrival = Arrival { source: to_address(source)?, now_ns, mono_ns, sequence };
    let limiter = limiter.map(|one| &one.limiter);
    let answer = dns::answer(query, arrival, &answers.snapshot, limiter, &mut room);
    let reply = (answer.length > 0).then(|| PyBytes::new(py, &room[..answer.length]));
    Ok((reply, answer.outcome, answer.qtype, answer.mark.map_or(-1, i64::from)))
}
