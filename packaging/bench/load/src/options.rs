//! The command line: what to ask, whom, how fast, from where.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

/// What `--help` prints.
pub const HELP: &str = "\
timeball-load ntp|dns --server ADDRESS:PORT (--rate N | --window N) [options]

Asks one UDP server over IPv4 and prints what it saw as one JSON object.

  --rate N       open loop: N requests a second leave at times fixed in advance, whatever the server does. Gaps are
                 random as those of independent clients are (--even: all alike). Latency is counted from the time a
                 request was DUE, not from when it left, so that a stall is felt by every request that it delayed
                 (no \"coordinated omission\"), to the kernel's receive time stamp of the reply: p50_us and so on. The
                 same from when it left is trip_p50_us, and how late it left is behind_p99_us.
  --window N     closed loop: N requests are kept on their way, which finds the most that a server answers.
                 Latency under a window only says how long the window is; do not quote it.
  --spin         never sleep: a waiting load generator is woken by the server's send call, on the server's account.

  --seconds S    how long (default 2, at most 600), then up to 1 s for what is still on its way
  --sources N    from N client addresses (default 1000), so that sharding, limits and draws see many clients
  --from A       the first of them (default 127.1.0.1). They must be this machine's own, as all of 127.0.0.0/8 is, or a
                 prefix made so in a network namespace (ip route add local 198.18.0.0/15 dev lo)
  --ports N      from N client ports (default 8)
  --threads N    that share the rate or the window (default 1)
  --batch N      requests handed to the kernel at a time, at most (default 32)
  --late-ms N    a reply later than that counts as late; with a window also: wait no longer for it (default 60)

  --names A,B    dns: owner names asked in turn (default pool.example.org)
  --type T       dns: A or AAAA (default A)
  --edns         dns: with an OPT record, 1232 bytes, as resolvers send it
  --same-bits N  dns: the addresses of one answer must agree in their first N bits. A test that publishes each snapshot
                 with members of another prefix learns whether any answer mixed two, and from \"groups\" how many it saw

Every reply is verified. NTP: 48 bytes, mode 4, our transmit time as its origin, a synchronised server. DNS: our ID and
question, NOERROR, not truncated, at least one address of the type asked for. Each request ends in exactly one of:
  ok, late (came, after --late-ms), wrong (came, but is not what was asked for), lost (never came).
\"stray\" counts what answers no open request, such as a second reply. \"limited\" is true when the load generator itself
was the bottleneck: it used all of its processor, or fell behind its schedule; such a run says nothing about the server.";

/// Which protocol, and what belongs to it alone.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Client requests.
    Ntp,
    /// Queries.
    Dns {
        /// Owner names, dotted.
        names: Vec<String>,
        /// 1 or 28.
        qtype: u16,
        /// Whether an OPT record goes along.
        edns: bool,
        /// How many leading bits the addresses of one answer share.
        same_bits: u32,
    },
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many a second; whether all gaps are alike.
    Rate(f64, bool),
    /// So many on their way.
    Window(usize),
}

/// Everything asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The protocol.
    pub asked: Asked,
    /// Whom.
    pub server: SocketAddrV4,
    /// How fast.
    pub pace: Pace,
    /// Never sleep.
    pub spin: bool,
    /// How long.
    pub seconds: f64,
    /// Client addresses.
    pub sources: u32,
    /// The first of them.
    pub from: Ipv4Addr,
    /// Client ports of each thread.
    pub ports: usize,
    /// Threads.
    pub threads: usize,
    /// Requests for each system call.
    pub batch: usize,
    /// From when on a reply is late.
    pub late_ns: i64,
}

impl Options {
    /// Read the arguments after the program's name; the error is a sentence for a person.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut words = arguments.iter().map(String::as_str);
        let ntp = match words.next() {
            Some("ntp") => true,
            Some("dns") => false,
            other => return Err(format!("begin with ntp or dns, not {:?}", other.unwrap_or(""))),
        };
        let (mut names, mut qtype, mut edns, mut same_bits) = (vec!["pool.example.org".to_owned()], 1, false, 0);
        let (mut server, mut rate, mut window, mut even) = (None, None, None, false);
        let mut options = Self {
            asked: Asked::Ntp,
            server: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            pace: Pace::Window(0),
            spin: false,
            seconds: 2.0,
            sources: 1000,
            from: Ipv4Addr::new(127, 1, 0, 1),
            ports: 8,
            threads: 1,
            batch: 32,
            late_ns: 60_000_000,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word {
                "--server" => server = Some(value()?.parse().map_err(|_| "--server: ADDRESS:PORT of IPv4".to_owned())?),
                "--rate" => rate = Some(number(word, value()?, 1.0, 1e7)?),
                "--window" => window = Some(number(word, value()?, 1, 65_536)?),
                "--even" => even = true,
                "--spin" => options.spin = true,
                "--seconds" => options.seconds = number(word, value()?, 0.1, 600.0)?,
                "--sources" => options.sources = number(word, value()?, 1, 1 << 20)?,
                "--from" => options.from = value()?.parse().map_err(|_| "--from: an IPv4 address".to_owned())?,
                "--ports" => options.ports = number(word, value()?, 1, 256)?,
                "--threads" => options.threads = number(word, value()?, 1, 64)?,
                "--batch" => options.batch = number(word, value()?, 1, 256)?,
                "--late-ms" => options.late_ns = number(word, value()?, 1, 10_000)? * 1_000_000,
                "--names" if !ntp => names = value()?.split(',').map(str::to_owned).collect(),
                "--type" if !ntp => {
                    qtype = match value()? {
                        "A" => 1,
                        "AAAA" => 28,
                        other => return Err(format!("--type: A or AAAA, not {other}")),
                    }
                }
                "--edns" if !ntp => edns = true,
                "--same-bits" if !ntp => same_bits = number(word, value()?, 0, 32)?,
                _ => return Err(format!("{word} is not an option; see --help")),
            }
        }
        options.server = server.ok_or("--server is missing")?;
        options.pace = match (rate, window) {
            (Some(rate), None) => Pace::Rate(rate, even),
            (None, Some(window)) => Pace::Window(window),
            _ => return Err("give one of --rate and --window".to_owned()),
        };
        if !ntp {
            options.asked = Asked::Dns { names, qtype, edns, same_bits };
        }
        Ok(options)
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display + Copy>(
    word: &str,
    text: &str,
    least: T,
    most: T,
) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if least <= number && number <= most => Ok(number),
        _ => Err(format!("{word}: a number from {least} to {most}, not {text}")),
    }
}
