//! Memory for what the NTP workers remember, and what Python reads of it.

use std::io;
use std::mem::size_of;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use timeball_core::clients::{Client, ClientTable, Slot, WAYS};
use timeball_core::memory::{Limited, Memory};
use timeball_core::prefix_buckets::PrefixBuckets;

/// Cells for networks: half a megabyte; `ntp_networks.ROOM`.
pub const NETWORK_CELLS: usize = 1 << 16;

/// See `ClientTuple` in `_native.pyi`.
pub type ClientTuple = (u64, u64, u64, u64, u64, u64, u64, u64, u8, bool, i32, i32);
/// See `RememberedTuple` in `_native.pyi`.
pub type RememberedTuple = (u64, u64, u64, u64, u64, u64, u64);

/// Slots of zeros that take no memory until they are written: pages that the kernel lends one by one.
///
/// Not a `Box`: an allocator that is asked for aligned zeros writes them all.
#[derive(Debug)]
struct Pages {
    start: NonNull<Slot>,
    slots: usize,
}

// SAFETY: the pages belong to this value alone, and slots are made of atomics.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// An error, and not the end of the process, when the kernel does not promise as much.
    fn new(slots: usize) -> io::Result<Self> {
        let bytes = slots.checked_mul(size_of::<Slot>()).ok_or(io::Error::from_raw_os_error(libc::ENOMEM))?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping touches no memory of ours.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast()).map(|start| Self { start, slots }).ok_or(io::Error::last_os_error())
    }
}

impl AsRef<[Slot]> for Pages {
    fn as_ref(&self) -> &[Slot] {
        // SAFETY: pages are aligned more strictly than slots, zeros are valid slots, and they live as long as this value.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.slots) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.slots * size_of::<Slot>()) };
    }
}

/// Buckets for the networks that ask any worker.
pub fn networks(cells: usize, secret: [u8; 16]) -> Arc<PrefixBuckets> {
    Arc::new(PrefixBuckets::over((0..cells).map(|_| AtomicU64::new(0)).collect(), secret))
}

/// The memory of one worker, with `slots` slots for clients.
pub fn memory(slots: usize, networks: Arc<PrefixBuckets>, secret: [u8; 16]) -> io::Result<Memory> {
    let clients = match slots {
        0 => None,
        _ => Some(Arc::new(ClientTable::over(Box::new(Pages::new(slots)?), secret))),
    };
    Ok(Memory { clients, networks: Some(networks), ..Memory::default() })
}

/// How many slots each of `workers` needs to know `clients` together.
pub fn slots_each(clients: usize, workers: usize) -> usize {
    clients.div_ceil(workers.max(1) * WAYS)
}

/// What everybody may read of one worker's memory.
#[derive(Clone)]
pub struct Readable {
    clients: Option<Arc<ClientTable>>,
    limited: Arc<Limited>,
}

impl Readable {
    /// A view of `memory`.
    pub fn of(memory: &Memory) -> Self {
        Self { clients: memory.clients.clone(), limited: memory.limited.clone() }
    }

    /// Everybody who is known.
    pub fn clients(&self) -> Vec<ClientTuple> {
        self.clients.iter().flat_map(|table| table.all()).map(to_tuple).collect()
    }

    /// How full it is, and what the limiter did.
    pub fn remembered(&self) -> RememberedTuple {
        let (known, room, forgotten) =
            self.clients.as_ref().map_or((0, 0, 0), |table| (table.known(), table.room() as u64, table.forgotten()));
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let limited = &self.limited;
        let (kissed, leaked) = (count(&limited.kissed), count(&limited.leaked));
        (known, room, forgotten, count(&limited.client), count(&limited.network), kissed, leaked)
    }
}

/// The sum of what several workers remember.
pub fn together(views: impl Iterator<Item = RememberedTuple>) -> RememberedTuple {
    views.fold(RememberedTuple::default(), |a, b| {
        (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3 + b.3, a.4 + b.4, a.5 + b.5, a.6 + b.6)
    })
}

fn to_tuple(c: Client) -> ClientTuple {
    (
        c.key,
        c.first_ns,
        c.last_ns,
        c.packets,
        c.replies,
        c.dropped,
        c.kisses,
        c.full_at_ns,
        c.look,
        c.silent,
        c.answered,
        c.unanswered,
    )
}
