//! Memory for what the NTP workers remember, and what Python reads of it.

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::ptr::slice_from_raw_parts_mut;
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

/// What is valid when all its bytes are zero.
trait Zero {}
impl Zero for AtomicU64 {}
impl Zero for Slot {} // atomics, and nothing else

/// `count` values of zeros that take no memory until they are written: the kernel lends one page of zeros for all.
///
/// An error, and not the end of the process, when the kernel does not promise as much.
fn zeroed<T: Zero>(count: usize) -> io::Result<Box<[T]>> {
    let layout = Layout::array::<T>(count).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
    if layout.size() == 0 {
        return Ok(Box::default());
    }
    // SAFETY: the layout is that of `count` values and is not empty; zeros are valid values, as the trait says.
    unsafe {
        let memory = alloc_zeroed(layout);
        if memory.is_null() {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        Ok(Box::from_raw(slice_from_raw_parts_mut(memory.cast::<T>(), count)))
    }
}

/// Buckets for the networks that ask any worker.
pub fn networks(cells: usize, secret: [u8; 16]) -> io::Result<Arc<PrefixBuckets>> {
    Ok(Arc::new(PrefixBuckets::over(zeroed(cells)?, secret)))
}

/// The memory of one worker, with `slots` slots for clients.
pub fn memory(slots: usize, networks: Arc<PrefixBuckets>, secret: [u8; 16]) -> io::Result<Memory> {
    let clients = match slots {
        0 => None,
        _ => Some(Arc::new(ClientTable::over(zeroed(slots)?, secret))),
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
