//! Requests on their way: what each reply is compared with.

/// Requests of one socket that can be told apart; a power of two, well above any window and any second's worth.
const SLOTS: usize = 1 << 14;

/// One request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Its number on its socket.
    pub number: u32,
    /// When it should have left, ns since 1970.
    pub due_ns: i64,
    /// When it left.
    pub sent_ns: i64,
    /// No reply was taken yet.
    pub open: bool,
    /// Its place in a window was given to another.
    pub given_up: bool,
}

/// The requests of one socket.
#[derive(Debug)]
pub struct Flight {
    slots: Vec<Request>,
    /// Number of the next request.
    pub next: u32,
    /// Overwritten while open: they can never be answered.
    pub forgotten: u64,
}

impl Flight {
    /// None on its way.
    pub fn new() -> Self {
        Self { slots: vec![Request::default(); SLOTS], next: 0, forgotten: 0 }
    }

    /// Enter the next request.
    pub fn enter(&mut self, due_ns: i64, sent_ns: i64) {
        let slot = &mut self.slots[self.next as usize % SLOTS];
        self.forgotten += u64::from(slot.open);
        *slot = Request { number: self.next, due_ns, sent_ns, open: true, given_up: false };
        self.next = self.next.wrapping_add(1);
    }

    /// The open request whose number ends in these 16 bits.
    pub fn claimed(&mut self, low: u16) -> Option<&mut Request> {
        let slot = &mut self.slots[usize::from(low) % SLOTS];
        (slot.open && slot.number as u16 == low).then_some(slot)
    }

    /// Give up everything sent before `before_ns`; how many.
    pub fn give_up(&mut self, before_ns: i64) -> usize {
        let old = self.slots.iter_mut().filter(|slot| slot.open && !slot.given_up && slot.sent_ns < before_ns);
        old.map(|slot| slot.given_up = true).count()
    }
}
