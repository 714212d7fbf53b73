//! The NTP service: one thread for each socket, and no lock, allocation or interpreter in the way of a packet.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex};

use timeball_core::memory::Memory;
use timeball_core::ntp::{self, Action, ClockState, Moment, Policy, Reason, Snapshot, Source};
use timeball_core::ntp_keys::{Keys, MAX_MAC_BYTES};

use crate::batch::{Batch, WIDTH};
use crate::clock::{monotonic_ns, realtime_ns};
use crate::counting::bump;
use crate::crew::{Crew, Life, Sandbox, locked};
use crate::sampling::{Switch, Tap, to_number};
use crate::socket::{Udp, Wanted, bind_each};
use crate::stamps;
use crate::tables::{self, ClientTuple, Readable, RememberedTuple};

const REASONS: usize = ntp::REASONS.len();
const ACTIONS: usize = 3;
/// The numbers of `interface.Mark`.
const AUTHENTICATED: u8 = 0;
const INTERLEAVED: u8 = 1;
/// Behind it by number of `Fault`: unknown key, wrong source, wrong MAC.
const FAULTS: usize = 1;
const STAMPED: usize = 5;
const MARKS: usize = 6;
/// Of a packet that no decision was reached about.
const UNDECIDED: (Reason, Action) = (Reason::Bug, Action::Ignore);

/// Whether an outcome tells nothing about who sent the packet: `ntp_outcome.ORDINARY` in Python.
fn ordinary(outcome: i32) -> bool {
    const ORDINARY: [Reason; 7] = [
        Reason::Ok,
        Reason::Unsynchronised,
        Reason::Policy,
        Reason::Rate,
        Reason::Late,
        Reason::SendFailed,
        Reason::Bug,
    ];
    ORDINARY.iter().any(|&reason| outcome & 0xFF == reason as i32)
}
/// Small on purpose: a deep queue turns overload into late replies.
const RECEIVE_BUFFER: i32 = 1 << 20;

type NtpBatch = Batch<{ ntp::MAX_REQUEST_BYTES }, { ntp::HEADER_BYTES + MAX_MAC_BYTES }>;

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
    marks: [AtomicU64; MARKS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            outcomes: [const { AtomicU64::new(0) }; REASONS * ACTIONS],
            first_bytes: [const { AtomicU64::new(0) }; 256],
            marks: [const { AtomicU64::new(0) }; MARKS],
        }
    }
}

struct Shared {
    inputs: Mutex<Arc<Inputs>>,
    version: AtomicU64,
}

/// What remains to be read of one socket's work.
struct Lane {
    six: bool,
    counters: Arc<Counters>,
    memory: Readable,
}

/// A running service.
pub struct Server {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    crew: Crew,
    /// Which packets are sampled.
    pub switch: Arc<Switch>,
    /// What is bound, once for each address asked for.
    pub endpoints: Vec<SocketAddr>,
}

impl Server {
    /// Bind `listen` with `workers` sockets each, and answer; remember about `clients` clients.
    pub fn start(
        listen: &[Wanted],
        clock: ClockState,
        policy: Policy,
        workers: u32,
        confined: bool,
        clients: usize,
        secret: [u8; 16],
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let (endpoints, sockets) = bind_each(listen, workers, RECEIVE_BUFFER)?;
        let inputs = Mutex::new(Arc::new(Inputs { clock, policy }));
        let shared = Arc::new(Shared { inputs, version: AtomicU64::new(1) });
        let switch = Switch::new(sockets.len(), ordinary);
        let mut server = Self { shared, lanes: Vec::new(), crew: Crew::new(confined), switch, endpoints };
        let slots = tables::slots_each(clients, sockets.len());
        let networks = tables::networks(tables::NETWORK_CELLS, secret);
        for (number, socket) in sockets.into_iter().enumerate() {
            let address = socket.bound;
            let (shared, counters) = (server.shared.clone(), Arc::new(Counters::default()));
            let memory = tables::memory(slots, networks.clone(), secret).map_err(|error| (address, error))?;
            let lane = Lane { six: address.is_ipv6(), counters: counters.clone(), memory: Readable::of(&memory) };
            server.lanes.push(lane);
            let tap = Tap::new(server.switch.clone(), number);
            let work = move |socket: &Arc<Udp>, life: &Life| {
                Worker::new(socket, life, &counters, &shared, memory, number, tap).run()
            };
            server.crew.add(format!("ntp-{number}"), socket, work).map_err(|error| (address, error))?;
        }
        Ok(server)
    }

    /// Swap the clock state.
    pub fn set_clock(&self, clock: ClockState) {
        self.swap(|old| Inputs { clock, policy: old.policy.clone() });
    }

    /// Swap the policy.
    pub fn set_policy(&self, policy: Policy) {
        self.swap(|old| Inputs {
            clock: old.clock.clone(),
            policy: Policy { keys: old.policy.keys.clone(), ..policy },
        });
    }

    fn swap(&self, make: impl FnOnce(&Inputs) -> Inputs) {
        let mut inputs = locked(&self.shared.inputs);
        *inputs = Arc::new(make(&inputs));
        self.shared.version.fetch_add(1, Release);
    }

    /// Swap the keys.
    pub fn set_keys(&self, keys: Arc<dyn Keys>) {
        self.swap(|old| Inputs { clock: old.clock.clone(), policy: Policy { keys, ..old.policy.clone() } });
    }

    /// (mark, packets) that are not 0.
    pub fn marks(&self) -> Vec<(usize, u64)> {
        let sum = |at: usize| self.lanes.iter().map(|lane| lane.counters.marks[at].load(Relaxed)).sum();
        (0..MARKS).map(|at| (at, sum(at))).filter(|row| row.1 > 0).collect()
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

    /// What the workers are confined to.
    pub fn sandbox(&self) -> &Sandbox {
        &self.crew.sandbox
    }

    /// What each worker knows of each client.
    pub fn clients(&self) -> Vec<ClientTuple> {
        self.lanes.iter().flat_map(|lane| lane.memory.clients()).collect()
    }

    /// What all workers together remember.
    pub fn remembered(&self) -> RememberedTuple {
        tables::together(self.lanes.iter().map(|lane| lane.memory.remembered()))
    }

    /// Why a worker died, if one did.
    pub fn failure(&self) -> Option<String> {
        self.crew.failure()
    }

    /// Stop and wait until every thread is gone.
    pub fn close(&mut self) {
        self.crew.close();
    }
}

struct Worker<'a> {
    socket: &'a Udp,
    counters: &'a Counters,
    shared: &'a Shared,
    life: &'a Life,
    seen: u64,
    inputs: Arc<Inputs>,
    snapshot: Snapshot,
    /// The system clock was set since `inputs.clock` was made.
    set: bool,
    memory: Memory,
    /// When the packets at hand were taken.
    mono_ns: i64,
    noise: u64,
    bound: Source,
    kept: [u8; WIDTH],
    /// Marks of what was kept, as bits by their numbers.
    marked: [u8; WIDTH],
    /// Replies whose stamp has not been asked for yet.
    unstamped: usize,
    tap: Tap,
    /// Reason and action of the packet at hand, for the tap.
    decided: (Reason, Action),
}

impl<'a> Worker<'a> {
    fn new(
        socket: &'a Udp,
        life: &'a Life,
        counters: &'a Counters,
        shared: &'a Shared,
        memory: Memory,
        number: usize,
        tap: Tap,
    ) -> Self {
        let inputs = locked(&shared.inputs).clone();
        let mono_ns = monotonic_ns();
        let snapshot = Snapshot::at(mono_ns, &inputs.clock);
        let seed = realtime_ns() as u64 ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let unspecified = socket.bound.ip().is_unspecified();
        let mut bound = to_source(socket.bound);
        if unspecified {
            bound.address = 0;
        }
        let (seen, noise, kept, marked, unstamped) = (0, seed | 1, [0; WIDTH], [0; WIDTH], 0);
        Self {
            socket,
            counters,
            shared,
            life,
            seen,
            inputs,
            snapshot,
            set: false,
            memory,
            mono_ns,
            noise,
            bound,
            kept,
            marked,
            unstamped,
            tap,
            decided: UNDECIDED,
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut batch = NtpBatch::new();
        let fd = self.socket.as_raw_fd();
        while let Some(got) = self.life.receive(&mut batch, self.socket)? {
            self.refresh();
            self.tap.refresh();
            if self.unstamped > 0 {
                self.take_stamps(fd);
            }
            let mut filled = 0;
            for i in 0..got {
                // A bug in one reply is counted; the packet that found it must not take the service away.
                match catch_unwind(AssertUnwindSafe(|| self.turn(&mut batch, i, filled))) {
                    Ok(true) => filled += 1,
                    Ok(false) => {}
                    Err(_) => bump(&self.counters.outcomes[Reason::Bug as usize * ACTIONS + Action::Ignore as usize]),
                }
                if self.tap.on() {
                    let (reason, action) = std::mem::replace(&mut self.decided, UNDECIDED);
                    let outcome = (action as i32) << 8 | reason as i32;
                    let own = (self.bound.address, self.bound.port);
                    self.tap.look(batch.packet(i), own, self.mono_ns, outcome);
                }
            }
            self.send(&mut batch, fd, filled);
        }
        Ok(())
    }

    /// Take new inputs, age the snapshot, and notice at once when the system clock was set.
    fn refresh(&mut self) {
        let version = self.shared.version.load(Acquire);
        let now_ns = monotonic_ns();
        self.mono_ns = now_ns;
        let fresh = version != self.seen;
        if fresh {
            self.seen = version;
            self.inputs = locked(&self.shared.inputs).clone();
        }
        let clock = &self.inputs.clock;
        // A second look, because a thread may have to wait between the two readings.
        let set = clock.was_set(realtime_ns(), now_ns) && clock.was_set(realtime_ns(), monotonic_ns());
        if !fresh && set == self.set && now_ns < self.snapshot.valid_until_mono_ns {
            return;
        }
        self.set = set;
        self.snapshot = if set { Snapshot::at(now_ns, &clock.unsynchronised()) } else { Snapshot::at(now_ns, clock) };
        self.memory.interleaved.watch_clock(realtime_ns(), now_ns);
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
        let moment =
            Moment { rx_ns: envelope.rx_ns.unwrap_or(tx_ns), tx_ns, mono_ns: self.mono_ns, noise: self.next_noise() };
        let (packet, room) = batch.slot(i);
        let (reply, mac_room) = room.split_at_mut(ntp::HEADER_BYTES);
        let Some(reply) = reply.first_chunk_mut() else {
            return false; // it has that length
        };
        let (snapshot, policy) = (&self.snapshot, &self.inputs.policy);
        let (reason, action) =
            ntp::answer(packet, envelope.size, &source, &own, moment, snapshot, policy, &mut self.memory, reply);
        self.decided = (reason, action);
        let outcome = reason as usize * ACTIONS + action as usize;
        if action == Action::Ignore {
            if let Some(fault) = self.memory.annex.fault {
                bump(&self.counters.marks[FAULTS + fault as usize]);
            }
            bump(&self.counters.outcomes[outcome]);
            return false;
        }
        self.kept[filled] = outcome as u8;
        let annex = &self.memory.annex;
        let mac = annex.mac();
        mac_room[..mac.len()].copy_from_slice(mac);
        self.marked[filled] = u8::from(!mac.is_empty()) << AUTHENTICATED | u8::from(annex.interleaved) << INTERLEAVED;
        batch.keep(i, ntp::HEADER_BYTES + mac.len(), envelope.own);
        if annex.stamp {
            batch.ask_for_stamp();
            self.unstamped += 1;
        }
        true
    }

    fn send(&mut self, batch: &mut NtpBatch, fd: i32, filled: usize) {
        let (kept, marked) = (&mut self.kept, &mut self.marked);
        batch.send(fd, |at| {
            kept[at] = (Reason::SendFailed as usize * ACTIONS + Action::Ignore as usize) as u8;
            marked[at] = 0;
        });
        for &outcome in &kept[..filled] {
            bump(&self.counters.outcomes[usize::from(outcome)]);
        }
        for &marks in marked[..filled].iter().filter(|&&marks| marks != 0) {
            for mark in [AUTHENTICATED, INTERLEAVED] {
                if marks >> mark & 1 == 1 {
                    bump(&self.counters.marks[usize::from(mark)]);
                }
            }
        }
    }

    /// Read when replies left, which the kernel tells through the error queue of the socket.
    fn take_stamps(&mut self, fd: i32) {
        let (interleaved, marks) = (&mut self.memory.interleaved, &self.counters.marks);
        let told = stamps::read(fd, |frame, tx_ns| {
            if interleaved.stamp_in(frame, tx_ns) {
                bump(&marks[STAMPED]);
            }
        });
        // A stamp may come late, or never: what it was for has been told by then, so we do not go on asking for it.
        self.unstamped = if told == 0 { self.unstamped / 2 } else { self.unstamped.saturating_sub(told) };
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
