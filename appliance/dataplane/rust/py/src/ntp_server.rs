//! The NTP service: one thread for each socket, and no lock, allocation or interpreter in the way of a packet.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use timeball_core::ntp::{self, Action, ClockState, Moment, Policy, Reason, Snapshot, Source};

use crate::batch::Batch;
use crate::clock::{monotonic_ns, realtime_ns};
use crate::counting::bump;
use crate::socket::{Udp, bind_all, is_transient};

const REASONS: usize = ntp::REASONS.len();
const ACTIONS: usize = 3;
/// Small on purpose: a deep queue turns overload into late replies.
const RECEIVE_BUFFER: i32 = 1 << 20;

type NtpBatch = Batch<{ ntp::MAX_REQUEST_BYTES }, { ntp::HEADER_BYTES }>;

/// What control hands in, swapped whole.
struct Inputs {
    clock: ClockState,
    policy: Policy,
}

/// Counters of one worker: only it writes them.
#[repr(align(128))] // no two workers on one cache line
struct Counters {
    outcomes: [AtomicU64; REASONS * ACTIONS],
    first_bytes: [AtomicU64; 256],
}

struct Shared {
    inputs: Mutex<Arc<Inputs>>,
    version: AtomicU64,
    closing: AtomicBool,
    failure: Mutex<Option<String>>,
}

struct Lane {
    /// None once the service is closed: the port must be free again.
    socket: Option<Arc<Udp>>,
    six: bool,
    counters: Arc<Counters>,
}

/// A running service.
pub struct Server {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    threads: Vec<JoinHandle<()>>,
    /// What is bound, once for each address asked for.
    pub endpoints: Vec<SocketAddr>,
}

impl Server {
    /// Bind `listen` with `workers` sockets each, and answer.
    pub fn start(
        listen: &[SocketAddr],
        clock: ClockState,
        policy: Policy,
        workers: u32,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut lanes = Vec::new();
        let mut endpoints = Vec::new();
        for &address in listen {
            let sockets = bind_all(address, workers, RECEIVE_BUFFER).map_err(|error| (address, error))?;
            endpoints.push(sockets[0].bound);
            lanes.extend(sockets.into_iter().map(|socket| Lane {
                six: socket.bound.is_ipv6(),
                socket: Some(Arc::new(socket)),
                counters: Arc::new(Counters {
                    outcomes: [const { AtomicU64::new(0) }; REASONS * ACTIONS],
                    first_bytes: [const { AtomicU64::new(0) }; 256],
                }),
            }));
        }
        let shared = Arc::new(Shared {
            inputs: Mutex::new(Arc::new(Inputs { clock, policy })),
            version: AtomicU64::new(1),
            closing: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let sockets = lanes.iter().enumerate();
        let threads =
            sockets.filter_map(|(i, lane)| Some(spawn(i, lane.socket.clone()?, &lane.counters, &shared))).collect();
        Ok(Self { shared, lanes, threads, endpoints })
    }

    /// Swap the clock state.
    pub fn set_clock(&self, clock: ClockState) {
        self.swap(|old| Inputs { clock, policy: old.policy.clone() });
    }

    /// Swap the policy.
    pub fn set_policy(&self, policy: Policy) {
        self.swap(|old| Inputs { clock: old.clock.clone(), policy });
    }

    fn swap(&self, make: impl FnOnce(&Inputs) -> Inputs) {
        let mut inputs = self.shared.inputs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *inputs = Arc::new(make(&inputs));
        self.shared.version.fetch_add(1, Release);
    }

    /// (reason, action, packets) that are not 0.
    pub fn outcomes(&self) -> Vec<(usize, usize, u64)> {
        let sum = |at: usize| self.lanes.iter().map(|lane| lane.counters.outcomes[at].load(Relaxed)).sum();
        (0..REASONS * ACTIONS).map(|at| (at / ACTIONS, at % ACTIONS, sum(at))).filter(|row| row.2 > 0).collect()
    }

    /// (first byte, IPv6?, packets) that are not 0.
    pub fn first_bytes(&self) -> Vec<(usize, bool, u64)> {
        let mut rows = Vec::new();
        for six in [false, true] {
            for first in 0..256 {
                let lanes = self.lanes.iter().filter(|lane| lane.six == six);
                let packets: u64 = lanes.map(|lane| lane.counters.first_bytes[first].load(Relaxed)).sum();
                if packets > 0 {
                    rows.push((first, six, packets));
                }
            }
        }
        rows
    }

    /// Why a worker died, if one did.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Stop and wait until every thread is gone.
    pub fn close(&mut self) {
        self.shared.closing.store(true, Release);
        for socket in self.lanes.iter().filter_map(|lane| lane.socket.as_ref()) {
            socket.shut_down();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic was caught inside and is in `failure`
        }
        for lane in &mut self.lanes {
            lane.socket = None;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(number: usize, socket: Arc<Udp>, counters: &Arc<Counters>, shared: &Arc<Shared>) -> JoinHandle<()> {
    let (counters, shared) = (counters.clone(), shared.clone());
    let work = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| Worker::new(&socket, &counters, &shared, number).run()));
        let why = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the worker panicked".to_owned(),
        };
        *shared.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(why);
    };
    std::thread::Builder::new().name(format!("ntp-{number}")).spawn(work).expect("the system has room for a thread")
}

struct Worker<'a> {
    socket: &'a Udp,
    counters: &'a Counters,
    shared: &'a Shared,
    seen: u64,
    inputs: Arc<Inputs>,
    snapshot: Snapshot,
    noise: u64,
    bound: Source,
    kept: [u8; crate::batch::WIDTH],
}

impl<'a> Worker<'a> {
    fn new(socket: &'a Udp, counters: &'a Counters, shared: &'a Shared, number: usize) -> Self {
        let inputs = shared.inputs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let snapshot = Snapshot::at(monotonic_ns(), &inputs.clock);
        let seed = realtime_ns() as u64 ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let unspecified = socket.bound.ip().is_unspecified();
        let mut bound = to_source(socket.bound);
        if unspecified {
            bound.address = 0;
        }
        Self {
            socket,
            counters,
            shared,
            seen: 0,
            inputs,
            snapshot,
            noise: seed | 1,
            bound,
            kept: [0; crate::batch::WIDTH],
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut batch = NtpBatch::new();
        let fd = self.socket.as_raw_fd();
        loop {
            let got = match batch.receive(fd) {
                Ok(got) => got,
                Err(_) if self.shared.closing.load(Acquire) => return Ok(()),
                Err(error) if is_transient(&error) => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.shared.closing.load(Acquire) {
                return Ok(());
            }
            self.refresh();
            let mut filled = 0;
            for i in 0..got {
                if self.turn(&mut batch, i, filled) {
                    filled += 1;
                }
            }
            self.send(&mut batch, fd, filled);
        }
    }

    /// Take new inputs, and age the snapshot.
    fn refresh(&mut self) {
        let version = self.shared.version.load(Acquire);
        let now_ns = monotonic_ns();
        if version != self.seen {
            self.seen = version;
            self.inputs = self.shared.inputs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            self.snapshot = Snapshot::at(now_ns, &self.inputs.clock);
        } else if now_ns >= self.snapshot.valid_until_mono_ns {
            self.snapshot = Snapshot::at(now_ns, &self.inputs.clock);
        }
    }

    /// Decide about packet `i`; true when it left a reply.
    fn turn(&mut self, batch: &mut NtpBatch, i: usize, filled: usize) -> bool {
        let (packet, envelope) = batch.packet(i);
        if let Some(&first) = packet.first() {
            bump(&self.counters.first_bytes[usize::from(first)]);
        }
        let source = to_source(envelope.source);
        let mut own = self.bound;
        if let Some(address) = envelope.own {
            own.address = to_number(address);
        }
        let tx_ns = realtime_ns();
        let moment = Moment { rx_ns: envelope.rx_ns.unwrap_or(tx_ns), tx_ns, noise: self.next_noise() };
        let (packet, reply) = batch.slot(i);
        let (reason, action) =
            ntp::answer(packet, envelope.size, &source, &own, moment, &self.snapshot, &self.inputs.policy, reply);
        let outcome = reason as usize * ACTIONS + action as usize;
        if action == Action::Ignore {
            bump(&self.counters.outcomes[outcome]);
            return false;
        }
        self.kept[filled] = outcome as u8;
        batch.keep(i, ntp::HEADER_BYTES, envelope.own);
        true
    }

    fn send(&mut self, batch: &mut NtpBatch, fd: i32, filled: usize) {
        let kept = &mut self.kept;
        batch.send(fd, |at| kept[at] = (Reason::SendFailed as usize * ACTIONS + Action::Ignore as usize) as u8);
        for &outcome in &kept[..filled] {
            bump(&self.counters.outcomes[usize::from(outcome)]);
        }
    }

    /// xorshift64*: not secret, only below the precision of the clock.
    fn next_noise(&mut self) -> u64 {
        self.noise ^= self.noise >> 12;
        self.noise ^= self.noise << 25;
        self.noise ^= self.noise >> 27;
        self.noise.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn to_source(address: SocketAddr) -> Source {
    Source { six: address.is_ipv6(), address: to_number(address.ip()), port: address.port() }
}

fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}
