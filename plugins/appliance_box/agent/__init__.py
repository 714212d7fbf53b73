"""The agent: what needs root's rights, behind a socket that only root and the service's user may use.

It is started by the service manager when somebody connects, and ends when nobody has for a while. The protocol is one JSON
object a line: `{"action": "power.restart", "args": {}}` in; any number of `{"progress": {...}}` and then one of
`{"result": {...}}` and `{"error": {"code", "message", "remedy"}}` out. A connection may ask several times, one after the other.
"""

#: Where it listens.
SOCKET = "/run/timeball/agent.sock"
#: Besides root, who may ask.
SERVICE_USER = "timeball"
#: A line longer than this is none of ours.
MOST_LINE_BYTES = 1 << 20
