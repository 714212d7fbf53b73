//! Sampling in a running service: a switch that control turns, and a tap for each worker.

use std::net::IpAddr;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use timeball_core::sampling::{DRAWN, Draw, FOCUSED, Focus, Head, RING_WORDS, Ring, UNUSUAL};

use crate::batch::Envelope;
use crate::clock::realtime_ns;
use crate::crew::locked;

/// IPv6?, network address, prefix length, monotonic end in ns, how many
pub type FocusTuple = (bool, u128, u32, i64, u64);
/// packet, size, source, port, own address, own port, arrival, outcome, why
pub type SampleTuple = (Py<PyBytes>, u32, Py<PyBytes>, u16, Py<PyBytes>, u16, i64, i32, u8);

/// What is asked for.
struct Sampling {
    every: u32,
    keep: usize,
    focus: Option<Focus>,
    /// One in so many of what is not ordinary; 0: it is drawn like the rest.
    unusual: u32,
}

#[derive(Default)]
struct Turned {
    sampling: Option<Arc<Sampling>>,
    /// One for each worker; laid out when somebody asks for samples first.
    rings: Vec<Arc<Ring>>,
}

/// Control's side. Off, it costs a worker one look for each batch of packets.
pub struct Switch {
    workers: usize,
    /// Whether an outcome tells nothing about who sent the packet.
    ordinary: fn(i32) -> bool,
    version: AtomicU64,
    turned: Mutex<Turned>,
}

impl Switch {
    /// Off, for so many workers.
    pub fn new(workers: usize, ordinary: fn(i32) -> bool) -> Arc<Self> {
        Arc::new(Self { workers, ordinary, version: AtomicU64::new(0), turned: Mutex::default() })
    }

    /// Sample one in `every` (0: none), one in `unusual` of what is not ordinary, and what is in focus; `keep` bytes of each,
    /// from the next batch on.
    pub fn turn(&self, every: u32, keep: usize, focus: Option<FocusTuple>, unusual: u32) {
        let focus = focus.map(|(six, network, length, until_mono_ns, most)| Focus {
            six,
            network,
            length,
            until_mono_ns,
            left: AtomicU64::new(most),
        });
        let on = every > 0 || unusual > 0 || focus.is_some();
        let mut turned = locked(&self.turned);
        if on && turned.rings.is_empty() {
            turned.rings = (0..self.workers).map(|_| Arc::new(Ring::new(RING_WORDS))).collect();
        }
        turned.sampling = on.then(|| Arc::new(Sampling { every, keep, focus, unusual }));
        self.version.fetch_add(1, Release);
    }

    /// Up to `most` samples, from all workers in turn.
    pub fn take(&self, py: Python<'_>, most: usize) -> Vec<SampleTuple> {
        let mut samples = Vec::new();
        // One reader at a time; a worker takes this lock only when the switch was turned.
        let turned = locked(&self.turned);
        for (at, ring) in turned.rings.iter().enumerate() {
            let share = (most - samples.len()).div_ceil(turned.rings.len() - at);
            let mut packet = Vec::new();
            for _ in 0..share {
                packet.clear();
                let Some(head) = ring.take(&mut packet) else { break };
                samples.push(to_tuple(py, &head, &packet));
            }
        }
        samples
    }

    /// Samples copied since the start, and samples that found no room.
    pub fn counts(&self) -> (u64, u64) {
        let turned = locked(&self.turned);
        turned.rings.iter().map(|ring| ring.counts()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }
}

fn to_tuple(py: Python<'_>, head: &Head, packet: &[u8]) -> SampleTuple {
    let octets = |number: u128| {
        let all = number.to_be_bytes();
        PyBytes::new(py, if head.six { &all } else { &all[12..] }).unbind()
    };
    let packet = PyBytes::new(py, packet).unbind();
    let (source, own) = (octets(head.source), octets(head.own));
    (packet, head.size, source, head.port, own, head.own_port, head.rx_ns, head.outcome, head.why)
}

/// A worker's side.
pub struct Tap {
    switch: Arc<Switch>,
    number: usize,
    seen: u64,
    on: Option<(Arc<Sampling>, Arc<Ring>)>,
    drawn: Draw,
    unusual: Draw,
}

impl Tap {
    /// Of worker `number`; off until the first `refresh`.
    pub fn new(switch: Arc<Switch>, number: usize) -> Self {
        Self { switch, number, seen: 0, on: None, drawn: Draw::new(0, 0), unusual: Draw::new(0, 0) }
    }

    /// See whether the switch was turned.
    pub fn refresh(&mut self) {
        let version = self.switch.version.load(Acquire);
        if version == self.seen {
            return;
        }
        self.seen = version;
        let turned = locked(&self.switch.turned);
        self.on = turned.sampling.clone().map(|sampling| (sampling, turned.rings[self.number].clone()));
        let (every, unusual) = self.on.as_ref().map_or((0, 0), |on| (on.0.every, on.0.unusual));
        let seed = realtime_ns() as u64 ^ (self.number as u64) << 32;
        self.drawn = Draw::new(every, seed);
        self.unusual = Draw::new(unusual, !seed);
    }

    /// Whether anybody wants samples.
    pub fn on(&self) -> bool {
        self.on.is_some()
    }

    /// Copy the packet if it is one of those that are wanted.
    pub fn look(&mut self, (packet, envelope): (&[u8], Envelope), own: (u128, u16), mono_ns: i64, outcome: i32) {
        let Some((sampling, ring)) = &self.on else { return };
        let (six, source) = (envelope.source.is_ipv6(), to_number(envelope.source.ip()));
        let focused = sampling.focus.as_ref().is_some_and(|focus| focus.wants(six, source, mono_ns));
        let (draw, bit) = if sampling.unusual > 0 && !(self.switch.ordinary)(outcome) {
            (&mut self.unusual, UNUSUAL)
        } else {
            (&mut self.drawn, DRAWN)
        };
        let why = if draw.hit() { bit } else { 0 } | if focused { FOCUSED } else { 0 };
        if why == 0 {
            return;
        }
        let head = Head {
            six,
            why,
            size: envelope.size as u32,
            rx_ns: envelope.rx_ns.unwrap_or_else(realtime_ns),
            source,
            own: envelope.own.map_or(own.0, to_number),
            port: envelope.source.port(),
            own_port: own.1,
            outcome,
        };
        ring.put(&head, &packet[..packet.len().min(sampling.keep)]);
    }
}

/// An address as a number.
pub fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}
