//! The threads of a service, one for each socket: how they begin, wait for packets, end, and what is told when one dies.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::batch::Batch;
use crate::confine::confine;
use crate::socket::{Udp, is_transient};

/// After an error of the network: should it come again at once, we neither spin nor stop.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock, also after a thread died while it held it: what it guards is swapped whole and never half-written.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What the threads and their owner tell each other.
#[derive(Default)]
pub struct Life {
    closing: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Life {
    /// Wait for packets; how many came, or None when the service is to end.
    pub fn receive<const IN: usize, const OUT: usize>(
        &self,
        batch: &mut Batch<IN, OUT>,
        socket: &Udp,
    ) -> io::Result<Option<usize>> {
        loop {
            let got = socket.wait().and_then(|()| batch.receive(socket));
            if self.closing.load(Acquire) {
                return Ok(None);
            }
            match got {
                Ok(got) => return Ok(Some(got)),
                // Told that there was something, and there was not.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && socket.is_lent() => {}
                Err(error) if is_transient(&error) => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether threads are confined (see `confine`), or what of it is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// Nobody asked for it.
    Off,
    /// In force in every thread.
    On,
    /// Asked for, and not all of it is in force: why.
    Lacking(String),
}

/// All threads of one service.
pub struct Crew {
    life: Arc<Life>,
    /// What the threads are confined to.
    pub sandbox: Sandbox,
    sockets: Vec<Arc<Udp>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Nobody yet; everybody who joins is confined if `confined` says so.
    pub fn new(confined: bool) -> Self {
        let sandbox = if confined { Sandbox::On } else { Sandbox::Off };
        Self { life: Arc::default(), sandbox, sockets: Vec::new(), threads: Vec::new() }
    }

    /// Start a thread that works on `socket` until the crew is closed; what ends it earlier is its failure.
    pub fn add<W>(&mut self, name: String, socket: Udp, work: W) -> io::Result<()>
    where
        W: FnOnce(&Arc<Udp>, &Life) -> io::Result<()> + Send + 'static,
    {
        let (socket, life) = (Arc::new(socket), self.life.clone());
        self.sockets.push(socket.clone());
        let confined = self.sandbox != Sandbox::Off;
        let (tell, told) = mpsc::sync_channel(1);
        let watched = move || {
            let _ = tell.send(if confined { confine() } else { Ok(()) });
            let why = match catch_unwind(AssertUnwindSafe(|| work(&socket, &life))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the worker panicked".to_owned(),
            };
            *locked(&life.failure) = Some(why);
        };
        self.threads.push(std::thread::Builder::new().name(name).spawn(watched)?);
        // Before the caller goes on: whoever asks next whether it is in force shall hear the truth.
        if let Ok(Err(why)) = told.recv() {
            self.sandbox = Sandbox::Lacking(why);
        }
        Ok(())
    }

    /// Why a thread died, if one did.
    pub fn failure(&self) -> Option<String> {
        locked(&self.life.failure).clone()
    }

    /// End every thread, wait until it is gone, and free the ports.
    pub fn close(&mut self) {
        self.life.closing.store(true, Release);
        for socket in &self.sockets {
            socket.shut_down();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic was caught inside and is in `failure`
        }
        self.sockets.clear();
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.close();
    }
}
