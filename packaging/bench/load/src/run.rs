//! One thread's work: send by the clock or by the window, take and verify what comes.

use std::collections::HashSet;
use std::io;
use std::net::Ipv4Addr;

use crate::flight::Flight;
use crate::histogram::Histogram;
use crate::net::{Batch, Udp, now_ns, used_ns, wait, wake_exactly};
use crate::options::{Options, Pace};
use crate::wire::Wire;

const SECOND_NS: i64 = 1_000_000_000;
/// Replies that come later than that after the end are lost.
const PATIENCE_NS: i64 = SECOND_NS;
/// Never asleep for longer: a window that is full of lost requests must be opened again.
const NAP_NS: i64 = 5_000_000;

/// What one thread saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Requests that left.
    pub sent: u64,
    /// In time, and right.
    pub ok: u64,
    /// Right, but after the limit.
    pub late: u64,
    /// Not what was asked for.
    pub wrong: u64,
    /// Packets that answer nothing open.
    pub stray: u64,
    /// From due to the kernel's receive time.
    pub latency: Histogram,
    /// From sent to the kernel's receive time.
    pub trip: Histogram,
    /// From due to sent: how far the load generator itself was behind.
    pub behind: Histogram,
    /// From the first request to the end of sending, s.
    pub elapsed_s: f64,
    /// Share of a processor used meanwhile.
    pub busy: f64,
    /// Passes of the loop that did nothing, of all.
    pub idle_passes: f64,
    /// Groups of addresses (`--same-bits`) that answers came from.
    pub groups: HashSet<u32>,
    last_group: Option<u32>,
}

impl Seen {
    fn new() -> Self {
        Self {
            sent: 0,
            ok: 0,
            late: 0,
            wrong: 0,
            stray: 0,
            latency: Histogram::new(),
            trip: Histogram::new(),
            behind: Histogram::new(),
            elapsed_s: 0.0,
            busy: 0.0,
            idle_passes: 0.0,
            groups: HashSet::new(),
            last_group: None,
        }
    }

    /// Add what another thread saw.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.late += other.late;
        self.wrong += other.wrong;
        self.stray += other.stray;
        self.latency.merge(&other.latency);
        self.trip.merge(&other.trip);
        self.behind.merge(&other.behind);
        self.elapsed_s = self.elapsed_s.max(other.elapsed_s);
        self.busy = self.busy.max(other.busy);
        self.idle_passes = self.idle_passes.min(other.idle_passes);
        self.groups.extend(&other.groups);
    }
}

/// One thread of load.
pub struct Thread<'a> {
    options: &'a Options,
    wire: &'a Wire,
    sockets: Vec<Udp>,
    flights: Vec<Flight>,
    /// The socket that sends next.
    turn: usize,
    /// Number of the next client address.
    client: u32,
    noise: u64,
    out: Batch,
    into: Batch,
    open: usize,
    swept_ns: i64,
    seen: Seen,
}

impl<'a> Thread<'a> {
    /// Thread `number`, with sockets of its own.
    pub fn new(options: &'a Options, wire: &'a Wire, number: usize) -> io::Result<Self> {
        let stamped = matches!(options.pace, Pace::Rate(..));
        let sockets: Vec<_> = (0..options.ports).map(|_| Udp::new(stamped)).collect::<Result<_, _>>()?;
        let flights = sockets.iter().map(|_| Flight::new()).collect();
        Ok(Self {
            options,
            wire,
            sockets,
            flights,
            turn: 0,
            client: (options.sources / options.threads as u32).wrapping_mul(number as u32),
            noise: (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            out: Batch::new(options.batch, options.server),
            into: Batch::new(64, options.server),
            open: 0,
            swept_ns: now_ns(),
            seen: Seen::new(),
        })
    }

    /// Ask for as long as the options say.
    pub fn run(mut self) -> io::Result<Seen> {
        wake_exactly();
        let (began_ns, began_used_ns) = (now_ns(), used_ns());
        let end_ns = began_ns + (self.options.seconds * 1e9) as i64;
        let (mut passes, mut idle) = (0_u64, 0_u64);
        let mut next_ns = began_ns as f64;
        loop {
            let now = now_ns();
            if now >= end_ns {
                break;
            }
            let (sent, nap_ns) = match self.options.pace {
                Pace::Rate(rate, even) => {
                    let sent = self.send_due(&mut next_ns, rate / self.options.threads as f64, even)?;
                    (sent, next_ns as i64 - now_ns())
                }
                Pace::Window(window) => {
                    self.sweep(now);
                    (self.fill(window.div_ceil(self.options.threads), now)?, NAP_NS)
                }
            };
            let got = self.take()?;
            passes += 1;
            if got == 0 && sent == 0 {
                idle += 1;
                if !self.options.spin {
                    wait(&self.sockets, nap_ns.min(NAP_NS));
                }
            }
        }
        self.seen.elapsed_s = (now_ns() - began_ns) as f64 / 1e9;
        self.seen.busy = (used_ns() - began_used_ns) as f64 / 1e9 / self.seen.elapsed_s;
        self.seen.idle_passes = idle as f64 / passes.max(1) as f64;
        let patience_ends_ns = now_ns() + PATIENCE_NS;
        while self.seen.ok + self.seen.late + self.seen.wrong < self.seen.sent && now_ns() < patience_ends_ns {
            if self.take()? == 0 {
                wait(&self.sockets, NAP_NS);
            }
        }
        Ok(self.seen)
    }

    /// Send whatever the schedule says should have left by now.
    fn send_due(&mut self, next_ns: &mut f64, rate: f64, even: bool) -> io::Result<usize> {
        let now = now_ns();
        let mut due = [0; 256];
        let mut count = 0;
        let mut at_ns = *next_ns;
        while count < self.out.size() && at_ns as i64 <= now {
            due[count] = at_ns as i64;
            count += 1;
            // Independent clients: exponential gaps.
            at_ns += 1e9 / rate * if even { 1.0 } else { -(1.0 - self.random()).ln() };
        }
        if count == 0 {
            return Ok(0);
        }
        let sent = self.send(&due[..count])?;
        // What the kernel had no room for stays due; its gap is drawn anew.
        *next_ns = if sent == count { at_ns } else { due[sent] as f64 };
        Ok(sent)
    }

    /// Fill the window.
    fn fill(&mut self, window: usize, now: i64) -> io::Result<usize> {
        let free = window.saturating_sub(self.open);
        let count = free.min(self.out.size());
        if count == 0 {
            return Ok(0);
        }
        self.send(&[now; 256][..count])
    }

    /// Send one request for each time in `due` from the socket whose turn it is; how many left.
    fn send(&mut self, due: &[i64]) -> io::Result<usize> {
        let flight = &mut self.flights[self.turn];
        for at in 0..due.len() {
            let source =
                Ipv4Addr::from(u32::from(self.options.from) + (self.client + at as u32) % self.options.sources);
            let number = flight.next.wrapping_add(at as u32);
            self.out.put(at, source, |room| self.wire.request(number, room));
        }
        let leaving_ns = now_ns();
        let sent = self.out.send(&self.sockets[self.turn], due.len())?;
        for &due_ns in &due[..sent] {
            flight.enter(due_ns, leaving_ns);
            self.seen.behind.add(leaving_ns - due_ns);
        }
        self.client = (self.client + sent as u32) % self.options.sources;
        self.turn = (self.turn + 1) % self.sockets.len();
        self.open += sent;
        self.seen.sent += sent as u64;
        Ok(sent)
    }

    /// Take what has come on all sockets; how many packets.
    fn take(&mut self) -> io::Result<usize> {
        let mut all = 0;
        for which in 0..self.sockets.len() {
            let got = self.into.receive(&self.sockets[which])?;
            if got == 0 {
                continue;
            }
            all += got;
            let now = now_ns();
            for at in 0..got {
                self.judge(which, at, now);
            }
        }
        Ok(all)
    }

    /// Give the places in the window of what was lost to others.
    fn sweep(&mut self, now: i64) {
        if now - self.swept_ns >= self.options.late_ns {
            self.swept_ns = now;
            let before_ns = now - self.options.late_ns;
            self.open -= self.flights.iter_mut().map(|flight| flight.give_up(before_ns)).sum::<usize>();
        }
    }

    fn judge(&mut self, which: usize, at: usize, now: i64) {
        let packet = self.into.packet(at);
        let Some(request) = self.wire.claims(packet).and_then(|low| self.flights[which].claimed(low)) else {
            self.seen.stray += 1;
            return;
        };
        request.open = false;
        self.open -= usize::from(!request.given_up);
        let Some(group) = self.wire.check(packet, request.number) else {
            self.seen.wrong += 1;
            return;
        };
        let came_ns = self.into.stamp_ns(at).unwrap_or(now);
        let took_ns = came_ns - request.due_ns;
        self.seen.latency.add(took_ns);
        self.seen.trip.add(came_ns - request.sent_ns);
        if took_ns > self.options.late_ns {
            self.seen.late += 1;
        } else {
            self.seen.ok += 1;
        }
        if self.seen.last_group.replace(group) != Some(group) {
            self.seen.groups.insert(group);
        }
    }

    /// xorshift64*, from 0 to below 1.
    fn random(&mut self) -> f64 {
        self.noise ^= self.noise >> 12;
        self.noise ^= self.noise << 25;
        self.noise ^= self.noise >> 27;
        (self.noise.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
