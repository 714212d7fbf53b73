"""Which of a probe's samples counts, as the NTP Pool's agent chooses it."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.api.model import ProbeResult, Sample, Target


def answered(sample: Sample) -> bool:
    """Whether a reply came that matched the request; without one there is no stratum either."""
    return sample.stratum is not None


def is_final(sample: Sample) -> bool:
    """Whether no further sample is taken and this one is the result: a kiss code or a stratum nobody can use."""
    return sample.stratum is not None and (sample.stratum == 0 or sample.stratum > 10)


def pick(samples: Sequence[Sample]) -> Sample:
    """The sample that stands for the probe.

    A final one (see `is_final`) wins at once. Otherwise a sample without error beats any with one, an answer beats
    silence, and among equals the smallest round trip wins, where both have one; else the earlier stays.

    Args:
        samples: at least one, oldest first.
    """
    best = samples[0]
    for sample in samples:
        if is_final(sample):
            return sample
        if sample is not best and _better(sample, best):
            best = sample
    return best


def _better(sample: Sample, best: Sample) -> bool:
    if (sample.error is None) != (best.error is None):
        return sample.error is None
    if answered(sample) != answered(best):
        return answered(sample)
    return sample.rtt_s is not None and best.rtt_s is not None and sample.rtt_s < best.rtt_s


def result_of(
    samples: Sequence[Sample], *, ts: float, target: Target, member: str = "", monitor: str = "local"
) -> ProbeResult:
    """The probe that these samples (at least one) make."""
    best = pick(samples)
    return ProbeResult(
        ts=ts,
        member=member,
        monitor=monitor,
        target=target,
        offset_s=best.offset_s,
        rtt_s=best.rtt_s,
        stratum=best.stratum,
        leap=best.leap,
        error=best.error,
        responded=answered(best),
        samples=tuple(samples),
    )


def chosen(result: ProbeResult) -> Sample | None:
    """The sample whose values stand at the top of `result`."""
    return pick(result.samples) if result.samples else None
