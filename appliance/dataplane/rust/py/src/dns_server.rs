//! The DNS service over UDP: one thread for each socket, and no lock, allocation or interpreter in the way of a packet.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use timeball_core::dns::{self, Arrival};
use timeball_core::dns_snapshot::{MAX_REPLY_BYTES, Snapshot};

use crate::batch::{Batch, WIDTH};
use crate::clock::realtime_ns;
use crate::counting::bump;
use crate::socket::{Udp, bind_all, is_transient};

const RECEIVE_BUFFER: i32 = 4 << 20;
/// The longest query that is looked at; the rest of a longer one is cut off.
const LONGEST_QUERY: usize = 4096;

type DnsBatch = Batch<LONGEST_QUERY, MAX_REPLY_BYTES>;

/// Types up to this number are counted each, all others together.
const TYPES: usize = 258;
/// The type under which others are counted; it has no name.
const OTHER_TYPE: u16 = u16::MAX;
/// Outcomes from -3 to the greatest RCODE, 16.
const OUTCOMES: usize = 20;
const LEAST_OUTCOME: i16 = -3;
/// Outcomes beside the RCODEs and `dns::DROP`; the numbers are those of `python_dns.py`.
const SEND_FAILED: i16 = -2;
const BUG: i16 = -3;

/// Number of an epoch, whether it is over, and (mark, answers) that are not 0.
pub type Tally = (u64, bool, Vec<(usize, u64)>);

/// Counters of one worker: only it writes them.
#[repr(align(128))] // no two workers on one cache line
struct Counters {
    outcomes: Box<[AtomicU64]>,
}

/// A snapshot, and how often each of its answers was given by each worker.
struct Epoch {
    number: u64,
    snapshot: Arc<Snapshot>,
    given: Box<[Box<[AtomicU64]>]>,
}

impl Epoch {
    fn new(snapshot: Arc<Snapshot>, workers: usize) -> Self {
        let given = (0..workers).map(|_| zeros(snapshot.marks())).collect();
        Self { number: 0, snapshot, given }
    }

    /// (mark, answers) that are not 0.
    fn marks(&self) -> Vec<(usize, u64)> {
        let sum = |mark: usize| self.given.iter().map(|given| given[mark].load(Relaxed)).sum();
        (0..self.snapshot.marks()).map(|mark| (mark, sum(mark))).filter(|row| row.1 > 0).collect()
    }
}

fn zeros(size: usize) -> Box<[AtomicU64]> {
    (0..size).map(|_| AtomicU64::new(0)).collect()
}

struct Epochs {
    current: Arc<Epoch>,
    /// Those that a worker may still answer from.
    retired: Vec<Arc<Epoch>>,
}

struct Shared {
    epochs: Mutex<Epochs>,
    version: AtomicU64,
    closing: AtomicBool,
    failure: Mutex<Option<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct Lane {
    /// None once the service is closed: the port must be free again.
    socket: Option<Arc<Udp>>,
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
    /// Bind `listen` with `workers` sockets each, and answer from epoch 0.
    pub fn start(
        listen: &[SocketAddr],
        snapshot: Arc<Snapshot>,
        workers: u32,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut lanes = Vec::new();
        let mut endpoints = Vec::new();
        for &address in listen {
            let sockets = bind_all(address, workers, RECEIVE_BUFFER).map_err(|error| (address, error))?;
            endpoints.push(sockets[0].bound);
            for socket in sockets {
                socket.prepare_for_dns();
                let counters = Counters { outcomes: zeros(TYPES * OUTCOMES + OUTCOMES) };
                lanes.push(Lane { socket: Some(Arc::new(socket)), counters: Arc::new(counters) });
            }
        }
        let current = Arc::new(Epoch::new(snapshot, lanes.len()));
        let shared = Arc::new(Shared {
            epochs: Mutex::new(Epochs { current, retired: Vec::new() }),
            version: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let sockets = lanes.iter().enumerate();
        let threads =
            sockets.filter_map(|(i, lane)| Some(spawn(i, lane.socket.clone()?, &lane.counters, &shared))).collect();
        Ok(Self { shared, lanes, threads, endpoints })
    }

    /// Answer from `snapshot` from the next batch of queries on; returns the number of its epoch.
    pub fn set_answers(&self, snapshot: Arc<Snapshot>) -> u64 {
        let mut fresh = Epoch::new(snapshot, self.lanes.len());
        let mut epochs = locked(&self.shared.epochs);
        fresh.number = epochs.current.number + 1;
        let before = std::mem::replace(&mut epochs.current, Arc::new(fresh));
        epochs.retired.push(before);
        self.shared.version.store(epochs.current.number, Release);
        epochs.current.number
    }

    /// What was given in each epoch. One that is over is told once; calls must not overlap.
    pub fn tallies(&self) -> Vec<Tally> {
        // Workers may wait for this lock: it is held for moments only.
        let (mut retired, current) = {
            let mut epochs = locked(&self.shared.epochs);
            (std::mem::take(&mut epochs.retired), epochs.current.clone())
        };
        let mut rows = Vec::new();
        retired.retain_mut(|epoch| {
            // Workers take epochs from `current` only: once nobody else has a retired one, nobody will.
            let over = Arc::get_mut(epoch).is_some();
            rows.push((epoch.number, over, epoch.marks()));
            !over
        });
        rows.push((current.number, false, current.marks()));
        locked(&self.shared.epochs).retired.append(&mut retired);
        rows
    }

    /// (query type, outcome, queries) that are not 0; types without a place of their own under 65535.
    pub fn outcomes(&self) -> Vec<(u16, i16, u64)> {
        let sum = |at: usize| self.lanes.iter().map(|lane| lane.counters.outcomes[at].load(Relaxed)).sum();
        let row = |at: usize| {
            let kind = at / OUTCOMES;
            let qtype = if kind < TYPES { kind as u16 } else { OTHER_TYPE };
            (qtype, (at % OUTCOMES) as i16 + LEAST_OUTCOME, sum(at))
        };
        (0..TYPES * OUTCOMES + OUTCOMES).map(row).filter(|row| row.2 > 0).collect()
    }

    /// Why a worker died, if one did.
    pub fn failure(&self) -> Option<String> {
        locked(&self.shared.failure).clone()
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
        *locked(&shared.failure) = Some(why);
    };
    std::thread::Builder::new().name(format!("dns-{number}")).spawn(work).expect("the system has room for a thread")
}

struct Worker<'a> {
    socket: &'a Udp,
    counters: &'a Counters,
    shared: &'a Shared,
    number: usize,
    epoch: Arc<Epoch>,
    sequence: u64,
    /// Type and outcome of the replies that wait to be sent.
    kept: [(u16, i16); WIDTH],
}

impl<'a> Worker<'a> {
    fn new(socket: &'a Udp, counters: &'a Counters, shared: &'a Shared, number: usize) -> Self {
        let epoch = locked(&shared.epochs).current.clone();
        Self { socket, counters, shared, number, epoch, sequence: 0, kept: [(0, 0); WIDTH] }
    }

    fn run(mut self) -> io::Result<()> {
        let mut batch = DnsBatch::new();
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
            if self.shared.version.load(Acquire) != self.epoch.number {
                self.epoch = locked(&self.shared.epochs).current.clone();
            }
            let now_ns = realtime_ns();
            let mut filled = 0;
            for i in 0..got {
                // A bug in one reply is counted; the packet that found it must not take the service away.
                match catch_unwind(AssertUnwindSafe(|| self.turn(&mut batch, i, now_ns, filled))) {
                    Ok(true) => filled += 1,
                    Ok(false) => {}
                    Err(_) => self.count(0, BUG),
                }
            }
            let kept = &mut self.kept;
            batch.send(fd, |at| kept[at].1 = SEND_FAILED);
            for (qtype, outcome) in self.kept.into_iter().take(filled) {
                self.count(qtype, outcome);
            }
        }
    }

    /// Decide about packet `i`; true when it left a reply.
    fn turn(&mut self, batch: &mut DnsBatch, i: usize, now_ns: i64, filled: usize) -> bool {
        let envelope = batch.packet(i).1;
        if envelope.source.port() == 0 {
            self.count(0, dns::DROP);
            return false;
        }
        self.sequence += 1;
        let arrival = Arrival { source: envelope.source.ip(), now_ns, sequence: self.sequence };
        let (query, room) = batch.slot(i);
        let answer = dns::answer(query, arrival, &self.epoch.snapshot, room);
        if let Some(mark) = answer.mark {
            bump(&self.epoch.given[self.number][mark as usize]);
        }
        if answer.length == 0 {
            self.count(answer.qtype, answer.outcome);
            return false;
        }
        self.kept[filled] = (answer.qtype, answer.outcome);
        batch.keep(i, answer.length, envelope.own);
        true
    }

    fn count(&self, qtype: u16, outcome: i16) {
        let kind = usize::from(qtype).min(TYPES);
        bump(&self.counters.outcomes[kind * OUTCOMES + (outcome - LEAST_OUTCOME) as usize]);
    }
}
