//! The DNS service over UDP: one thread for each socket, and no lock, allocation or interpreter in the way of a packet.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};

use timeball_core::dns::{self, Answer, Arrival};
use timeball_core::dns_limited;
use timeball_core::dns_rate::Limiter;
use timeball_core::dns_snapshot::{MAX_REPLY_BYTES, Snapshot};

use crate::batch::{Batch, Envelope, WIDTH};
use crate::clock::{monotonic_ns, realtime_ns};
use crate::counting::bump;
use crate::crew::{Crew, Life, Sandbox, locked};
use crate::sampling::{Switch, Tap, to_number};
use crate::socket::{Udp, Wanted, bind_each};

const RECEIVE_BUFFER: i32 = 4 << 20;
/// The longest query that is looked at; the rest of a longer one is cut off.
const LONGEST_QUERY: usize = 4096;

type DnsBatch = Batch<LONGEST_QUERY, MAX_REPLY_BYTES>;

/// Types up to this number are counted each, all others together.
const TYPES: usize = 258;
/// The type under which others are counted; it has no name.
const OTHER_TYPE: u16 = u16::MAX;
/// Outcomes from the least that we have, to the greatest RCODE, 16.
const OUTCOMES: usize = (16 + 1 - LEAST_OUTCOME) as usize;
const LEAST_OUTCOME: i16 = QUEUE_FULL;
/// Outcomes beside the RCODEs and `dns::DROP`; the numbers are those of `python_dns.py`.
const SEND_FAILED: i16 = -2;
const BUG: i16 = -3;
const QUEUE_FULL: i16 = -8;
/// The same by their names.
pub const OWN_OUTCOMES: [(&str, i16); 6] = [
    ("send_failed", SEND_FAILED),
    ("error", BUG),
    ("queue_full", QUEUE_FULL),
    ("limited", dns_limited::LIMITED),
    ("limited_truncated", dns_limited::LIMITED_TRUNCATED),
    ("limited_badcookie", dns_limited::LIMITED_BADCOOKIE),
];

/// Whether an outcome tells nothing about who asked: `python_dns.ORDINARY`.
fn ordinary(outcome: i32) -> bool {
    use dns_limited::{LIMITED, LIMITED_BADCOOKIE, LIMITED_TRUNCATED};
    const NOERROR: i16 = 0;
    let ours = [SEND_FAILED, BUG, LIMITED, LIMITED_TRUNCATED, LIMITED_BADCOOKIE];
    outcome == i32::from(NOERROR) || ours.iter().any(|&own| outcome == i32::from(own))
}

/// Queries that wait for the control side; more of them are refused.
const MOST_HANDED: usize = 256;

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
    limiter: Limiter,
}

/// A running service.
pub struct Server {
    /// What the workers do not answer, until somebody takes it over; it ends with the last worker.
    pub handed: Mutex<Option<Receiver<Handed>>>,
    shared: Arc<Shared>,
    /// Of each worker.
    counters: Vec<Arc<Counters>>,
    crew: Crew,
    /// Which queries are sampled.
    pub switch: Arc<Switch>,
    /// What is bound, once for each address asked for.
    pub endpoints: Vec<SocketAddr>,
}

impl Server {
    /// Bind `listen` with `workers` sockets each, and answer from epoch 0.
    pub fn start(
        listen: &[Wanted],
        snapshot: Arc<Snapshot>,
        limiter: Limiter,
        workers: u32,
        confined: bool,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let (endpoints, sockets) = bind_each(listen, workers, RECEIVE_BUFFER)?;
        let current = Arc::new(Epoch::new(snapshot, sockets.len()));
        let epochs = Mutex::new(Epochs { current, retired: Vec::new() });
        let shared = Arc::new(Shared { epochs, version: AtomicU64::new(0), limiter });
        let (up, handed) = sync_channel(MOST_HANDED);
        let switch = Switch::new(sockets.len(), ordinary);
        let mut server = Self {
            handed: Mutex::new(Some(handed)),
            shared,
            counters: Vec::new(),
            crew: Crew::new(confined),
            switch,
            endpoints,
        };
        for (number, socket) in sockets.into_iter().enumerate() {
            socket.prepare_for_dns();
            let address = socket.bound;
            let counters = Arc::new(Counters { outcomes: zeros(TYPES * OUTCOMES + OUTCOMES) });
            server.counters.push(counters.clone());
            let tap = Tap::new(server.switch.clone(), number);
            let (shared, up) = (server.shared.clone(), up.clone());
            let work = move |socket: &Arc<Udp>, life: &Life| {
                Worker::new(socket, life, &counters, &shared, number, up, tap).run()
            };
            server.crew.add(format!("dns-{number}"), socket, work).map_err(|error| (address, error))?;
        }
        Ok(server)
    }

    /// Answer from `snapshot` from the next batch of queries on; returns the number of its epoch.
    pub fn set_answers(&self, snapshot: Arc<Snapshot>) -> u64 {
        let mut fresh = Epoch::new(snapshot, self.counters.len());
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
        let sum = |at: usize| self.counters.iter().map(|counters| counters.outcomes[at].load(Relaxed)).sum();
        let row = |at: usize| {
            let kind = at / OUTCOMES;
            let qtype = if kind < TYPES { kind as u16 } else { OTHER_TYPE };
            (qtype, (at % OUTCOMES) as i16 + LEAST_OUTCOME, sum(at))
        };
        (0..TYPES * OUTCOMES + OUTCOMES).map(row).filter(|row| row.2 > 0).collect()
    }

    /// What the workers are confined to.
    pub fn sandbox(&self) -> &Sandbox {
        &self.crew.sandbox
    }

    /// Networks over the limit; see `Limiter::offenders`.
    pub fn offenders(&self) -> Vec<(Vec<u8>, u64, i64)> {
        self.shared.limiter.offenders()
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

/// A query that somebody else answers.
pub struct Handed {
    /// The message.
    pub query: Vec<u8>,
    /// Where it came from.
    pub source: SocketAddr,
    /// When it was taken up, by the monotonic clock.
    pub mono_ns: i64,
    own: Option<IpAddr>,
    socket: Weak<Udp>,
}

impl Handed {
    /// Send the reply from the address that was asked; false when the kernel did not take it or the service is gone.
    pub fn reply(&self, message: &[u8]) -> bool {
        self.socket.upgrade().is_some_and(|socket| socket.send(message, self.source, self.own).is_ok())
    }
}

struct Worker<'a> {
    socket: &'a Arc<Udp>,
    counters: &'a Counters,
    shared: &'a Shared,
    life: &'a Life,
    number: usize,
    epoch: Arc<Epoch>,
    up: SyncSender<Handed>,
    sequence: u64,
    /// Type and outcome of the replies that wait to be sent.
    kept: [(u16, i16); WIDTH],
    tap: Tap,
    /// What became of the query at hand, for the tap.
    outcome: i16,
}

impl<'a> Worker<'a> {
    fn new(
        socket: &'a Arc<Udp>,
        life: &'a Life,
        counters: &'a Counters,
        shared: &'a Shared,
        number: usize,
        up: SyncSender<Handed>,
        tap: Tap,
    ) -> Self {
        let epoch = locked(&shared.epochs).current.clone();
        Self {
            socket,
            counters,
            shared,
            life,
            number,
            epoch,
            up,
            sequence: 0,
            kept: [(0, 0); WIDTH],
            tap,
            outcome: BUG,
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut batch = DnsBatch::new();
        let fd = self.socket.as_raw_fd();
        while let Some(got) = self.life.receive(&mut batch, self.socket)? {
            if self.shared.version.load(Acquire) != self.epoch.number {
                self.epoch = locked(&self.shared.epochs).current.clone();
            }
            self.tap.refresh();
            let now = (realtime_ns(), monotonic_ns());
            let own = self.socket.bound;
            let own = (if own.ip().is_unspecified() { 0 } else { to_number(own.ip()) }, own.port());
            let mut filled = 0;
            for i in 0..got {
                // A bug in one reply is counted; the packet that found it must not take the service away.
                match catch_unwind(AssertUnwindSafe(|| self.turn(&mut batch, i, now, filled))) {
                    Ok(true) => filled += 1,
                    Ok(false) => {}
                    Err(_) => self.count(0, BUG),
                }
                if self.tap.on() {
                    let outcome = std::mem::replace(&mut self.outcome, BUG);
                    self.tap.look(batch.packet(i), own, now.1, i32::from(outcome));
                }
            }
            let kept = &mut self.kept;
            batch.send(fd, |at| kept[at].1 = SEND_FAILED);
            for (qtype, outcome) in self.kept.into_iter().take(filled) {
                self.count(qtype, outcome);
            }
        }
        Ok(())
    }

    /// Decide about packet `i`; true when it left a reply.
    fn turn(&mut self, batch: &mut DnsBatch, i: usize, (now_ns, mono_ns): (i64, i64), filled: usize) -> bool {
        let envelope = batch.packet(i).1;
        if envelope.source.port() == 0 {
            self.outcome = dns::DROP;
            self.count(0, dns::DROP);
            return false;
        }
        self.sequence += 1;
        let arrival = Arrival { source: envelope.source.ip(), now_ns, mono_ns, sequence: self.sequence };
        let (query, room) = batch.slot(i);
        let mut answer = dns::answer(query, arrival, &self.epoch.snapshot, Some(&self.shared.limiter), room);
        self.outcome = answer.outcome;
        if answer.outcome == dns::HANDED_UP {
            if self.hand_up(query, &envelope, mono_ns) {
                return false;
            }
            answer = Answer { outcome: QUEUE_FULL, ..dns::refuse(query, arrival, &self.epoch.snapshot, room) };
            self.outcome = QUEUE_FULL;
        }
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

    /// Whether the query is in the queue; it is counted when it leaves it.
    fn hand_up(&self, query: &[u8], envelope: &Envelope, mono_ns: i64) -> bool {
        let handed = Handed {
            query: query.to_vec(),
            source: envelope.source,
            mono_ns,
            own: envelope.own,
            socket: Arc::downgrade(self.socket),
        };
        self.up.try_send(handed).is_ok()
    }

    fn count(&self, qtype: u16, outcome: i16) {
        let kind = usize::from(qtype).min(TYPES);
        bump(&self.counters.outcomes[kind * OUTCOMES + (outcome - LEAST_OUTCOME) as usize]);
    }
}
