"""What a browser calls itself, in words that its owner would use."""

from __future__ import annotations

#: What stands in a User-Agent header and whose it is, the more particular ones first: most of them call themselves Chrome and Safari too.
_BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Vivaldi/", "Vivaldi"), ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("iPhone", "an iPhone"), ("iPad", "an iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Macintosh", "a Mac"), ("Linux", "Linux"), ("BSD", "BSD"),
)  # fmt: skip


def called(agent: str) -> str:
    """A browser and its system, as "Firefox on Windows"; a program that is no browser by the first word it says of itself."""
    browser = next((name for part, name in _BROWSERS if part in agent), "")
    if not browser:
        return agent.split("(", maxsplit=1)[0].strip()[:60] or "unknown"
    system = next((name for part, name in _SYSTEMS if part in agent), "")
    return f"{browser} on {system}" if system else browser
