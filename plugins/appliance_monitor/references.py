"""Reference hosts: servers that are asked for no other reason than to tell whether we are fit to judge others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from appliance.api.context import RunContext
from appliance.api.model import Sample, Target
from appliance_monitor.target import parse_target

#: The pool's agent keeps what it found for three minutes, and takes an offset of 10 ms for a failure.
EVERY_S = 180.0
#: With trouble, the next look comes sooner: it is ours to find out that it is over.
AGAIN_S = 30.0
GOOD_OFFSET_S = 0.010


def is_good(sample: Sample) -> bool:
    """Whether a reference answered with our own time."""
    return (
        sample.error is None
        and sample.leap != 3
        and sample.offset_s is not None
        and abs(sample.offset_s) <= GOOD_OFFSET_S
    )


async def ask_now_and_then(
    ctx: RunContext,
    sample: Callable[[Target, float], Awaitable[Sample]],
    tell: Callable[[int, int, int], None],
) -> None:
    """Ask all references and `tell(answered, failed, asked)`, for ever; those of the configuration at that moment."""
    while True:
        targets = [parse_target(text) for text in ctx.config.references]
        found = [await sample(target, ctx.config.timeout_s) for target in targets]
        answered = sum(1 for one in found if one.stratum is not None or one.error == "refused")
        failed = sum(1 for one in found if not is_good(one))
        tell(answered, failed, len(targets))
        await ctx.clock.sleep(AGAIN_S if failed else EVERY_S)
